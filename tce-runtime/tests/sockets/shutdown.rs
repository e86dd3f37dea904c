//! Shutdown of adapters and communicators.

use std::time::{Duration, Instant};

use tce_runtime::{
    Communicator, ErrorCode,
    config::{ConnectionLimits, Options},
};

use crate::common::{
    probe::{ECHO, GATE, NOTE, connect, serve, works},
    raw::{Message, Raw, int, string},
    watching::{PATIENCE, SOON, eventually, soon, within},
};

#[tokio::test]
async fn shutdown_completes_calls_in_flight_and_refuses_new_ones() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let call = proxy.call::<_, ()>(&GATE, ());
    server.probe.gate_reached(1).await;
    let communicator = server.communicator.clone();
    let ending = tokio::spawn(async move { communicator.shutdown(PATIENCE).await });

    let code = loop {
        match soon(proxy.call::<_, String>(&ECHO, ("x",))).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error.code(),
        }
    };
    assert_eq!(code, ErrorCode::ConnectReject);
    let endpoint = server.endpoint().to_string();
    let late = soon(Communicator::new().connect(&endpoint)).await;
    assert!(late.is_err(), "no connection is accepted during shutdown");
    assert!(!ending.is_finished());

    server.probe.gate.add_permits(1);
    within(call)
        .await
        .expect("it was in flight before the shutdown");
    assert!(within(ending).await.unwrap(), "nothing was cut off");
    assert_eq!(server.adapter.connections(), 0);
}

#[tokio::test]
async fn calls_past_the_shutdown_timeout_are_cut_off() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let call = proxy.call::<_, ()>(&GATE, ());
    server.probe.gate_reached(1).await;
    let start = Instant::now();
    let limit = Duration::from_millis(100);
    assert!(!within(server.communicator.shutdown(limit)).await);
    assert!(start.elapsed() >= limit && start.elapsed() < SOON);
    assert_eq!(
        soon(call).await.unwrap_err().code(),
        ErrorCode::ConnectionLost
    );
}

/// What the system has received when the shutdown begins is served.
#[tokio::test]
async fn calls_that_have_arrived_are_served() {
    const CALLS: i32 = 20_000;
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let answer = raw.call(&Message::call(0, ECHO.opidx(), string("x"))).await;
    assert_eq!(answer.errcode, 0);
    let mut frames = Vec::new();
    for number in 0..CALLS {
        let call = Message {
            calltype: 0x21,
            ..Message::call(0, NOTE.opidx(), int(number))
        };
        frames.extend(call.frame());
    }
    raw.send(&frames).await;
    assert!(within(server.communicator.shutdown(PATIENCE)).await);
    let notes = server.probe.notes.lock().unwrap();
    assert!(notes.iter().copied().eq(0..CALLS), "{} ran", notes.len());
}

/// As many calls as are served at once, and others that wait for them.
#[tokio::test]
async fn calls_that_wait_for_others_are_served() {
    let options = Options {
        connection: ConnectionLimits {
            served_calls: 1,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve(options).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let gate = Message::call(0, GATE.opidx(), Vec::new());
    let note = Message::call(1, NOTE.opidx(), int(7));
    raw.send(&[gate.frame(), note.frame()].concat()).await;
    server.probe.gate_reached(1).await;
    let communicator = server.communicator.clone();
    let ending = tokio::spawn(async move { communicator.shutdown(PATIENCE).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.probe.gate.add_permits(1);
    for sequence in [0, 1] {
        let answer = raw.message().await;
        assert_eq!((answer.sequence, answer.errcode), (sequence, 0));
    }
    assert!(within(ending).await.unwrap());
}

/// Their sender has closed the connection.
#[tokio::test]
async fn oneway_calls_that_wait_for_others_outlive_their_connection() {
    let options = Options {
        connection: ConnectionLimits {
            served_calls: 1,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve(options).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let oneway = |opidx, params| Message {
        calltype: 0x21,
        ..Message::call(0, opidx, params)
    };
    let mut frames = oneway(GATE.opidx(), Vec::new()).frame();
    for number in 0..3 {
        frames.extend(oneway(NOTE.opidx(), int(number)).frame());
    }
    raw.send(&frames).await;
    server.probe.gate_reached(1).await;
    drop(raw);
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.probe.gate.add_permits(1);
    eventually("the calls have run", || {
        *server.probe.notes.lock().unwrap() == [0, 1, 2]
    })
    .await;
}

#[tokio::test]
async fn an_idle_server_shuts_down_at_once() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let _silent = Raw::connect(server.endpoint()).await;
    works(&proxy).await;
    assert!(soon(server.communicator.shutdown(PATIENCE)).await);
}

#[tokio::test]
async fn an_adapter_that_was_not_started_shuts_down() {
    let communicator = Communicator::new();
    let adapter = tce_runtime::Adapter::listen(&communicator, "tcp://127.0.0.1:0")
        .await
        .unwrap();
    assert!(soon(communicator.shutdown(PATIENCE)).await);
    assert!(soon(adapter.shutdown(PATIENCE)).await);
}

#[tokio::test]
async fn a_clients_shutdown_completes_its_calls() {
    let server = serve(Options::default()).await;
    let communicator = Communicator::new();
    let proxy = connect(&communicator, server.endpoint()).await;
    let call = tokio::spawn(proxy.call::<_, ()>(&GATE, ()));
    server.probe.gate_reached(1).await;
    let ending = tokio::spawn(async move { communicator.shutdown(PATIENCE).await });
    server.probe.gate.add_permits(1);
    within(call).await.unwrap().unwrap();
    assert!(within(ending).await.unwrap());
    let error = soon(proxy.call::<_, String>(&ECHO, ("x",)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
    eventually("the server has closed its side", || {
        server.adapter.connections() == 0
    })
    .await;
}

#[tokio::test]
async fn a_reconnecting_client_shuts_down() {
    let server = serve(Options::default()).await;
    let communicator = Communicator::new();
    let proxy = connect(&communicator, server.endpoint()).await;
    server.adapter.shutdown(Duration::ZERO).await;
    eventually("the connection is down", || {
        !proxy.connection().is_connected()
    })
    .await;
    assert!(soon(communicator.shutdown(PATIENCE)).await);
}

/// Dropping a communicator's handle shuts nothing down.
#[tokio::test]
async fn connections_and_adapters_outlive_the_communicators_handle() {
    let server = serve(Options::default()).await;
    let communicator = Communicator::new();
    let proxy = connect(&communicator, server.endpoint()).await;
    drop(communicator);
    let (endpoint, probe) = (server.endpoint().clone(), server.probe.clone());
    drop(server);
    works(&proxy).await;
    works(&connect(&Communicator::new(), &endpoint).await).await;
    drop(probe);
}

/// Calls that were sent before the shutdown was announced are answered, too.
#[tokio::test]
async fn every_call_sent_gets_a_result_or_an_error() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    raw.call(&Message::call(1, ECHO.opidx(), string("x"))).await;
    let hold = Message::call(2, GATE.opidx(), vec![]).frame();
    raw.send(&hold).await;
    server.probe.gate_reached(1).await;
    let communicator = server.communicator.clone();
    let ending = tokio::spawn(async move { communicator.shutdown(PATIENCE).await });
    tokio::task::yield_now().await;
    for sequence in 10..20 {
        raw.send(&Message::call(sequence, ECHO.opidx(), string("x")).frame())
            .await;
    }
    for sequence in 10..20 {
        let answer = raw.message().await;
        assert_eq!(answer.sequence, sequence);
        assert!([0, 103].contains(&answer.errcode));
    }
    server.probe.gate.add_permits(1);
    assert_eq!(raw.message().await.sequence, 2);
    soon(raw.closed()).await;
    assert!(within(ending).await.unwrap());
}
