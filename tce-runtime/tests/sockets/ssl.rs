//! Calls under TLS, and peers that are refused.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tce_runtime::{
    Communicator, ErrorCode, Proxy,
    config::{Options, TlsConfig},
};
use tempfile::TempDir;

use crate::common::{
    probe::{BLOB, GATE, Server, serve_at, works},
    raw::Raw,
    watching::{eventually, soon, within},
};

/// A certificate authority, and the folder of its certificates.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let folder = TempDir::new().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("authority.pem"), certificate.pem()).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A certificate for `name`, and its key.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |ending: &str, text: String| {
            let path = self.folder.path().join(format!("{name}.{ending}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        (
            write("pem", certificate.pem()),
            write("key", key.serialize_pem()),
        )
    }
}

fn options(identity: Option<(PathBuf, PathBuf)>, authority: Option<&Path>) -> Options {
    let (certificate, key) = identity.unzip();
    Options {
        tls: TlsConfig {
            certificate,
            key,
            authority: authority.map(Path::to_owned),
        },
        ..Options::default()
    }
}

/// Connections that are open stay, and a broken file changes nothing.
#[tokio::test]
async fn a_renewed_certificate_is_used_for_new_connections() {
    let authority = Authority::new();
    let server = serve_as(&authority, "localhost", None).await;
    let client = |authority: &Authority| {
        let options = options(None, Some(&authority.path()));
        Communicator::with_options(options)
    };
    let endpoint = server
        .endpoint()
        .to_string()
        .replace("127.0.0.1", "localhost");
    let before = Proxy::new(&client(&authority).connect(&endpoint).await.unwrap());
    works(&before).await;
    let other = Authority::new();
    let (certificate, key) = other.sign("localhost");
    let files = authority.folder.path();
    std::fs::copy(certificate, files.join("localhost.pem")).unwrap();
    let error = server.communicator.reload_tls().unwrap_err();
    assert!(error.to_string().contains("does not belong"), "{error}");
    assert!(client(&authority).connect(&endpoint).await.is_ok());
    std::fs::copy(key, files.join("localhost.key")).unwrap();
    server.communicator.reload_tls().unwrap();
    assert!(client(&authority).connect(&endpoint).await.is_err());
    let after = Proxy::new(&client(&other).connect(&endpoint).await.unwrap());
    works(&after).await;
    works(&before).await;
}

/// A client reads other authorities for its next connection.
#[tokio::test]
async fn renewed_authorities_are_used_for_new_connections() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = serve_as(&new, "localhost", None).await;
    let endpoint = server
        .endpoint()
        .to_string()
        .replace("127.0.0.1", "localhost");
    let trusted = old.path();
    let communicator = Communicator::with_options(options(None, Some(&trusted)));
    assert!(communicator.connect(&endpoint).await.is_err());
    std::fs::copy(new.path(), &trusted).unwrap();
    communicator.reload_tls().unwrap();
    let connection = communicator.connect(&endpoint).await.unwrap();
    works(&Proxy::new(&connection)).await;
}

async fn serve_as(
    authority: &Authority,
    name: &str,
    client_authority: Option<&Authority>,
) -> Server {
    let client_authority = client_authority.map(Authority::path);
    let options = options(Some(authority.sign(name)), client_authority.as_deref());
    serve_at("ssl://localhost:0", options).await
}

/// A client's first call: a server that refuses a client's certificate may do
/// so after the client's side of the handshake.
async fn attempt(server: &Server, options: Options) -> Result<Proxy, ErrorCode> {
    let communicator = Communicator::with_options(options);
    let proxy = soon(Proxy::connect(
        &communicator,
        &server.endpoint().to_string(),
    ))
    .await
    .map_err(|error| error.code())?;
    soon(proxy.ping()).await.map_err(|error| error.code())?;
    Ok(proxy)
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_connects() {
    let authority = Authority::new();
    let server = serve_as(&authority, "localhost", None).await;
    let proxy = attempt(&server, options(None, Some(&authority.path())))
        .await
        .unwrap();
    works(&proxy).await;
    crate::faults::each_failure_has_its_code(&proxy).await;
    let data = vec![5_u8; 3 << 20];
    let answer: Vec<u8> = within(proxy.call(&BLOB, (&data,))).await.unwrap();
    assert!(answer == data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_calls_on_many_threads_complete() {
    let authority = Authority::new();
    let server = serve_as(&authority, "localhost", None).await;
    let proxy = attempt(&server, options(None, Some(&authority.path())))
        .await
        .unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let proxy = proxy.clone();
            tokio::spawn(async move {
                let data = vec![number; 20_000];
                for _ in 0..20 {
                    let answer: Vec<u8> = proxy.call(&BLOB, (&data,)).await.unwrap();
                    assert!(answer == data);
                }
            })
        })
        .collect();
    for task in tasks {
        within(task).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = serve_as(&authority, "localhost", None).await;
    let refused = attempt(&server, options(None, Some(&other.path()))).await;
    assert_eq!(refused.unwrap_err(), ErrorCode::ConnectFailed);
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    let server = serve_as(&authority, "example.org", None).await;
    let refused = attempt(&server, options(None, Some(&authority.path()))).await;
    assert_eq!(refused.unwrap_err(), ErrorCode::ConnectFailed);
}

#[tokio::test]
async fn a_client_presents_its_certificate_where_one_is_required() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = serve_as(&authority, "localhost", Some(&authority)).await;
    let trusted = authority.path();
    let with = |identity| options(identity, Some(&trusted));

    let proxy = attempt(&server, with(Some(authority.sign("client"))))
        .await
        .unwrap();
    for identity in [None, Some(other.sign("client"))] {
        let code = attempt(&server, with(identity)).await.unwrap_err();
        assert!(
            matches!(code, ErrorCode::ConnectFailed | ErrorCode::ConnectionLost),
            "{code}"
        );
    }
    works(&proxy).await;
}

#[tokio::test]
async fn a_lost_connection_fails_calls_at_once() {
    let authority = Authority::new();
    let server = serve_as(&authority, "localhost", None).await;
    let proxy = attempt(&server, options(None, Some(&authority.path())))
        .await
        .unwrap();
    let call = proxy.call::<_, ()>(&GATE, ());
    server.probe.gate_reached(1).await;
    let ending = server.adapter.shutdown(std::time::Duration::ZERO);
    let (error, ended) = tokio::join!(soon(call), ending);
    assert_eq!(error.unwrap_err().code(), ErrorCode::ConnectionLost);
    assert!(!ended);
}

#[tokio::test]
async fn a_peer_without_tls_is_refused() {
    let authority = Authority::new();
    let server = serve_as(&authority, "localhost", None).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    raw.send(&crate::common::raw::Message::call(1, 0, vec![]).frame())
        .await;
    soon(raw.closed()).await;
    eventually("the connection has ended", || {
        server.adapter.connections() == 0
    })
    .await;
}

#[tokio::test]
async fn a_silent_peer_is_disconnected() {
    let authority = Authority::new();
    let mut options = options(Some(authority.sign("localhost")), None);
    options.connection.connect_time = std::time::Duration::from_millis(100);
    let server = serve_at("ssl://localhost:0", options).await;
    let mut silent = Raw::connect(server.endpoint()).await;
    soon(silent.closed()).await;
}

#[tokio::test]
async fn a_missing_certificate_is_named_in_the_error() {
    let communicator = Communicator::new();
    let error = tce_runtime::Adapter::listen(&communicator, "ssl://localhost:0")
        .await
        .unwrap_err();
    assert!(error.text().contains("tls.certificate"), "{error}");
    let identity = Some((PathBuf::from("no-such.pem"), PathBuf::from("no-such.key")));
    let communicator = Communicator::with_options(options(identity, None));
    let error = tce_runtime::Adapter::listen(&communicator, "ssl://localhost:0")
        .await
        .unwrap_err();
    assert!(error.text().contains("no-such"), "{error}");
}
