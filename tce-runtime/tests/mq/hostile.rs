//! Brokers that refuse us, and peers that are none.

use tce_runtime::{
    Adapter, Communicator, ErrorCode, RpcError,
    config::{MqConfig, Options},
};
use tce_test_rabbitmq::Node;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    common::watching::{soon, within},
    queues::Queues,
};

const GREETING: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;

/// What `consumer` asks for last.
const CONSUME: (u16, u16) = (60, 20);

async fn refusal(queues: &Queues, change: impl Fn(String) -> String) -> RpcError {
    let text = change(queues.text());
    let config = MqConfig::parse(&text, "config.yml", "writer").unwrap();
    let opening = Communicator::new();
    let error = soon(opening.open_mq(config)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_hears_why() {
    let queues = Queues::at(Node::shared().port());
    let with = |line: &str| {
        let line = format!("type: qpid\n      {line}\n");
        move |text: String| text.replace("type: qpid\n", &line)
    };
    let error = refusal(&queues, with("password: wrong")).await;
    let wanted = "ACCESS_REFUSED - Login was refused";
    assert!(error.text().contains(wanted), "{error}");
    let error = refusal(&queues, with("vhost: elsewhere")).await;
    let wanted = "NOT_ALLOWED - vhost elsewhere not found";
    assert!(error.text().contains(wanted), "{error}");
}

/// A peer that answers whoever connects with these bytes, and stays.
async fn answering(bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut stay = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            // Who does not like the answer has hung up.
            let _ = socket.write_all(&bytes).await;
            stay.push(socket);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_no_broker_is_told_from_one() {
    let peers: [(&[u8], &str); 5] = [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "larger than was agreed",
        ),
        (b"AMQP\x00\x00\x09\x00", "another version"),
        (&frame(METHOD, 0, &[0, 10, 0, 10, 0]), "malformed frames"),
        (&frame(9, 0, &[]), "unknown type"),
        (&frame(METHOD, 0, &[0, 10, 0, 41, 0]), "does not begin"),
    ];
    for (bytes, wanted) in peers {
        let queues = Queues::at(answering(bytes.to_vec()).await);
        let error = refusal(&queues, |text| text).await;
        assert!(error.text().contains(wanted), "{error}");
    }
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

/// A header for a body of that size.
fn header(channel: u16, size: u64) -> Vec<u8> {
    let class = [0, 60, 0, 0];
    frame(
        HEADER,
        channel,
        &[&class[..], &size.to_be_bytes(), &[0, 0]].concat(),
    )
}

/// "Here is message 1."
fn deliver(channel: u16) -> Vec<u8> {
    let arguments = [b"\x03tce".as_slice(), &1_u64.to_be_bytes(), &[0, 0, 0]].concat();
    method(channel, (60, 60), &arguments)
}

/// A broker that agrees to everything, and says `nonsense` to who reads, as
/// often as somebody comes to read.
struct Fool {
    listener: TcpListener,
}

impl Fool {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Serves the next reader until it hangs up.
    async fn serve(&self, nonsense: impl Fn(u16) -> Vec<u8>) {
        let (mut socket, _) = within(self.listener.accept()).await.unwrap();
        let mut greeting = [0; 8];
        within(socket.read_exact(&mut greeting)).await.unwrap();
        assert_eq!(greeting, GREETING);
        let start = [&[0, 9, 0, 0, 0, 0, 0, 0, 0, 5][..], b"PLAIN", &[0; 4]].concat();
        socket
            .write_all(&method(0, (10, 10), &start))
            .await
            .unwrap();
        while let Some((channel, numbers)) = request(&mut socket).await {
            let answers = match numbers {
                (10, 11) => method(0, (10, 30), &[0, 0, 0, 1, 0, 0, 0, 60]),
                (10, 31) => continue,
                (10, 40) => method(0, (10, 41), &[0]),
                (20, 10) => method(channel, (20, 11), &[0, 0, 0, 0]),
                (50, 10) => method(channel, (50, 11), b"\x05calls\0\0\0\0\0\0\0\0"),
                CONSUME => [method(channel, (60, 21), b"\x03tce"), nonsense(channel)].concat(),
                (class, number) => method(channel, (class, number + 1), &[]),
            };
            if socket.write_all(&answers).await.is_err() {
                return;
            }
        }
    }
}

/// The next request and its channel, unless the client hangs up.
async fn request(socket: &mut TcpStream) -> Option<(u16, (u16, u16))> {
    let mut head = [0; 7];
    within(socket.read_exact(&mut head)).await.ok()?;
    let channel = u16::from_be_bytes([head[1], head[2]]);
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    let mut rest = vec![0; size as usize + 1];
    within(socket.read_exact(&mut rest)).await.ok()?;
    let number = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    // A heartbeat is answered as a method is, which nobody has asked for.
    (head[0] == METHOD).then(|| (channel, (number(0), number(2))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_talks_nonsense_is_left_and_sought_again() {
    let fool = Fool::listen().await;
    let queues = Queues::at(fool.port());
    let communicator = Communicator::with_options(Options::default());
    let read = queues.text().replace("prefetch: 64", "prefetch: 2");
    let config = MqConfig::parse(&read, "config.yml", "reader").unwrap();
    communicator.open_mq(config).await.unwrap();
    let endpoint = queues.endpoint();
    let nonsense: [fn(u16) -> Vec<u8>; 10] = [
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
        // More than were asked for, and read never so fast.
        |channel| [deliver(channel), header(channel, 0)].concat().repeat(1000),
    ];
    let reading = tokio::spawn(async move {
        let adapter = Adapter::listen(&communicator, &endpoint).await.unwrap();
        adapter.start();
        (communicator, adapter)
    });
    for nonsense in nonsense {
        fool.serve(nonsense).await;
    }
    // It is still at work.
    let (mut next, _) = within(fool.listener.accept()).await.unwrap();
    let mut greeting = [0; 8];
    within(next.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(greeting, GREETING);
    within(reading).await.unwrap();
}
