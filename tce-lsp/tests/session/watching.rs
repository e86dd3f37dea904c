//! Files that change outside of the editor.

use std::fs;

use serde_json::{Value, json};

use crate::client::Client;

fn start(files: &[(&str, &str)], folder: &str, watching: &Value) -> Client {
    let mut client = Client::connect(files);
    let params = json!({
        "processId": null,
        "rootUri": client.uri(folder),
        "capabilities": { "workspace": { "didChangeWatchedFiles": watching } },
    });
    client.initialize_with(&params);
    client
}

fn patterns(watchers: &[Value]) -> Vec<&Value> {
    watchers.iter().map(|it| &it["globPattern"]).collect()
}

const A: &str = "import b\nmodule a { interface I { b::B get(); }; }";
const B: &str = "module b { struct B { int x; }; }";

/// Tells the server that a file has changed, as the client's watcher does.
fn changed(client: &mut Client, name: &str) {
    let change = json!({ "uri": client.uri(name), "type": 2 });
    client.notify(
        "workspace/didChangeWatchedFiles",
        &json!({ "changes": [change] }),
    );
}

#[test]
fn diagnostics_follow_changes_on_disk() {
    let watching = json!({ "dynamicRegistration": true });
    let mut client = start(&[("a.idl", A), ("b.idl", B)], "", &watching);
    let watched = client.watchers();
    for pattern in ["**/*.idl", "**/tce.toml", "**/tce.lock"] {
        assert!(patterns(&watched).contains(&&json!(pattern)), "{watched:?}");
    }
    client.open("a.idl", A);
    let errors = |client: &mut Client| {
        let told = client.diagnostics("a.idl");
        told.iter().filter(|it| it["severity"] == 1).count()
    };
    assert_eq!(errors(&mut client), 0);
    fs::write(client.folder.path().join("b.idl"), "module b {}").unwrap();
    changed(&mut client, "b.idl");
    assert_eq!(errors(&mut client), 1);
    fs::write(client.folder.path().join("b.idl"), B).unwrap();
    changed(&mut client, "b.idl");
    assert_eq!(errors(&mut client), 0);
    client.end();
}

/// Files outside of the editor's folders: imports, also missing ones, and what lies
/// beside the document.
#[test]
fn files_outside_of_the_folders_are_watched_too() {
    for relative in [true, false] {
        let watching = json!({ "dynamicRegistration": true, "relativePatternSupport": relative });
        let files = [("work/a.idl", A), ("include/b.idl", B)];
        let mut client = start(&files, "work", &watching);
        client.watchers();
        client.open("work/a.idl", A);
        let more = client.watchers();
        let expected = if relative {
            json!({ "baseUri": client.uri("include"), "pattern": "*.idl" })
        } else {
            json!(client.folder.path().join("include/*.idl"))
        };
        assert_eq!(patterns(&more), [&expected]);
        client.end();
    }
}

/// An index file can have any name.
#[test]
fn index_files_are_watched() {
    let watching = json!({ "dynamicRegistration": true, "relativePatternSupport": true });
    let files = [
        ("a.idl", A),
        ("b.idl", B),
        ("ifx-index-list.txt", "a.I=7\n"),
    ];
    let mut client = start(&files, "", &watching);
    client.watchers();
    client.open("a.idl", A);
    let more = client.watchers();
    let folder = client.uri("");
    let folder = folder.trim_end_matches('/');
    let expected = json!({ "baseUri": folder, "pattern": "ifx-index-list.txt" });
    assert_eq!(patterns(&more), [&expected]);
    client.end();
}

#[test]
fn a_client_that_cannot_be_asked_is_not_asked() {
    for watching in [
        json!({ "dynamicRegistration": false }),
        json!({}),
        Value::Null,
    ] {
        let mut client = start(&[("a.idl", A), ("b.idl", B)], "", &watching);
        client.open("a.idl", A);
        client.diagnostics("a.idl");
        let id = client.request("shutdown", &Value::Null);
        loop {
            let message = client.read();
            assert_ne!(message["method"], "client/registerCapability");
            if message["id"] == id {
                break;
            }
        }
        client.notify("exit", &Value::Null);
        client.disconnect().unwrap();
    }
}

/// A file that is created before the one that an import finds now.
#[test]
fn a_new_file_is_imported_instead() {
    let mut client = Client::start(&[("a.idl", A), ("include/b.idl", B)]);
    client.open("a.idl", A);
    let errors = |told: &[Value]| told.iter().filter(|it| it["severity"] == 1).count();
    assert_eq!(errors(&client.diagnostics("a.idl")), 0);
    client.open("b.idl", "module b {}");
    assert_eq!(errors(&client.diagnostics("a.idl")), 1);
    client.end();
}
