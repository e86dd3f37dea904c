//! Much of everything, and then nothing: no call is lost, and no task, no
//! connection, no call in flight and no memory is left behind.

// The attribute tells clippy that the helpers in these are tests too.
#[cfg(test)]
mod common;

#[cfg(test)]
mod soak {
    use std::time::{Duration, Instant};

    use tce_runtime::{Communicator, ErrorCode, Proxy, config::Options};

    use tokio::runtime::Builder;

    use crate::common::{
        probe::{ECHO, GATE, Server, connect, serve, works},
        watching::{eventually, resident},
    };

    const IN_FLIGHT: u32 = 64;
    const CONNECTIONS: u32 = 1000;
    const TIMEOUTS: u32 = 1000;
    /// What allocators and sockets keep for themselves.
    const MEMORY: usize = 8 << 20;

    fn tasks() -> usize {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    }

    /// So many calls, a number of them at a time, each with its own answer.
    async fn call_often(proxy: &Proxy, calls: u32) {
        let callers: Vec<_> = (0..IN_FLIGHT)
            .map(|caller| {
                let proxy = proxy.clone();
                tokio::spawn(async move {
                    for number in 0..calls / IN_FLIGHT {
                        let text = format!("{caller} {number}");
                        let answer = proxy.call::<_, String>(&ECHO, (&text,)).await;
                        assert_eq!(answer.unwrap(), text);
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    }

    async fn connect_often(server: &Server, connections: u32) {
        for _ in 0..connections {
            let communicator = Communicator::new();
            works(&connect(&communicator, server.endpoint()).await).await;
        }
        eventually("one connection is left", || {
            server.adapter.connections() == 1
        })
        .await;
    }

    /// Calls that all pass their deadline, and whose answers come later.
    async fn time_out_often(server: &Server, proxy: &Proxy, calls: u32) {
        let hasty = proxy.with_timeout(Duration::from_millis(50));
        let calls: Vec<_> = (0..calls).map(|_| hasty.call::<_, ()>(&GATE, ())).collect();
        let count = calls.len();
        for call in calls {
            let error = call.await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::Timeout);
        }
        assert_eq!(proxy.connection().calls_in_flight(), 0);
        server.probe.gate.add_permits(count);
        eventually("all passed the gate", || {
            server.probe.gate.available_permits() == 0
        })
        .await;
        works(proxy).await;
    }

    async fn soak(calls: u32) {
        let server = serve(Options::default()).await;
        let proxy = server.proxy().await;
        // Once round, so that what is kept for good is there.
        call_often(&proxy, 10_000).await;
        connect_often(&server, 50).await;
        time_out_often(&server, &proxy, 1000).await;
        let (tasks_before, memory_before) = (tasks(), resident());

        let start = Instant::now();
        call_often(&proxy, calls).await;
        println!("{calls} calls: {:?}", start.elapsed());
        connect_often(&server, CONNECTIONS).await;
        time_out_often(&server, &proxy, TIMEOUTS).await;
        println!("all: {:?}", start.elapsed());

        eventually("no task is left over", || tasks() <= tasks_before).await;
        assert_eq!(proxy.connection().calls_in_flight(), 0);
        let grown = resident().saturating_sub(memory_before);
        assert!(grown < MEMORY, "{grown} bytes more");
        assert!(server.communicator.shutdown(Duration::from_secs(5)).await);
        drop(proxy);
        eventually("no task is left at all", || tasks() == 0).await;
    }

    /// In one test: the memory is that of the whole process.
    #[test]
    fn nothing_is_lost_and_nothing_is_left() {
        Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(soak(1_000_000));
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(soak(200_000));
    }
}
