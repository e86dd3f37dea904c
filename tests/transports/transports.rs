//! A server and a client for each transport.

use std::{fs, path::Path, time::Duration};

use tce_runtime::{
    Communicator, Proxy,
    config::{Options, TlsConfig},
};
use tce_test_rabbitmq::Node;
use tempfile::TempDir;

use crate::{
    common::probe::{Server, connect, serve_at},
    queues::Queues,
};

/// Timeout of a shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// A server with a probe, and a client of it.
pub(crate) struct Pair {
    pub(crate) server: Server,
    pub(crate) client: Communicator,
    pub(crate) proxy: Proxy,
}

impl Pair {
    /// Shuts both down, and asserts that nothing was cut off.
    pub(crate) async fn end(self) {
        drop(self.proxy);
        assert!(
            self.client.shutdown(SHUTDOWN_TIMEOUT).await,
            "the client ends"
        );
        let ended = self.server.communicator.shutdown(SHUTDOWN_TIMEOUT).await;
        assert!(ended, "the server ends");
    }
}

pub(crate) async fn tcp() -> Pair {
    stream("tcp", Options::default(), Options::default()).await
}

pub(crate) async fn ws() -> Pair {
    stream("ws", Options::default(), Options::default()).await
}

pub(crate) async fn ssl() -> Pair {
    let folder = TempDir::new().expect("a folder for the certificate");
    let (server, client) = identity(folder.path());
    stream("ssl", server, client).await
}

pub(crate) async fn wss() -> Pair {
    let folder = TempDir::new().expect("a folder for the certificate");
    let (server, client) = identity(folder.path());
    stream("wss", server, client).await
}

pub(crate) async fn amqp() -> Pair {
    over_queues(Queues::at(Node::shared().port())).await
}

pub(crate) async fn amqp_in_batches() -> Pair {
    over_queues(in_batches(Queues::at(Node::shared().port()))).await
}

pub(crate) async fn memory() -> Pair {
    over_queues(Queues::in_memory()).await
}

pub(crate) async fn memory_in_batches() -> Pair {
    over_queues(in_batches(Queues::in_memory())).await
}

fn in_batches(queues: Queues) -> Queues {
    Queues {
        in_batches: true,
        ..queues
    }
}

async fn over_queues(queues: Queues) -> Pair {
    let server = queues.serve("server").await;
    let client = queues.open("client").await;
    let proxy = queues.proxy(&client).await;
    Pair {
        server,
        client,
        proxy,
    }
}

async fn stream(scheme: &str, server: Options, client: Options) -> Pair {
    let server = serve_at(&format!("{scheme}://localhost:0"), server).await;
    let client = Communicator::with_options(client);
    let proxy = connect(&client, server.endpoint()).await;
    Pair {
        server,
        client,
        proxy,
    }
}

/// Options of a server with a new certificate, and of a client that trusts it.
fn identity(folder: &Path) -> (Options, Options) {
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("the name is valid");
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    fs::write(&certificate, made.cert.pem()).expect("the folder is writable");
    fs::write(&key, made.signing_key.serialize_pem()).expect("the folder is writable");
    let with = |tls| Options {
        tls,
        ..Options::default()
    };
    let server = with(TlsConfig {
        certificate: Some(certificate.clone()),
        key: Some(key),
        ..TlsConfig::default()
    });
    let client = with(TlsConfig {
        authority: Some(certificate),
        ..TlsConfig::default()
    });
    (server, client)
}
