//! Brokers that refuse the user, fall silent or break the protocol, and peers
//! that are not brokers.

use std::time::{Duration, Instant};

use tce_runtime::{
    Adapter, Communicator, ErrorCode, RpcError,
    config::{MqConfig, Options},
};
use tce_test_rabbitmq::Node;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    common::watching::{soon, within},
    queues::Queues,
};

const GREETING: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;

/// `basic.consume`, the last request of a consumer.
const CONSUME: (u16, u16) = (60, 20);

async fn refusal(queues: &Queues, change: impl Fn(String) -> String) -> RpcError {
    let text = change(queues.text());
    let config = MqConfig::parse(&text, "config.yml", "writer").unwrap();
    let communicator = Communicator::new();
    let error = soon(communicator.open_mq(config)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_has_the_words_of_the_broker() {
    let queues = Queues::at(Node::shared().port());
    let with = |line: &str| {
        let line = format!("type: qpid\n      {line}\n");
        move |text: String| text.replace("type: qpid\n", &line)
    };
    let error = refusal(&queues, with("password: wrong")).await;
    let expected = "ACCESS_REFUSED - Login was refused";
    assert!(error.text().contains(expected), "{error}");
    let error = refusal(&queues, with("vhost: elsewhere")).await;
    let expected = "NOT_ALLOWED - vhost elsewhere not found";
    assert!(error.text().contains(expected), "{error}");
}

/// A peer that sends these bytes on each connection, and keeps it open.
async fn answering(bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut sockets = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            // It fails if the client has closed the connection.
            let _ = socket.write_all(&bytes).await;
            sockets.push(socket);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_not_a_broker_is_reported_at_once() {
    let peers: [(&[u8], &str); 5] = [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "larger than was agreed",
        ),
        (b"AMQP\x00\x00\x09\x00", "another version"),
        (&frame(METHOD, 0, &[0, 10, 0, 10, 0]), "malformed frames"),
        (&frame(9, 0, &[]), "unknown type"),
        (&frame(METHOD, 0, &[0, 10, 0, 41]), "does not begin"),
    ];
    for (bytes, expected) in peers {
        let queues = Queues::at(answering(bytes.to_vec()).await);
        let error = refusal(&queues, |text| text).await;
        assert!(error.text().contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_answer_is_given_up_and_disconnected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let queues = Queues::at(listener.local_addr().unwrap().port());
    let config = queues.config("writer");
    let opening = tokio::spawn(async move { Communicator::new().open_mq(config).await });
    let (mut socket, _) = within(listener.accept()).await.unwrap();
    let error = within(opening).await.unwrap().unwrap_err();
    assert!(error.text().contains("did not answer within 5s"), "{error}");
    let mut received = Vec::new();
    soon(socket.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received, GREETING);
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(channel.to_be_bytes());
    frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend(payload);
    frame.push(0xCE);
    frame
}

fn method(channel: u16, (class, method): (u16, u16), arguments: &[u8]) -> Vec<u8> {
    let numbers = [class.to_be_bytes(), method.to_be_bytes()].concat();
    frame(METHOD, channel, &[&numbers, arguments].concat())
}

/// The header of a message with a body of this size.
fn header(channel: u16, size: u64) -> Vec<u8> {
    let class = [0, 60, 0, 0];
    frame(
        HEADER,
        channel,
        &[&class[..], &size.to_be_bytes(), &[0, 0]].concat(),
    )
}

/// `basic.deliver` of message 1.
fn deliver(channel: u16) -> Vec<u8> {
    let arguments = [b"\x03tce".as_slice(), &1_u64.to_be_bytes(), &[0, 0, 0]].concat();
    method(channel, (60, 60), &arguments)
}

/// A broker that grants every request, until a consumer is open.
struct FakeBroker {
    listener: TcpListener,
    /// The heartbeat interval that it proposes, in seconds.
    heartbeat: u8,
}

impl FakeBroker {
    async fn listen(heartbeat: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            listener,
            heartbeat,
        }
    }

    fn queues(&self) -> Queues {
        Queues::at(self.listener.local_addr().unwrap().port())
    }

    /// Serves the next connection until it has a consumer, and sends what
    /// `then` makes of the consumer's channel together with the answer.
    async fn serve(&self, then: impl Fn(u16) -> Vec<u8>) -> TcpStream {
        let (mut socket, _) = within(self.listener.accept()).await.unwrap();
        let mut greeting = [0; 8];
        within(socket.read_exact(&mut greeting)).await.unwrap();
        assert_eq!(greeting, GREETING);
        let start = [&[0, 9, 0, 0, 0, 0, 0, 0, 0, 5][..], b"PLAIN", &[0; 4]].concat();
        socket
            .write_all(&method(0, (10, 10), &start))
            .await
            .unwrap();
        loop {
            let (channel, numbers) = request(&mut socket).await.expect("a request");
            let answers = match numbers {
                (10, 11) => method(0, (10, 30), &[0, 0, 0, 1, 0, 0, 0, self.heartbeat]),
                (10, 31) => continue,
                (10, 40) => method(0, (10, 41), &[0]),
                (20, 10) => method(channel, (20, 11), &[0, 0, 0, 0]),
                (50, 10) => method(channel, (50, 11), b"\x05calls\0\0\0\0\0\0\0\0"),
                CONSUME => [method(channel, (60, 21), b"\x03tce"), then(channel)].concat(),
                (class, number) => method(channel, (class, number + 1), &[]),
            };
            // It fails if the client has closed the connection already.
            let sent = socket.write_all(&answers).await;
            if sent.is_err() || numbers == CONSUME {
                return socket;
            }
        }
    }
}

/// The next request and its channel; nothing if the client closes the
/// connection. Heartbeats are skipped.
async fn request(socket: &mut TcpStream) -> Option<(u16, (u16, u16))> {
    loop {
        let mut head = [0; 7];
        within(socket.read_exact(&mut head)).await.ok()?;
        let channel = u16::from_be_bytes([head[1], head[2]]);
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut rest = vec![0; size as usize + 1];
        within(socket.read_exact(&mut rest)).await.ok()?;
        let number = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        if head[0] == METHOD {
            return Some((channel, (number(0), number(2))));
        }
    }
}

/// An adapter that consumes the calls of a fake broker, with a prefetch of 2.
async fn consume(queues: &Queues) -> JoinHandle<(Communicator, Adapter)> {
    let communicator = Communicator::with_options(Options::default());
    let text = queues.text().replace("prefetch: 64", "prefetch: 2");
    let config = MqConfig::parse(&text, "config.yml", "reader").unwrap();
    communicator.open_mq(config).await.unwrap();
    let endpoint = queues.endpoint();
    tokio::spawn(async move {
        let adapter = Adapter::listen(&communicator, &endpoint).await.unwrap();
        adapter.start();
        (communicator, adapter)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_breaks_the_protocol_is_left_and_connected_again() {
    let broker = FakeBroker::listen(60).await;
    let consuming = consume(&broker.queues()).await;
    let violations: [fn(u16) -> Vec<u8>; 10] = [
        |_| vec![0xFF; 64],
        |channel| frame(METHOD, channel, &[0, 60]),
        |channel| method(channel, (60, 61), &[]),
        |channel| method(channel + 1, (60, 60), &[]),
        |channel| method(channel, (60, 21), b"\x03tce"),
        |channel| header(channel, 1),
        |channel| frame(BODY, channel, &[1]),
        |channel| [deliver(channel), header(channel, u64::MAX)].concat(),
        |channel| {
            [
                deliver(channel),
                header(channel, 1),
                frame(BODY, channel, &[1, 2]),
            ]
            .concat()
        },
        // More deliveries than the prefetch allows, however fast they are read.
        |channel| [deliver(channel), header(channel, 0)].concat().repeat(1000),
    ];
    for violation in violations {
        let mut socket = broker.serve(violation).await;
        // The client closes the connection; it may say so before.
        while request(&mut socket).await.is_some() {}
    }
    // It connects again.
    let (mut next, _) = within(broker.listener.accept()).await.unwrap();
    let mut greeting = [0; 8];
    within(next.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(greeting, GREETING);
    within(consuming).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_is_lost_after_twice_the_heartbeat() {
    let broker = FakeBroker::listen(1).await;
    let consuming = consume(&broker.queues()).await;
    let mut socket = broker.serve(|_| Vec::new()).await;
    let start = Instant::now();
    let mut received = Vec::new();
    within(socket.read_to_end(&mut received)).await.unwrap();
    let waited = start.elapsed();
    // The client looks once in half a heartbeat interval.
    let expected = Duration::from_secs(2)..Duration::from_secs(5);
    assert!(expected.contains(&waited), "{waited:?}");
    // It sends its own heartbeats until then.
    assert!(
        received.starts_with(&frame(8, 0, &[]).repeat(3)),
        "{received:?}"
    );
    within(consuming).await.unwrap();
}
