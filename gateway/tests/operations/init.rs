//! `tce gateway init`: what it writes is valid and starts.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tce_runtime::{Communicator, Proxy};

use super::command::run;
use crate::common::{process::GatewayProcess, watching::within};

const KINDS: [&[&str]; 6] = [
    &[],
    &["--direct"],
    &["--mq"],
    &["--auth", "jwt"],
    &["--direct", "--auth", "jwt"],
    &["--mq", "--auth", "jwt"],
];

/// The written file with free ports.
fn use_free_ports(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let text = text
        .replace("\"12001\"", "\"0\"")
        .replace("\"12002\"", "\"0\"");
    fs::write(file, text).unwrap();
}

#[test]
fn what_it_writes_has_neither_mistakes_nor_warnings() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let out = run(folder.path(), &[&["init"], kind].concat()).succeeds();
        assert!(out.starts_with("wrote services.xml\n"), "{out}");
        let out = run(folder.path(), &["services.xml", "--check"]).succeeds();
        assert_eq!(out, "services.xml: all right (gwserver)\n", "{kind:?}");
    }
}

#[tokio::test]
async fn what_it_writes_starts_and_serves() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("services.xml");
        run(folder.path(), &[&["init"], kind].concat()).succeeds();
        use_free_ports(&file);
        let options = ["--set", "admin=0", "--set", "mq=memory"];
        let gateway = GatewayProcess::start(&file, &options, 2).await;
        for address in gateway.addresses() {
            let communicator = Communicator::new();
            let address = address.to_string();
            let proxy = Proxy::connect(&communicator, &address);
            let proxy = within(proxy).await.unwrap();
            within(proxy.ping()).await.unwrap();
        }
    }
}

#[test]
fn an_existing_file_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.xml");
    fs::write(&file, "mine").unwrap();
    let existing = "mine.xml exists already: name another file, or remove it\n";
    run(folder.path(), &["init", "mine.xml"]).fails(1, existing);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    // A link to a missing file counts as well.
    std::os::unix::fs::symlink("elsewhere", folder.path().join("link.xml")).unwrap();
    run(folder.path(), &["init", "link.xml"]).fails(1, "link.xml exists already");
}

#[test]
fn each_file_has_a_secret_of_its_own_that_others_cannot_read() {
    let secret = || {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &["init", "--auth", "jwt"]).succeeds();
        let file = folder.path().join("services.xml");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        let (_, rest) = text.split_once("auth_jwt_secret\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let (one, other) = (secret(), secret());
    assert_eq!(one.len(), 64);
    assert_ne!(one, other);
}

#[test]
fn wrong_arguments_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init", "--mq", "--direct"]).fails(2, "cannot be used with");
    run(folder.path(), &["init", "--auth", "password"]).fails(2, "[possible values: none, jwt]");
    run(folder.path(), &["init", "missing/services.xml"])
        .fails(1, "can't write missing/services.xml");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_may_be_named_like_a_command() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init", "token"]).succeeds();
    run(folder.path(), &["./token", "--check"]).succeeds();
    run(folder.path(), &[]).fails(2, "<SERVICES.XML>");
}
