//! Our server and the existing clients, byte for byte (`spec/wire.md`).

use tce_runtime::{ErrorCode, config::Options};

use crate::common::{
    probe::{ECHO, FAIL, GATE, NOTE, PANIC_NOW, serve, serve_at},
    raw::{Message, PYTHON, Raw, deflate, frame, int, string},
    watching::within,
};

fn echo(sequence: u32) -> Message {
    Message::call(sequence, ECHO.opidx(), string("hello"))
}

#[tokio::test]
async fn every_encoding_of_a_twoway_call_is_answered() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    for calltype in [0x01, 0x11, 0x41, 0x51] {
        for sequence in [0, 1, 0x8000_0000, u32::MAX] {
            let call = Message {
                calltype,
                paramsize: 1,
                ..echo(sequence)
            };
            let expected = Message {
                calltype: 0x02,
                ..echo(sequence)
            };
            assert_eq!(raw.call(&call).await, expected);
        }
    }
}

#[tokio::test]
async fn an_answer_has_the_bytes_that_existing_clients_read() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    raw.send(&echo(5).frame()).await;
    let mut bytes = [0; 14 + 21 + 9];
    within(tokio::io::AsyncReadExt::read_exact(&mut raw.0, &mut bytes))
        .await
        .unwrap();
    let expected = [
        0xEF, 0xD2, 0xBB, 0x99, 0, 0, 0, 40, 0, 0, 0, 0, 1, 0, // the frame
        1, 0, 0, 0, 5, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, // the header
        0, 0, 0, 0, // no extra
        0, 0, 0, 5, b'h', b'e', b'l', b'l', b'o',
    ];
    assert_eq!(bytes, expected);
}

#[tokio::test]
async fn a_compressed_call_is_answered_uncompressed() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let text = string(&"x".repeat(300));
    let plain = Message::call(3, ECHO.opidx(), text.clone()).bytes();
    let mut padded = deflate(&plain);
    padded.resize(plain.len(), 0);
    for stream in [deflate(&plain), padded] {
        raw.send(&frame(1, &stream)).await;
        let answer = raw.next().await.unwrap();
        assert_eq!((answer.compress, answer.message.params), (0, text.clone()));
        assert_ne!(
            answer.version, PYTHON,
            "receivers ignore it; ours is Java's"
        );
    }
}

#[tokio::test]
async fn a_stream_may_be_split_at_any_byte() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    for byte in echo(1).frame() {
        raw.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.message().await.sequence, 1);

    let many: Vec<u8> = (0..20)
        .flat_map(|sequence| echo(sequence).frame())
        .collect();
    raw.send(&many).await;
    for sequence in 0..20 {
        assert_eq!(raw.message().await.sequence, sequence);
    }
}

#[tokio::test]
async fn a_return_repeats_what_a_gateway_routes_by() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let pairs = [("__user_id__", "u7"), ("name", "scott.bo")];
    for opidx in [ECHO.opidx(), PANIC_NOW.opidx(), 99] {
        let call = Message {
            call_id: 0x8005,
            ..Message::call(9, opidx, string("x")).with_extra(&pairs)
        };
        let answer = raw.call(&call).await;
        let expected = (9, 2, opidx, 0x8005);
        let seen = (answer.sequence, answer.ifidx, answer.opidx, answer.call_id);
        assert_eq!(seen, expected);
        for (key, value) in pairs {
            assert_eq!(answer.extra(key), Some(value));
        }
    }
}

#[tokio::test]
async fn without_a_gateway_a_return_has_no_extra_but_the_error_text() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let call = Message {
        call_id: 0x0005,
        ..echo(1).with_extra(&[("name", "scott.bo")])
    };
    let answer = raw.call(&call).await;
    assert_eq!((answer.call_id, answer.extra.len()), (5, 0));

    let params = [int(8), string("why")].concat();
    let call = Message::call(2, FAIL.opidx(), params).with_extra(&[("name", "scott.bo")]);
    let answer = raw.call(&call).await;
    assert_eq!(answer.errcode, ErrorCode::RemoteException.to_wire());
    assert_eq!(answer.extra, [("__error__".to_owned(), "why".to_owned())]);
    assert!(answer.params.is_empty());
}

#[tokio::test]
async fn bytes_after_the_parameters_are_ignored() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let mut call = echo(1);
    call.params.extend([9; 100]);
    let answer = raw.call(&call).await;
    assert_eq!((answer.errcode, answer.params), (0, string("hello")));
}

#[tokio::test]
async fn messages_other_than_calls_are_dropped_and_the_connection_stays_open() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let reserved_type = Message {
        msgtype: 2,
        ..echo(1)
    };
    let no_calltype = Message {
        calltype: 0x10,
        ..echo(2)
    };
    let unmatched_return = Message::returning(3, 0, vec![]);
    for message in [reserved_type, no_calltype, unmatched_return] {
        raw.send(&message.frame()).await;
    }
    assert_eq!(raw.call(&echo(4)).await.sequence, 4);
}

#[tokio::test]
async fn a_oneway_call_gets_no_answer_even_when_it_fails() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let calls = [
        Message::call(1, NOTE.opidx(), int(1)),
        Message::call(2, ECHO.opidx(), string("a result that is not sent")),
        Message::call(3, NOTE.opidx(), vec![]),
        Message::call(4, PANIC_NOW.opidx(), vec![]),
        Message::call(5, 99, vec![]),
        Message {
            ifidx: 77,
            ..Message::call(6, 0, vec![])
        },
        // Routed through a gateway.
        Message {
            call_id: 0x8001,
            ..Message::call(7, 99, vec![])
        },
    ];
    for (call, calltype) in calls
        .into_iter()
        .zip([0x21, 0x21, 0x21, 0x61, 0x31, 0x21, 0x21])
    {
        raw.send(&Message { calltype, ..call }.frame()).await;
    }
    assert_eq!(raw.call(&echo(8)).await.sequence, 8);
    assert_eq!(*server.probe.notes.lock().unwrap(), [1]);
}

#[tokio::test]
async fn answers_are_sent_in_the_order_of_completion() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    raw.send(&Message::call(1, GATE.opidx(), vec![]).frame())
        .await;
    assert_eq!(raw.call(&echo(2)).await.sequence, 2);
    server.probe.gate.add_permits(1);
    assert_eq!(raw.message().await.sequence, 1);
}

#[tokio::test]
async fn an_endpoint_that_compresses_does_so_from_101_bytes_on() {
    let server = serve_at("tcp://127.0.0.1:0?compress=1", Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    // Header, empty extra and the string's length are 25 bytes.
    for (length, compress) in [(75, 0), (76, 1)] {
        let text = string(&"x".repeat(length));
        raw.send(&Message::call(1, ECHO.opidx(), text.clone()).frame())
            .await;
        let answer = raw.next().await.unwrap();
        assert_eq!((answer.compress, answer.message.params), (compress, text));
    }
}
