//! Sustained load: no call is lost, and no task, connection, call in flight or
//! memory leaks.

// The attribute marks the helpers in these modules as test code for clippy.
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
    /// Bytes that allocators and sockets may retain.
    const MEMORY: usize = 8 << 20;

    fn tasks() -> usize {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    }

    /// Makes `calls` calls, [`IN_FLIGHT`] at a time, and checks each answer.
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
        eventually("one connection remains", || {
            server.adapter.connections() == 1
        })
        .await;
    }

    /// Makes calls that exceed their deadline and are answered later.
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
        eventually("all calls have passed the gate", || {
            server.probe.gate.available_permits() == 0
        })
        .await;
        works(proxy).await;
    }

    async fn soak(calls: u32) {
        let server = serve(Options::default()).await;
        let proxy = server.proxy().await;
        // Warm-up: allocates what the process keeps permanently.
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

        eventually("no additional task is alive", || tasks() <= tasks_before).await;
        assert_eq!(proxy.connection().calls_in_flight(), 0);
        let grown = resident().saturating_sub(memory_before);
        assert!(grown < MEMORY, "{grown} bytes more");
        assert!(server.communicator.shutdown(Duration::from_secs(5)).await);
        drop(proxy);
        eventually("no task is alive", || tasks() == 0).await;
    }

    /// One test, since memory is measured for the whole process.
    #[test]
    fn load_loses_no_call_and_leaks_nothing() {
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
