//! Our client and the existing servers, byte for byte (`spec/wire.md`).

use std::time::Duration;

use tce_runtime::{BUILTIN_INTERFACE, Communicator, ErrorCode, Proxy, Side, config::Options};

use crate::common::{
    probe::{ECHO, GATE, NOTE, Probe, connect, serve_at, works},
    raw::{Message, Raw, RawServer, ReceivedFrame, deflate, frame, int, string},
    watching::{eventually, soon, within},
};

async fn pair(options: Options) -> (RawServer, Proxy, Raw) {
    let server = RawServer::listen().await;
    let communicator = Communicator::with_options(options);
    let proxy = connect(&communicator, &server.endpoint()).await;
    let raw = server.accept().await;
    (server, proxy, raw)
}

#[tokio::test]
async fn our_calls_have_the_bytes_that_existing_servers_read() {
    let (_server, proxy, mut raw) = pair(Options::default()).await;
    proxy.oneway(&NOTE, (7,)).await.unwrap();
    let ReceivedFrame {
        compress,
        version,
        message,
    } = raw.next().await.unwrap();
    assert_eq!((compress, version), (0, [0, 0, 1, 0]));
    let expected = Message {
        calltype: 0x21,
        ..Message::call(message.sequence, NOTE.opidx(), int(7))
    };
    assert_eq!(message, expected);

    let _pending = proxy.call::<_, String>(&ECHO, ("hello",));
    let message = raw.message().await;
    let expected = Message::call(message.sequence, ECHO.opidx(), string("hello"));
    assert_eq!(message, expected);
}

#[tokio::test]
async fn a_sequence_is_not_used_twice() {
    let (_server, proxy, mut raw) = pair(Options::default()).await;
    let mut sequences = Vec::new();
    let _pending: Vec<_> = (0..500)
        .map(|_| proxy.call::<_, String>(&ECHO, ("x",)))
        .collect();
    for _ in 0..500 {
        sequences.push(raw.message().await.sequence);
    }
    sequences.sort_unstable();
    sequences.dedup();
    assert_eq!(sequences.len(), 500);
}

#[tokio::test]
async fn an_error_matches_its_call_by_the_sequence_alone() {
    let (_server, proxy, mut raw) = pair(Options::default()).await;
    let first = proxy.call::<_, String>(&ECHO, ("first",));
    let second = proxy.call::<_, String>(&ECHO, ("second",));
    let (one, two) = (raw.message().await.sequence, raw.message().await.sequence);
    raw.send(&Message::returning(two, 6, vec![]).frame()).await;
    let error = soon(second).await.unwrap_err();
    let expected = (ErrorCode::RemoteMethodException, Side::Remote);
    assert_eq!((error.code(), error.side()), expected);
    raw.send(&Message::returning(one, 0, string("hi")).frame())
        .await;
    assert_eq!(soon(first).await.unwrap(), "hi");
}

#[tokio::test]
async fn every_encoding_of_an_answer_is_read() {
    let (_server, proxy, mut raw) = pair(Options::default()).await;
    let answer = |sequence| {
        let params = [string("hi"), vec![9; 50]].concat();
        Message::returning(sequence, 0, params)
    };
    let plain = |sequence| answer(sequence).frame();
    let compressed = |sequence| frame(1, &deflate(&answer(sequence).bytes()));
    let repeated_key = |sequence| {
        answer(sequence)
            .with_extra(&[("a", "b"), ("a", "c")])
            .frame()
    };
    let java = |sequence| {
        let plain = answer(sequence).bytes();
        let mut stream = deflate(&plain);
        stream.resize(plain.len(), 0);
        frame(1, &stream)
    };
    let encodings: [&dyn Fn(u32) -> Vec<u8>; 4] = [&plain, &compressed, &repeated_key, &java];
    for encoding in encodings {
        let call = proxy.call::<_, String>(&ECHO, ("x",));
        let sequence = raw.message().await.sequence;
        raw.send(&encoding(sequence)).await;
        assert_eq!(soon(call).await.unwrap(), "hi");
    }
}

#[tokio::test]
async fn a_late_answer_is_dropped() {
    let (_server, proxy, mut raw) = pair(Options::default()).await;
    let hasty = proxy.with_timeout(Duration::from_millis(20));
    let error = soon(hasty.call::<_, String>(&ECHO, ("x",)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    let late = raw.message().await.sequence;
    let call = proxy.call::<_, String>(&ECHO, ("y",));
    let sequence = raw.message().await.sequence;
    for answer in [(late, "late"), (sequence, "right"), (sequence, "twice")] {
        let (sequence, text) = answer;
        raw.send(&Message::returning(sequence, 0, string(text)).frame())
            .await;
    }
    assert_eq!(soon(call).await.unwrap(), "right");
    assert_eq!(proxy.connection().calls_in_flight(), 0);
}

fn credentials() -> Options {
    Options {
        token: Some("A1001".to_owned()),
        device_id: Some("phone".to_owned()),
        ..Options::default()
    }
}

fn has_credentials(message: &Message) -> bool {
    let pairs = (message.extra("__token__"), message.extra("__device_id__"));
    if pairs == (Some("A1001"), Some("phone")) {
        return true;
    }
    assert_eq!(pairs, (None, None));
    false
}

/// The `login` of the built-in interface, which this server does not know: it answers as
/// legacy servants do, or not at all.
async fn log_in(raw: &mut Raw) {
    let login = raw.message().await;
    assert!(has_credentials(&login));
    assert_eq!((login.ifidx, login.opidx), (BUILTIN_INTERFACE, 2));
    let code = ErrorCode::InterfaceNotFound.to_wire();
    raw.send(&Message::returning(login.sequence, code, vec![]).frame())
        .await;
}

#[tokio::test]
async fn the_first_messages_of_each_connection_carry_the_credentials() {
    let (server, proxy, mut raw) = pair(credentials()).await;
    let named = proxy.with_extra([("name", "scott")]);
    let lost = named.call::<_, String>(&ECHO, ("x",));
    log_in(&mut raw).await;
    let message = raw.message().await;
    assert!(has_credentials(&message));
    assert_eq!(message.extra("name"), Some("scott"));
    proxy.oneway(&NOTE, (1,)).await.unwrap();
    assert!(!has_credentials(&raw.message().await));

    drop(raw);
    assert_eq!(
        soon(lost).await.unwrap_err().code(),
        ErrorCode::ConnectionLost
    );
    let mut raw = server.accept().await;
    proxy.oneway(&NOTE, (1,)).await.unwrap();
    log_in(&mut raw).await;
    assert!(has_credentials(&raw.message().await), "after reconnecting");
    proxy.oneway(&NOTE, (1,)).await.unwrap();
    assert!(!has_credentials(&raw.message().await));
}

/// A gateway reads credentials from the first CALL, not from a RETURN.
#[tokio::test]
async fn a_return_sent_first_does_not_carry_the_credentials() {
    let (_server, proxy, mut raw) = pair(credentials()).await;
    let probe = Probe::default();
    proxy.connection().add_servant(probe.clone());
    let call = Message::call(1, ECHO.opidx(), string("from the server"));
    assert!(!has_credentials(&raw.call(&call).await));
    raw.send(&Message::call(2, GATE.opidx(), vec![]).frame())
        .await;
    probe.0.gate_reached(1).await;
    probe.0.gate.add_permits(1);
    assert!(!has_credentials(&raw.message().await));
    proxy.oneway(&NOTE, (1,)).await.unwrap();
    assert!(has_credentials(&raw.message().await));
}

#[tokio::test]
async fn without_credentials_none_are_sent() {
    let (_server, proxy, mut raw) = pair(Options::default()).await;
    proxy.oneway(&NOTE, (1,)).await.unwrap();
    assert_eq!(raw.message().await.extra, []);
}

#[tokio::test]
async fn an_endpoint_that_compresses_does_so_from_101_bytes_on() {
    let server = RawServer::listen().await;
    let mut endpoint = server.endpoint();
    endpoint.compress = true;
    let proxy = connect(&Communicator::new(), &endpoint).await;
    let mut raw = server.accept().await;
    // Header, empty extra and the string's length are 25 bytes.
    for (length, compress) in [(75, 0), (76, 1), (5000, 1)] {
        let text = "x".repeat(length);
        let _pending = proxy.call::<_, String>(&ECHO, (&text,));
        let arrived = raw.next().await.unwrap();
        assert_eq!(
            (arrived.compress, arrived.message.params),
            (compress, string(&text))
        );
    }
}

#[tokio::test]
async fn incompressible_payloads_arrive_unchanged() {
    let server = serve_at("tcp://127.0.0.1:0?compress=1", Options::default()).await;
    let proxy = server.proxy().await;
    let mut noise = 1_u32;
    let text: String = (0..2000)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from_u32(0x1000 + noise % 0x5000).unwrap()
        })
        .collect();
    let answer: String = within(proxy.call(&ECHO, (&text,))).await.unwrap();
    assert_eq!(answer, text);
    works(&proxy).await;
    eventually("nothing is left in flight", || {
        proxy.connection().calls_in_flight() == 0
    })
    .await;
}
