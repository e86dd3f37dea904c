//! A broker with TLS.

use std::path::Path;

use rcgen::CertifiedKey;
use tce_runtime::{
    Communicator, ErrorCode,
    config::{MqConfig, Options, TlsConfig},
};
use tce_test_rabbitmq::{Node, free_port};

use crate::{common::probe::works, queues::Queues};

fn trusting(authority: &Path) -> Options {
    Options {
        tls: TlsConfig {
            authority: Some(authority.to_owned()),
            ..TlsConfig::default()
        },
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_pass_a_trusted_broker_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let names = vec!["127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(path("node.pem"), cert.pem()).unwrap();
    std::fs::write(path("node.key"), signing_key.serialize_pem()).unwrap();
    let port = free_port().unwrap();
    let _node = Node::start_with(&format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\n\
         ssl_options.certfile = {}\nssl_options.keyfile = {}\n",
        path("node.pem").display(),
        path("node.key").display()
    ));
    let queues = Queues {
        is_tls: true,
        ..Queues::at(port)
    };
    let server = queues
        .serve_with("server", trusting(&path("node.pem")))
        .await;
    let client = queues
        .open_with("client", trusting(&path("node.pem")))
        .await;
    works(&queues.proxy(&client).await).await;
    drop(server);

    let config = MqConfig::parse(&queues.text(), "config.yml", "client").unwrap();
    let error = Communicator::new().open_mq(config).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    assert!(error.text().contains("TLS handshake"), "{error}");
}
