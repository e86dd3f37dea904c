//! What is advised, by the cause of an error.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use tce_runtime::{
    Adapter, Communicator, Proxy, RpcError,
    config::{MqConfig, Options, TlsConfig},
    wire::Operation,
};
use tempfile::TempDir;

static OPERATION: Operation = Operation::new("test::Server::echo", 2, 0);

#[track_caller]
fn assert_advice(error: &RpcError, advice: &str) {
    assert!(error.advice().contains(advice), "{error:?}");
    // What `main` prints.
    assert!(format!("{error:?}").ends_with(error.advice()), "{error:?}");
}

async fn connecting(endpoint: &str, tls: TlsConfig) -> RpcError {
    let communicator = communicator(tls);
    let connected = Proxy::connect(&communicator, endpoint).await;
    let proxy = match connected {
        Ok(proxy) => proxy,
        Err(error) => return error,
    };
    proxy.call::<_, ()>(&OPERATION, ()).await.unwrap_err()
}

async fn listening(endpoint: &str, tls: TlsConfig) -> RpcError {
    let listened = Adapter::listen(&communicator(tls), endpoint).await;
    listened.unwrap_err()
}

fn communicator(tls: TlsConfig) -> Communicator {
    Communicator::with_options(Options {
        tls,
        ..Options::default()
    })
}

/// A certificate and its key, in a folder.
struct Pair {
    _folder: TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Pair {
    /// A self-signed certificate for `localhost`.
    fn new(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        change(&mut params);
        let signing_key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&signing_key).unwrap();
        let folder = TempDir::new().unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        Self {
            certificate: write("server.pem", certificate.pem()),
            key: write("server.key", signing_key.serialize_pem()),
            _folder: folder,
        }
    }

    fn server(&self) -> TlsConfig {
        TlsConfig {
            certificate: Some(self.certificate.clone()),
            key: Some(self.key.clone()),
            authority: None,
        }
    }

    fn client(&self) -> TlsConfig {
        trusting(&self.certificate)
    }
}

fn trusting(authority: &Path) -> TlsConfig {
    TlsConfig {
        authority: Some(authority.to_owned()),
        ..TlsConfig::default()
    }
}

/// An adapter on a free port.
async fn serve(scheme: &str, tls: TlsConfig) -> (Adapter, String) {
    let endpoint = format!("{scheme}://localhost:0");
    let adapter = Adapter::listen(&communicator(tls), &endpoint)
        .await
        .unwrap();
    adapter.start();
    let endpoint = adapter.endpoint().to_string();
    (adapter, endpoint)
}

/// A server that answers every connection with this text.
fn stranger(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket.write_all(answer.as_bytes());
        }
    });
    port
}

#[tokio::test]
async fn a_port_in_use_or_an_address_of_another_machine_can_not_be_listened_on() {
    let (_adapter, endpoint) = serve("tcp", TlsConfig::default()).await;
    let none = TlsConfig::default;
    let error = listening(&endpoint, none()).await;
    assert_advice(&error, "end the program that listens there");
    // Of a reserved block: no machine has it.
    let error = listening("tcp://240.0.0.1:12002", none()).await;
    assert_advice(&error, "an address of this machine");
    assert_advice(
        &listening("tpc://localhost:1", none()).await,
        "correct the endpoint",
    );
}

#[tokio::test]
async fn a_server_that_is_away_or_no_tce_is_told_apart() {
    let none = TlsConfig::default;
    let error = connecting("tcp://127.0.0.1:1", none()).await;
    assert_advice(&error, "start the server");
    assert_advice(
        &connecting("localhost:1", none()).await,
        "correct the endpoint",
    );
    let error = connecting("tcp://host.invalid:1", none()).await;
    assert_advice(&error, "check the host name");

    let port = stranger("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let error = connecting(&format!("tcp://127.0.0.1:{port}"), none()).await;
    assert_advice(&error, "correct the scheme of the endpoint");
    let error = connecting(&format!("ws://127.0.0.1:{port}"), none()).await;
    assert_advice(&error, "its port or its path");
    let error = connecting(&format!("ssl://127.0.0.1:{port}"), none()).await;
    assert_advice(&error, "does not speak TLS");
}

#[tokio::test]
async fn another_scheme_than_that_of_the_server_is_named() {
    let pair = Pair::new(|_| {});
    let (_tcp, tcp) = serve("tcp", TlsConfig::default()).await;
    let (_ssl, ssl) = serve("ssl", pair.server()).await;
    let error = connecting(&ssl.replace("ssl", "tcp"), TlsConfig::default()).await;
    assert_advice(&error, "correct the scheme");
    let error = connecting(&tcp.replace("tcp", "ssl"), TlsConfig::default()).await;
    assert_advice(&error, "an endpoint of this kind");
    let error = connecting(&tcp.replace("tcp", "ws"), TlsConfig::default()).await;
    assert_advice(&error, "correct the scheme");
}

#[tokio::test]
async fn each_mistake_in_a_certificate_has_its_own_advice() {
    let good = Pair::new(|_| {});
    let (_adapter, endpoint) = serve("ssl", good.server()).await;
    let error = connecting(&endpoint, TlsConfig::default()).await;
    assert_advice(&error, "trust the authority");
    let address = endpoint.replace("localhost", "127.0.0.1");
    let error = connecting(&address, good.client()).await;
    assert_advice(&error, "connect by a name that the certificate is for");

    let early = Pair::new(|params| params.not_before = date_time_ymd(4000, 1, 1));
    let (_adapter, endpoint) = serve("ssl", early.server()).await;
    let error = connecting(&endpoint, early.client()).await;
    assert_advice(&error, "the clock of this machine");

    let late = Pair::new(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let (_adapter, endpoint) = serve("ssl", late.server()).await;
    let error = connecting(&endpoint, late.client()).await;
    assert_advice(&error, "renew the certificate");

    let authority = Pair::new(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let (_adapter, endpoint) = serve("ssl", authority.server()).await;
    let error = connecting(&endpoint, authority.client()).await;
    assert_advice(&error, "a certificate of its own");
}

#[tokio::test]
async fn files_that_are_missing_or_do_not_fit_are_named() {
    let (one, other) = (Pair::new(|_| {}), Pair::new(|_| {}));
    let endpoint = "ssl://localhost:0";
    let missing = TlsConfig {
        certificate: Some("missing.pem".into()),
        ..one.server()
    };
    let error = listening(endpoint, missing).await;
    assert!(error.text().contains("missing.pem"), "{error}");
    assert_advice(&error, "there is no such file");
    let mixed = TlsConfig {
        key: Some(other.key.clone()),
        ..one.server()
    };
    assert_advice(&listening(endpoint, mixed).await, "correct the files");
    let error = listening(endpoint, TlsConfig::default()).await;
    assert_advice(&error, "correct the files");
    let error = connecting("ssl://localhost:1", trusting(Path::new("missing.pem"))).await;
    // The port is tried first.
    assert_advice(&error, "start the server");
}

#[cfg(feature = "amqp")]
#[tokio::test]
async fn queues_that_are_not_open_and_brokers_that_are_away_are_told_apart() {
    let error = connecting("mq:queue", TlsConfig::default()).await;
    assert_advice(&error, "call `open_mq` once");
    let text = "common_defs:
  endpoints:
    - {name: queue, host: 127.0.0.1, port: 1, address: queue}
client:
  endpoints:
    - {name: queue, af_mode: AF_WRITE}
";
    let config = || MqConfig::parse(text, "config.yml", "client").unwrap();
    let error = Communicator::new().open_mq(config()).await.unwrap_err();
    assert_advice(&error, "start the broker");
    let broker = tce_runtime::MemoryBroker::new();
    let communicator = Communicator::new();
    communicator
        .open_mq_in_memory(config(), &broker)
        .await
        .unwrap();
    let error = Proxy::connect(&communicator, "mq:qeue").await.unwrap_err();
    assert_advice(&error, "correct the endpoint, or the section");
}

/// Everything that a broker refuses.
#[cfg(feature = "amqp")]
#[tokio::test]
async fn what_a_broker_refuses_has_its_own_advice() {
    let port = tce_test_rabbitmq::Node::shared().port();
    let endpoint = |more: &str| {
        format!(
            "common_defs:
  endpoints:
    - {{name: queue, host: 127.0.0.1, port: {port}, {more}}}
client:
  endpoints:
    - {{name: queue, af_mode: AF_WRITE}}
reader:
  endpoints:
    - {{name: queue, af_mode: AF_READ}}
"
        )
    };
    let open = async |more: &str, process: &str| {
        let config = MqConfig::parse(&endpoint(more), "config.yml", process).unwrap();
        let communicator = Communicator::new();
        communicator.open_mq(config).await.map(|()| communicator)
    };
    let error = open("address: q, user: nobody, password: x", "client").await;
    assert_advice(&error.unwrap_err(), "correct user and password");
    let error = open("address: q, vhost: nowhere", "client").await;
    assert_advice(&error.unwrap_err(), "correct the vhost");

    let writer = open("address: advice_missing", "client").await.unwrap();
    let proxy = Proxy::connect(&writer, "mq:queue").await.unwrap();
    let error = proxy.call::<_, ()>(&OPERATION, ()).await.unwrap_err();
    assert_advice(&error, "start the program that declares the queue");
    let reader = open("address: advice_missing", "reader").await.unwrap();
    let error = Adapter::listen(&reader, "mq:queue").await.unwrap_err();
    assert_advice(&error, "correct the `address` of the endpoint");
}
