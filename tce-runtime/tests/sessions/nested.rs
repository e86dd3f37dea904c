//! Calls that wait for calls back, in both directions at once and beyond the limits.

use std::time::Duration;

use tce_runtime::{
    ErrorCode, Pending, Proxy,
    config::{ConnectionLimits, Options},
};
use tokio::time::sleep;

use crate::{
    SCHEMES,
    common::{
        probe::{BLOB, CALL_BACK, DESCEND, ECHO, GATE, NOTE, both_directions, serve_at, works},
        watching::{soon, within},
    },
};

fn limited(served_calls: usize) -> Options {
    Options {
        connection: ConnectionLimits {
            served_calls,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    }
}

async fn call_back(proxy: &Proxy, calls: usize) {
    let pending: Vec<Pending<String>> =
        (0..calls).map(|_| proxy.call(&CALL_BACK, ("x",))).collect();
    for pending in pending {
        assert_eq!(within(pending).await.unwrap(), "x");
    }
}

async fn descend(proxy: &Proxy, calls: usize, depth: i32) {
    let pending: Vec<Pending<i32>> = (0..calls).map(|_| proxy.call(&DESCEND, (depth,))).collect();
    for pending in pending {
        assert_eq!(within(pending).await.unwrap(), depth);
    }
}

/// Servants of both sides wait for each other's, at the limit of served calls.
async fn nested_both_ways(options: Options, scheme: &str) {
    let (_server, forward, back) = both_directions(options, scheme).await;
    tokio::join!(call_back(&forward, 2000), call_back(&back, 2000));
    tokio::join!(descend(&forward, 500, 6), descend(&back, 500, 7));
    works(&forward).await;
}

#[tokio::test]
async fn nested_calls_in_both_directions_complete() {
    for scheme in SCHEMES {
        nested_both_ways(Options::default(), scheme).await;
        nested_both_ways(limited(1), scheme).await;
        nested_both_ways(limited(16), scheme).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_calls_in_both_directions_complete_on_many_threads() {
    for scheme in SCHEMES {
        nested_both_ways(Options::default(), scheme).await;
        nested_both_ways(limited(1), scheme).await;
    }
}

/// The limit holds for servants that do not wait for the peer.
#[tokio::test]
async fn servants_that_do_not_call_back_are_limited() {
    let server = serve_at(SCHEMES[0], limited(3)).await;
    let proxy = server.proxy().await;
    let calls: Vec<Pending<()>> = (0..20).map(|_| proxy.call(&GATE, ())).collect();
    server.probe.gate_reached(3).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(*server.probe.at_gate.borrow(), 3);
    server.probe.gate.add_permits(20);
    for call in calls {
        within(call).await.unwrap();
    }
}

/// Both sides send more oneway calls than fit, and neither waits for a RETURN: both
/// stop to read, each because the other does. They go on before either loses the
/// connection.
#[tokio::test]
async fn oneway_floods_in_both_directions_lose_no_connection() {
    for scheme in SCHEMES {
        let options = Options {
            connection: ConnectionLimits {
                send_buffer: 64 << 10,
                stall_time: Duration::from_secs(4),
                ..ConnectionLimits::default()
            },
            ..Options::default()
        };
        let (server, forward, back) = both_directions(options, scheme).await;
        forward
            .connection()
            .on_event(|_, event| panic!("{event:?}"));
        let flood = async |proxy: Proxy| {
            let data = vec![0_u8; 32 << 10];
            for _ in 0..400 {
                // The answer of the twoway call fills the peer's buffer, and no call
                // waits for it.
                drop(proxy.call::<_, Vec<u8>>(&BLOB, (&data,)));
                let _ = proxy.oneway(&BLOB, (&data,)).await;
            }
        };
        tokio::join!(flood(forward.clone()), flood(back.clone()));
        within(async {
            for proxy in [&forward, &back] {
                while proxy.call::<_, String>(&ECHO, ("x",)).await.is_err() {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        })
        .await;
        assert_eq!(server.adapter.connections(), 1);
    }
}

/// What is refused is refused at once.
#[tokio::test]
async fn calls_beyond_the_limit_of_deferred_bytes_do_not_hang() {
    let mut options = limited(1);
    options.connection.send_buffer = 16 << 10;
    let (_server, forward, back) = both_directions(options, SCHEMES[0]).await;
    let text = "y".repeat(1 << 10);
    let calls = |proxy: &Proxy| -> Vec<Pending<String>> {
        (0..500).map(|_| proxy.call(&CALL_BACK, (&text,))).collect()
    };
    let (there, here) = (calls(&forward), calls(&back));
    let mut served = 0;
    for pending in there.into_iter().chain(here) {
        match within(pending).await {
            Ok(answer) => {
                assert_eq!(answer, text);
                served += 1;
            }
            Err(error) => {
                let is_refused = error.text().contains("too many calls wait");
                let code = error.code();
                assert!(is_refused || code == ErrorCode::ConnectReject, "{error}");
            }
        }
    }
    assert!(served > 0);
    forward.oneway(&NOTE, (1,)).await.unwrap();
    soon(works(&forward)).await;
}
