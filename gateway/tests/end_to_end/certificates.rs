//! Certificates, keys and secrets that are renewed while the gateway runs.

use std::{fs, path::Path, time::SystemTime};

use jsonwebtoken::{EncodingKey, Header, encode};
use rustix::process::Signal;
use serde_json::json;
use tce_gateway::GatewayError;
use tce_runtime::{ErrorCode, config::Options};
use tempfile::TempDir;

use crate::common::{
    client::Client,
    house::House,
    plan::{Front, Plan},
    scene::Scene,
    watching::within,
};

const TLS: [Front; 2] = [Front::Ssl, Front::Wss];

/// Writes a new certificate and its key, as `server.pem` and `server.key`.
fn renew(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(folder.join("server.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("server.key"), made.signing_key.serialize_pem()).unwrap();
}

/// A folder with the certificate that is in use now.
fn trusted(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder.join("server.pem"), copy.path().join("server.pem")).unwrap();
    copy
}

/// Asserts that new clients get the certificate in `trusted` and no other.
async fn is_served(house: &House, trusted: &TempDir) {
    for front in TLS {
        let address = house.address(front).to_string();
        let client = Client::connect(&address, trusted.path(), Options::default()).await;
        client.expect("the certificate is trusted").works().await;
    }
}

async fn is_not_served(house: &House, trusted: &TempDir) {
    for front in TLS {
        let address = house.address(front).to_string();
        let client = Client::connect(&address, trusted.path(), Options::default()).await;
        let error = client.err().expect("the certificate is not trusted");
        assert_eq!(error.code(), ErrorCode::ConnectFailed, "{error}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_used_for_new_connections() {
    let house = House::start(Plan::direct()).await;
    let old = trusted(house.folder());
    is_served(&house, &old).await;
    let before = [
        house.client(Front::Ssl).await,
        house.client(Front::Wss).await,
    ];
    renew(house.folder());
    let new = trusted(house.folder());
    is_not_served(&house, &new).await;
    within(house.gateway().reload()).await.unwrap();
    is_served(&house, &new).await;
    is_not_served(&house, &old).await;
    for client in &before {
        client.works().await;
    }
    drop(before);
    house.end().await;
}

/// Nothing of the file is put in force with it.
#[tokio::test]
async fn a_broken_certificate_changes_nothing() {
    let house = House::start(Plan::direct()).await;
    let old = trusted(house.folder());
    let key = fs::read(house.folder().join("server.key")).unwrap();
    let services = fs::read_to_string(house.file()).unwrap();
    renew(house.folder());
    let (pem_file, key_file) = (
        house.folder().join("server.pem"),
        house.folder().join("server.key"),
    );
    let without_routes = services.replace("test.Server\">", "test.ITerminal\">");
    fs::write(house.file(), without_routes).unwrap();
    let breaks: [(&str, &dyn Fn()); 4] = [
        ("the key does not belong", &|| {
            fs::write(&key_file, &key).unwrap();
        }),
        ("has no private key", &|| {
            fs::write(&key_file, "broken").unwrap();
        }),
        ("has no certificate", &|| {
            renew(house.folder());
            fs::write(&pem_file, "broken").unwrap();
        }),
        ("No such file", &|| fs::remove_file(&pem_file).unwrap()),
    ];
    for (expected, break_it) in breaks {
        break_it();
        let error = within(house.gateway().reload()).await.unwrap_err();
        assert!(matches!(error, GatewayError::Tls { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        is_served(&house, &old).await;
    }
    house.end().await;
}

#[tokio::test]
async fn the_file_may_name_other_certificates() {
    let house = House::start(Plan::direct()).await;
    let old = trusted(house.folder());
    let other = tempfile::tempdir().unwrap();
    renew(other.path());
    let services = fs::read_to_string(house.file()).unwrap();
    let folder = house.folder().display().to_string();
    let moved = services.replace(&folder, &other.path().display().to_string());
    assert_ne!(services, moved);
    fs::write(house.file(), moved).unwrap();
    within(house.gateway().reload()).await.unwrap();
    is_served(&house, &other).await;
    is_not_served(&house, &old).await;
    house.end().await;
}

/// The log names what was reloaded, and nothing else.
#[tokio::test]
async fn sighup_reloads_certificates() {
    let scene = Scene::start(Plan::direct(), &["gw0"]).await;
    let folder = scene.folder.path();
    renew(folder);
    let new = trusted(folder);
    scene.gateway.signal(Signal::HUP);
    scene
        .gateway
        .logs("routes, certificates of gw0_ssl, certificates of gw0_wss\"")
        .await;
    let address = scene.gateway.addresses()[2].to_string();
    let connect = || Client::connect(&address, new.path(), Options::default());
    connect().await.unwrap().works().await;
    fs::write(folder.join("server.pem"), "broken").unwrap();
    scene.gateway.signal(Signal::HUP);
    scene
        .gateway
        .logs("can't reload, the old configuration stays in force: endpoint `gw0_ssl`")
        .await;
    assert_eq!(scene.gateway.count("reloaded the configuration"), 1);
    connect().await.unwrap().works().await;
}

#[tokio::test]
async fn a_watched_certificate_is_reloaded_when_it_changes() {
    let scene = Scene::start(Plan::direct(), &["gw0", "--set", "watch=true"]).await;
    renew(scene.folder.path());
    scene.gateway.logs("certificates of gw0_ssl").await;
}

/// Kubernetes replaces the files of a secret by a link to another folder. Here all
/// files have the same size and time, too.
#[tokio::test]
async fn a_watched_link_to_another_certificate_is_reloaded() {
    let folders = tempfile::tempdir().unwrap();
    let link = folders.path().join("data");
    for version in ["1", "2"] {
        let folder = folders.path().join(version);
        fs::create_dir(&folder).unwrap();
        renew(&folder);
        for file in ["server.pem", "server.key"] {
            // PEM ignores what follows.
            let text = fs::read_to_string(folder.join(file)).unwrap();
            fs::write(folder.join(file), format!("{text:\n<1000}")).unwrap();
            let file = fs::File::options()
                .write(true)
                .open(folder.join(file))
                .unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
    }
    std::os::unix::fs::symlink("1", &link).unwrap();
    let edit = |text: String| {
        let certificates = link.join("server.");
        let line = |line: &str| match line.split_once("certfile=\"") {
            Some((before, _)) => format!(
                r#"{before}certfile="{0}pem" keyfile="{0}key"/>"#,
                certificates.display()
            ),
            None => line.to_owned(),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    };
    let arguments = ["gw0", "--set", "watch=true"];
    let scene = Scene::start_with(Plan::direct(), &arguments, edit).await;
    let address = scene.gateway.addresses()[2].to_string();
    let connects_with = async |version: &str| {
        let trusted = folders.path().join(version);
        let client = Client::connect(&address, &trusted, Options::default()).await;
        client.is_ok()
    };
    assert!(connects_with("1").await);
    std::os::unix::fs::symlink("2", folders.path().join("new")).unwrap();
    fs::rename(folders.path().join("new"), &link).unwrap();
    scene.gateway.logs("certificates of gw0_ssl").await;
    assert!(connects_with("2").await);
    assert!(!connects_with("1").await);
}

fn jwt(secret: &str) -> String {
    let claims = json!({ "sub": "anna", "exp": u32::MAX });
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}

#[tokio::test]
async fn a_renewed_secret_is_used_for_new_logins() {
    const OLD: &str = "an old secret that is long enough to be safe";
    const NEW: &str = "a new secret that is long enough to be safe";
    let plan = Plan::direct()
        .property("userid_check", "true")
        .property("auth", "jwt")
        .property("auth_jwt_secret", OLD);
    let house = House::start(plan).await;
    let before = house.user(&jwt(OLD)).await;
    before.works().await;
    let services = fs::read_to_string(house.file()).unwrap();
    fs::write(house.file(), services.replace(OLD, "short")).unwrap();
    let error = within(house.gateway().reload()).await.unwrap_err();
    assert!(matches!(error, GatewayError::JwtKey(_)), "{error}");
    fs::write(house.file(), services.replace(OLD, NEW)).unwrap();
    within(house.gateway().reload()).await.unwrap();
    let new = house.user(&jwt(NEW)).await;
    new.works().await;
    let old = house.user(&jwt(OLD)).await;
    let error = within(old.server.echo("who")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectReject);
    drop((before, new, old));
    house.end().await;
}
