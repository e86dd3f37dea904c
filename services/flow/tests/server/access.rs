//! Who may do what.

use std::fs;

use tce_flow::access::{AccessOptions, TokenFile};
use tce_flow::idl::flow::{FlowControlPrx, FlowQueryPrx};
use tce_flow::server::{Server, ServerOptions, StartError};
use tce_runtime::config::{Options, TlsConfig};
use tce_runtime::{Communicator, TypedProxy};

use super::common::Fixture;

const DEFINITION: &str = "suite s\n task t\nendsuite\nsuite other\n task t\nendsuite\n";

#[tokio::test]
async fn other_machines_need_tls_and_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let start = |endpoint: &str| ServerOptions::new(folder.path(), endpoint);
    let refused = Server::start(start("tcp://0.0.0.0:0")).await;
    assert!(matches!(refused, Err(StartError::Insecure(_))));
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path("certificate.pem"), certified.cert.pem()).unwrap();
    fs::write(path("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let mut options = start("ssl://0.0.0.0:0");
    options.endpoints.push("tcp://127.0.0.1:0".to_owned());
    options.connections.tls = TlsConfig {
        certificate: Some(path("certificate.pem")),
        key: Some(path("key.pem")),
        ..TlsConfig::default()
    };
    let tokens = TokenFile::new(options.access.tokens.clone());
    let server = Server::start(options).await.unwrap();
    let client = Communicator::with_options(Options {
        tls: TlsConfig {
            authority: Some(path("certificate.pem")),
            ..TlsConfig::default()
        },
        ..Options::default()
    });
    let endpoint = format!("ssl://localhost:{}", server.endpoints()[0].port);
    let control = FlowControlPrx::connect(&client, &endpoint).await.unwrap();
    let query = FlowQueryPrx::new(control.connection());
    query.ping().await.unwrap();
    let user = [("user", "root")];
    assert!(query.with_extra(user).version().await.is_err());
    let refused = control
        .with_extra(user)
        .load(DEFINITION, "def", false)
        .await;
    assert_eq!(refused.unwrap().code, 43);
    let token = |user, read, suites: &[&str], seed| {
        let suites = suites.iter().map(|suite| (*suite).to_owned()).collect();
        tokens.add(user, read, suites, [seed; 32]).unwrap()
    };
    let all = token("ada", false, &[], 1);
    let reader = token("ben", true, &[], 2);
    let limited = token("cid", false, &["s"], 3);
    // The server looks at the file once a second.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let with = |token: &str| control.with_extra([("__token__", token)]);
    let loaded = with(&all).load(DEFINITION, "def", false).await.unwrap();
    assert_eq!(loaded.code, 0, "{}", loaded.text);
    let paths = ["/s/t".to_owned(), "/other/t".to_owned()];
    let refused = with(&reader).suspend(&paths).await.unwrap();
    let text = "[ authentication failed ] User 'ben' is not allowed write access.";
    assert_eq!((refused[1].code, &*refused[1].text), (43, text));
    let asked = query.with_extra([("__token__", &*reader)]);
    assert_eq!(asked.suites().await.unwrap(), ["s", "other"]);
    assert_eq!(
        with(&limited).suspend(&paths[..1]).await.unwrap()[0].code,
        0
    );
    assert_eq!(with(&limited).suspend(&paths).await.unwrap()[0].code, 43);
    let asked = query.with_extra([("__token__", &*limited)]);
    assert_eq!(asked.suites().await.unwrap(), ["s"]);
    let rows = asked.tree("/", -1, -1).await.unwrap();
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["s", "t"]);
    assert!(asked.show("/", "", 0).await.is_err());
    server.shutdown().await;
}

#[tokio::test]
async fn a_white_list_limits_the_users_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("lists");
    fs::write(&list, "4.4.14\ntester\n-reader\n").unwrap();
    let mut fixture = Fixture::with(|options| {
        options.access = AccessOptions {
            white_list: Some(list.clone()),
            own_user: "root".to_owned(),
            ..options.access.clone()
        };
    })
    .await;
    fixture.begin(DEFINITION).await;
    let paths = ["/s/t".to_owned()];
    let as_user = |user| fixture.control.with_extra([("user", user)]);
    for (user, code, text) in [
        ("tester", 0, ""),
        ("root", 0, "the node is suspended already"),
        (
            "nobody",
            43,
            "[ authentication failed ] User 'nobody' is not allowed any access.",
        ),
        (
            "reader",
            43,
            "[ authentication failed ] User 'reader' is not allowed write access.",
        ),
    ] {
        let outcome = &as_user(user).suspend(&paths).await.unwrap()[0];
        assert_eq!((outcome.code, &*outcome.text), (code, text), "{user}");
    }
    fs::write(&list, "4.4.14\ntester not-a-path\n").unwrap();
    let refused = fixture.control.reload("whitelist").await.unwrap();
    assert!(
        refused.text.contains("lists:2: a path begins with"),
        "{}",
        refused.text
    );
    assert_eq!(as_user("reader").suspend(&paths).await.unwrap()[0].code, 43);
    fs::write(&list, "4.4.14\n*\n").unwrap();
    assert_eq!(fixture.control.reload("whitelist").await.unwrap().code, 0);
    assert_eq!(as_user("reader").suspend(&paths).await.unwrap()[0].code, 0);
    // Jobs show their passwords, and no user.
    let job = fixture.next_job().await;
    assert_eq!(fixture.jobs.started(&job, &[]).await.unwrap().code, 0);
}
