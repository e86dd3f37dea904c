//! Deadlines that travel with calls, and extra that peers of other kinds send.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tce_runtime::{
    ErrorCode, Proxy,
    config::{ConnectionLimits, Options},
};

use crate::common::{
    probe::{CIRCUMSTANCES, FAIL, GATE, NOTE, Server, serve, works},
    raw::{Message, Raw, frame, int, string},
    watching::{soon, within},
};

fn unix_millis() -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i128::try_from(now.as_millis()).unwrap()
}

/// A call of `note` with this deadline.
fn note(sequence: u32, number: i32, deadline: &str) -> Message {
    Message::call(sequence, 5, int(number)).with_extra(&[("__deadline__", deadline)])
}

fn notes(server: &Server) -> Vec<i32> {
    server.probe.notes.lock().unwrap().clone()
}

#[tokio::test]
async fn a_call_after_its_deadline_is_answered_and_not_executed() {
    let server = serve(Options::default()).await;
    let mut client = Raw::connect(server.endpoint()).await;
    for (number, deadline, errcode) in [
        (1, unix_millis() - 5_000, 2),
        // Within the tolerance, which is a second.
        (2, unix_millis() - 300, 0),
        (3, unix_millis() + 5_000, 0),
        (4, 0, 2),
    ] {
        let answer = client.call(&note(7, number, &deadline.to_string())).await;
        assert_eq!(answer.errcode, errcode, "{number}: {answer:?}");
    }
    assert_eq!(notes(&server), [2, 3]);
    let answer = client.call(&note(7, 5, "1000")).await;
    let text = answer.extra("__error__").unwrap();
    assert!(text.contains("clocks"), "{text}");
    // A deadline that is no number is none.
    for deadline in ["", "soon", "-1", "99999999999999999999999999"] {
        let answer = client.call(&note(8, 6, deadline)).await;
        assert_eq!(answer.errcode, 0, "{deadline}");
    }
    // A oneway call after its deadline is dropped.
    let oneway = Message {
        calltype: 0x21,
        ..note(9, 7, "1000")
    };
    client.send(&oneway.frame()).await;
    client
        .call(&note(10, 8, &(unix_millis() + 5_000).to_string()))
        .await;
    assert_eq!(notes(&server), [2, 3, 6, 6, 6, 6, 8]);
}

#[tokio::test]
async fn a_timeout_that_is_set_explicitly_travels_as_a_deadline() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let seen = async |proxy: &Proxy| {
        let call = proxy.call::<_, BTreeMap<String, String>>(&CIRCUMSTANCES, ());
        within(call).await.unwrap()
    };
    assert!(!seen(&proxy).await.contains_key("__deadline__"));
    let hasty = proxy.with_timeout(Duration::from_secs(5));
    let deadline: i128 = seen(&hasty).await["__deadline__"].parse().unwrap();
    let left = deadline - unix_millis();
    assert!((3_000..=5_000).contains(&left), "{left}");
}

/// Time in the queue of deferred calls counts.
#[tokio::test]
async fn a_call_whose_deadline_passes_while_it_waits_for_its_turn_is_not_executed() {
    let options = Options {
        deadline_tolerance: Duration::ZERO,
        connection: ConnectionLimits {
            served_calls: 1,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve(options).await;
    let proxy = server.proxy().await;
    let first = proxy.call::<_, ()>(&GATE, ());
    server.probe.gate_reached(1).await;
    let hasty = proxy.with_timeout(Duration::from_millis(200));
    let late = within(hasty.call::<_, ()>(&NOTE, (1,))).await;
    assert_eq!(late.unwrap_err().code(), ErrorCode::Timeout);
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.probe.gate.add_permits(1);
    within(first).await.unwrap();
    works(&proxy).await;
    assert!(notes(&server).is_empty());
}

#[tokio::test]
async fn a_linger_time_travels_over_a_stream_for_the_queue_of_a_gateway() {
    let server = serve(Options::default()).await;
    let patient = server.proxy().await.with_linger(Duration::from_secs(60));
    let call = patient.call::<_, BTreeMap<String, String>>(&CIRCUMSTANCES, ());
    let seen = within(call).await.unwrap();
    let until: i128 = seen["__linger_time__"].parse().unwrap();
    let left = until - unix_millis() / 1_000;
    assert!((58..=61).contains(&left), "{left}");
}

#[tokio::test]
async fn the_text_of_an_error_is_ascii_on_the_wire() {
    let server = serve(Options::default()).await;
    let texts = [
        "no stock",
        "缺货: Übung 🦀",
        r"C:\users\ute \u00e9 \\u",
        "\\",
        "\u{202e}left",
    ];
    let proxy = server.proxy().await;
    let mut client = Raw::connect(server.endpoint()).await;
    for text in texts {
        let params = [int(8), string(text)].concat();
        let answer = client.call(&Message::call(1, FAIL.opidx(), params)).await;
        let sent = answer.extra("__error__").unwrap();
        assert!(sent.is_ascii(), "{sent}");
        let call = proxy.call::<_, ()>(&FAIL, (8, text.to_owned()));
        assert_eq!(within(call).await.unwrap_err().text(), text);
    }
}

/// As the JavaScript implementation sends `é`, and as the Java one cuts `你好`.
#[tokio::test]
async fn extra_that_is_not_utf8_is_read_as_far_as_it_is() {
    let server = serve(Options::default()).await;
    let mut client = Raw::connect(server.endpoint()).await;
    let call = Message::call(1, CIRCUMSTANCES.opidx(), Vec::new());
    let call = call.with_extra(&[("name", "_"), ("town", "#~"), ("other", "kept")]);
    let mut bytes = call.bytes();
    for byte in &mut bytes {
        *byte = match *byte {
            b'_' => 0xE9,
            b'#' => 0x60,
            b'~' => 0xFF,
            other => other,
        };
    }
    client.send(&frame(0, &bytes)).await;
    let answer = client.message().await;
    assert_eq!(answer.errcode, 0, "{answer:?}");
    let params = String::from_utf8_lossy(&answer.params).into_owned();
    for value in ["\u{FFFD}", "kept"] {
        assert!(params.contains(value), "{params}");
    }
    // A oneway call is executed as well.
    let oneway = Message {
        calltype: 0x21,
        ..Message::call(2, 5, int(1)).with_extra(&[("name", "_")])
    };
    let mut bytes = oneway.bytes();
    let at = bytes.iter().position(|it| *it == b'_').unwrap();
    bytes[at] = 0xE9;
    client.send(&frame(0, &bytes)).await;
    soon(server.probe.notes_reached(1)).await;
}
