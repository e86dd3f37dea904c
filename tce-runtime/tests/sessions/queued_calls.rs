//! Calls that are made while the connection is down, being made, or full.

use std::time::Duration;

use tce_runtime::{
    Adapter, Communicator, ConnectionEvent, ErrorCode, MemoryBroker, Pending, Proxy,
    config::{ConnectionLimits, MqConfig, Options},
};
use tokio::time::sleep;

use crate::{
    SCHEMES,
    common::{
        probe::{BLOB, ECHO, NOTE, Probe, SLEEP, Server, connect, serve_at, works},
        watching::{eventually, soon, within},
    },
};

/// A proxy whose server has ended, and the endpoint of that server.
async fn disconnected(scheme: &str, options: Options) -> (Proxy, String) {
    let server = serve_at(scheme, Options::default()).await;
    let endpoint = server.endpoint().to_string();
    let proxy = server.proxy_with(options).await;
    server.adapter.shutdown(Duration::ZERO).await;
    eventually("the connection is down", || {
        !proxy.connection().is_connected()
    })
    .await;
    (proxy, endpoint)
}

fn notes(server: &Server) -> Vec<i32> {
    server.probe.notes.lock().unwrap().clone()
}

/// Every form of a call, the future kept or dropped, none polled.
#[tokio::test]
async fn calls_made_while_the_connection_is_down_are_sent_in_order_unpolled() {
    for scheme in SCHEMES {
        let (proxy, endpoint) = disconnected(scheme, Options::default()).await;
        drop(proxy.call::<_, ()>(&NOTE, (1,)));
        let kept: Pending<()> = proxy.call(&NOTE, (2,));
        drop(proxy.oneway(&NOTE, (3,)));
        let kept_oneway = proxy.oneway(&NOTE, (4,));
        let patient = proxy.with_timeout(Duration::MAX);
        drop(patient.call::<_, ()>(&NOTE, (5,)));
        drop(patient.with_extra([("a", "b")]).oneway(&NOTE, (6,)));
        // Several attempts to connect fail meanwhile.
        sleep(Duration::from_millis(400)).await;
        let server = serve_at(&endpoint, Options::default()).await;
        server.probe.notes_reached(6).await;
        assert_eq!(notes(&server), [1, 2, 3, 4, 5, 6], "{scheme}");
        within(kept).await.unwrap();
        within(kept_oneway).await.unwrap();
        works(&proxy).await;
        assert_eq!(proxy.connection().calls_in_flight(), 0);
    }
}

/// In a listener, which runs before the connection is up.
#[tokio::test]
async fn calls_made_while_the_connection_is_being_made_are_sent() {
    for scheme in SCHEMES {
        let probe = Probe::default();
        let server = serve_at(scheme, Options::default()).await;
        let endpoint = server.endpoint().to_string();
        let proxy = server.proxy().await;
        proxy.connection().add_servant(probe.clone());
        let again = proxy.clone();
        proxy.connection().on_event(move |_, event| {
            let number = match event {
                ConnectionEvent::Connected => 11,
                _ => 10,
            };
            drop(again.call::<_, ()>(&NOTE, (number,)));
            drop(again.oneway(&NOTE, (number + 10,)));
        });

        server.adapter.shutdown(Duration::ZERO).await;
        let server = serve_at(&endpoint, Options::default()).await;
        server.adapter.on_event(|connection, event| {
            if *event == ConnectionEvent::Connected {
                let peer = Proxy::new(connection);
                drop(peer.call::<_, ()>(&NOTE, (1,)));
                drop(peer.oneway(&NOTE, (2,)));
            }
        });
        server.probe.notes_reached(4).await;
        assert_eq!(notes(&server), [10, 20, 11, 21], "{scheme}");
        probe.0.notes_reached(2).await;
        assert_eq!(*probe.0.notes.lock().unwrap(), [1, 2], "{scheme}");
        proxy.connection().close();
    }
}

/// A call that is queued keeps the connection open until it is sent.
#[tokio::test]
async fn a_call_outlives_the_last_proxy() {
    for scheme in SCHEMES {
        let (proxy, endpoint) = disconnected(scheme, Options::default()).await;
        drop(proxy.call::<_, ()>(&NOTE, (1,)));
        drop(proxy.oneway(&NOTE, (2,)));
        drop(proxy);
        let server = serve_at(&endpoint, Options::default()).await;
        server.probe.notes_reached(2).await;
        assert_eq!(notes(&server), [1, 2]);
        eventually("the connection is closed", || {
            server.adapter.connections() == 0
        })
        .await;
    }
}

/// The awaited call learns of the failure at once, and the other one is not lost.
#[tokio::test]
async fn an_awaited_call_fails_with_the_attempt_and_others_wait() {
    for scheme in SCHEMES {
        let (proxy, endpoint) = disconnected(scheme, Options::default()).await;
        let kept: Pending<()> = proxy.call(&NOTE, (1,));
        let answer = soon(proxy.call::<_, String>(&ECHO, ("x",))).await;
        assert_eq!(answer.unwrap_err().code(), ErrorCode::ConnectFailed);
        let answer = soon(proxy.oneway(&NOTE, (0,))).await;
        assert_eq!(answer.unwrap_err().code(), ErrorCode::ConnectFailed);
        let server = serve_at(&endpoint, Options::default()).await;
        server.probe.notes_reached(1).await;
        within(kept).await.unwrap();
        assert_eq!(notes(&server), [1], "{scheme}");
    }
}

/// Awaited only after attempts have failed, a call asks for another one.
#[tokio::test]
async fn a_call_that_is_awaited_late_fails_with_an_attempt_of_its_own() {
    let (proxy, _endpoint) = disconnected(SCHEMES[0], Options::default()).await;
    let late: Pending<()> = proxy.call(&NOTE, (1,));
    let late_oneway = proxy.oneway(&NOTE, (2,));
    sleep(Duration::from_millis(300)).await;
    let error = soon(late).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    assert_eq!(error.operation(), Some(NOTE.name()));
    let error = soon(late_oneway).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
}

#[tokio::test]
async fn a_queued_call_is_not_sent_after_its_deadline() {
    let (proxy, endpoint) = disconnected(SCHEMES[0], Options::default()).await;
    let hasty = proxy.with_timeout(Duration::from_millis(100));
    let kept: Pending<()> = hasty.call(&NOTE, (1,));
    let kept_oneway = hasty.oneway(&NOTE, (2,));
    drop(hasty.call::<_, ()>(&NOTE, (3,)));
    drop(proxy.oneway(&NOTE, (4,)));
    sleep(Duration::from_millis(200)).await;
    let server = serve_at(&endpoint, Options::default()).await;
    assert_eq!(soon(kept).await.unwrap_err().code(), ErrorCode::Timeout);
    let error = soon(kept_oneway).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    server.probe.notes_reached(1).await;
    assert_eq!(notes(&server), [4]);
}

#[tokio::test]
async fn closing_the_connection_fails_queued_calls() {
    let (proxy, _endpoint) = disconnected(SCHEMES[0], Options::default()).await;
    let call: Pending<()> = proxy.call(&NOTE, (1,));
    let oneway = proxy.oneway(&NOTE, (2,));
    proxy.connection().close();
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
    let error = soon(oneway).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
}

#[tokio::test]
async fn shutting_down_fails_queued_calls() {
    let server = serve_at(SCHEMES[0], Options::default()).await;
    let communicator = Communicator::new();
    let proxy = connect(&communicator, server.endpoint()).await;
    server.adapter.shutdown(Duration::ZERO).await;
    eventually("the connection is down", || {
        !proxy.connection().is_connected()
    })
    .await;
    let call: Pending<()> = proxy.call(&NOTE, (1,));
    assert!(soon(communicator.shutdown(Duration::from_secs(10))).await);
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
}

/// Calls whose futures are dropped hold at most `send_buffer` bytes.
#[tokio::test]
async fn dropped_calls_are_bounded_while_the_connection_is_down() {
    let options = Options {
        connection: ConnectionLimits {
            send_buffer: 64 << 10,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let (proxy, endpoint) = disconnected(SCHEMES[0], options).await;
    for number in 0..10_000 {
        drop(proxy.call::<_, ()>(&NOTE, (number,)));
        drop(proxy.oneway(&NOTE, (number,)));
    }
    // One whose future is kept is sent all the same.
    let kept: Pending<()> = proxy.call(&NOTE, (-1,));
    let server = serve_at(&endpoint, Options::default()).await;
    within(kept).await.unwrap();
    let sent = notes(&server);
    assert!((100..2000).contains(&sent.len()), "{}", sent.len());
    works(&proxy).await;
}

/// A full write buffer, and a full table of calls in flight, change no order.
#[tokio::test]
async fn calls_beyond_the_capacity_are_sent_in_order_unpolled() {
    for scheme in SCHEMES {
        let options = Options {
            connection: ConnectionLimits {
                send_buffer: 64 << 10,
                calls_in_flight: 16,
                ..ConnectionLimits::default()
            },
            ..Options::default()
        };
        let server = serve_at(scheme, Options::default()).await;
        let proxy = server.proxy_with(options).await;
        let large = vec![0_u8; 512 << 10];
        drop(proxy.call::<_, ()>(&SLEEP, (200,)));
        let mut kept = Vec::new();
        for number in 0..300 {
            if number % 50 == 0 {
                kept.push(proxy.call::<_, Vec<u8>>(&BLOB, (&large,)));
            }
            match number % 3 {
                0 => drop(proxy.call::<_, ()>(&NOTE, (number,))),
                1 => drop(proxy.oneway(&NOTE, (number,))),
                _ => {
                    let proxy = proxy.clone();
                    let call: Pending<()> = proxy.call(&NOTE, (number,));
                    tokio::spawn(call);
                }
            }
        }
        server.probe.notes_reached(300).await;
        let expected: Vec<_> = (0..300).collect();
        assert_eq!(notes(&server), expected, "{scheme}");
        for call in kept {
            within(call).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_made_while_the_connection_is_down_are_sent_on_many_threads() {
    for _ in 0..20 {
        let (proxy, endpoint) = disconnected(SCHEMES[0], Options::default()).await;
        drop(proxy.call::<_, ()>(&NOTE, (1,)));
        let server = serve_at(&endpoint, Options::default()).await;
        drop(proxy.oneway(&NOTE, (2,)));
        drop(proxy.call::<_, ()>(&NOTE, (3,)));
        server.probe.notes_reached(3).await;
        assert_eq!(notes(&server), [1, 2, 3]);
    }
}

/// Over a message queue, whose write buffer is its publish queue.
#[tokio::test]
async fn dropped_oneway_calls_over_a_full_publish_queue_are_sent() {
    let text = "
common_defs:
  endpoints:
    - {name: calls, host: localhost, port: 1, address: 'calls;{create:always,node:{type:queue}}', type: qpid}
client:
  endpoints:
    - {name: calls, af_mode: AF_WRITE}
server:
  endpoints:
    - {name: calls, af_mode: AF_READ}
";
    let broker = MemoryBroker::default();
    let open = async |process: &str| {
        let mut options = Options::default();
        options.connection.send_buffer = 16 << 10;
        let communicator = Communicator::with_options(options);
        let config = MqConfig::parse(text, "config.yml", process).unwrap();
        communicator
            .open_mq_in_memory(config, &broker)
            .await
            .unwrap();
        communicator
    };
    let server = open("server").await;
    let probe = Probe::default();
    let adapter = Adapter::listen(&server, "mq:calls").await.unwrap();
    adapter.add_servant(probe.clone()).start();
    let client = open("client").await;
    let proxy = Proxy::connect(&client, "mq:calls").await.unwrap();
    // The publisher does not run before the next await: the first call fills its
    // queue, and the others wait.
    drop(proxy.oneway(&BLOB, (vec![0_u8; 20 << 10],)));
    for number in 0..20 {
        drop(proxy.oneway(&NOTE, (number,)));
    }
    probe.0.notes_reached(20).await;
}
