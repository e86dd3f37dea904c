//! Which files belong to the project, however the client names its folders.

use serde_json::{Value, json};

use crate::client::{Client, edited};

const A: &str = "module a { struct Pet { int n; }; }";
const B: &str = "import a; module b { sequence<a::Pet> Pets; }";

/// The files with references to `Pet`, and those that a rename edits.
fn covered(client: &mut Client) -> (Vec<String>, Vec<String>) {
    let mut at = client.at("a.idl", A, "Pet", 0);
    at["context"] = json!({ "includeDeclaration": true });
    at["newName"] = json!("Animal");
    let name = |client: &Client, uri: &str| uri.replace(&client.uri(""), "");
    let references = client.ask("textDocument/references", &at);
    let mut found: Vec<String> = references
        .as_array()
        .unwrap()
        .iter()
        .map(|it| name(client, it["uri"].as_str().unwrap()))
        .collect();
    found.sort();
    let changes = client.ask("textDocument/rename", &at)["changes"].clone();
    let mut changed: Vec<String> = changes
        .as_object()
        .unwrap()
        .keys()
        .map(|uri| name(client, uri))
        .collect();
    changed.sort();
    if let Some(edits) = changes.get(client.uri("b.idl")) {
        assert_eq!(edited(B, edits), B.replace("Pet>", "Animal>"));
    }
    (found, changed)
}

/// The parameters of `initialize`, from the names of the client's folders.
type Parameters = &'static dyn Fn(&Client) -> Value;

/// The URI of the client's folder.
fn uri(client: &Client) -> Value {
    json!(client.uri("").trim_end_matches('/'))
}

#[test]
fn a_client_can_name_its_folders_in_every_way() {
    let ways: [(&str, Parameters); 8] = [
        (
            "workspaceFolders",
            &|client| json!({ "workspaceFolders": [{ "uri": uri(client), "name": "x" }], "rootUri": null }),
        ),
        ("several", &|client| {
            let other = json!({ "uri": client.uri("empty"), "name": "e" });
            json!({ "workspaceFolders": [other, { "uri": uri(client), "name": "x" }] })
        }),
        ("rootUri", &|client| json!({ "rootUri": uri(client) })),
        (
            "rootUri, no folders",
            &|client| json!({ "rootUri": uri(client), "workspaceFolders": null }),
        ),
        (
            "rootUri, empty folders",
            &|client| json!({ "rootUri": uri(client), "workspaceFolders": [] }),
        ),
        (
            "rootPath",
            &|client| json!({ "rootPath": client.folder.path(), "rootUri": null, "workspaceFolders": null }),
        ),
        ("none", &|_| json!({ "rootUri": null })),
        (
            "another",
            &|client| json!({ "rootUri": client.uri("empty") }),
        ),
    ];
    for (way, params) in ways {
        let mut client = Client::connect(&[("a.idl", A), ("b.idl", B), ("empty/c.txt", "")]);
        let mut params = params(&client);
        params["processId"] = Value::Null;
        params["capabilities"] = json!({});
        client.initialize_with(&params);
        client.open("a.idl", A);
        let both = vec!["a.idl".to_owned(), "b.idl".to_owned()];
        assert_eq!(covered(&mut client), (both.clone(), both), "{way}");
        client.end();
    }
}

#[test]
fn folders_can_change() {
    let mut client = Client::connect(&[("one/a.idl", A), ("two/b.idl", B), ("two/a.idl", A)]);
    let params = json!({ "processId": null, "capabilities": {}, "rootUri": client.uri("one") });
    client.initialize_with(&params);
    client.open("two/a.idl", A);
    client.open("one/a.idl", A);
    let files = |client: &mut Client| {
        let mut at = client.at("two/a.idl", A, "Pet", 0);
        at["context"] = json!({ "includeDeclaration": true });
        let found = client.ask("textDocument/references", &at);
        found.as_array().unwrap().len()
    };
    // A file beside a document counts, also in no folder.
    assert_eq!(files(&mut client), 2);
    let event = |client: &Client, added: &str, removed: &str| {
        let folders = |name: &str| match name {
            "" => json!([]),
            name => json!([{ "uri": client.uri(name), "name": name }]),
        };
        json!({ "event": { "added": folders(added), "removed": folders(removed) } })
    };
    for (added, removed) in [("two", ""), ("", "one"), ("one", "two")] {
        let event = event(&client, added, removed);
        client.notify("workspace/didChangeWorkspaceFolders", &event);
        assert_eq!(files(&mut client), 2, "{added} {removed}");
    }
    client.end();
}

/// Clients spell the URI of a file in several ways, and expect theirs back.
#[test]
fn a_file_is_the_same_however_its_uri_is_spelled() {
    let bad = "module a { struct Pet { strng n; }; }";
    let link = tempfile::tempdir().unwrap();
    for name in ["a.idl", "with space/a.idl", "[x]{y}/a.idl", "é%/a.idl"] {
        let mut client = Client::start(&[(name, bad)]);
        let path = client.folder.path().join(name);
        let linked = link.path().join(name.replace('/', "_"));
        std::os::unix::fs::symlink(&path, &linked).unwrap();
        let encoded = |path: &std::path::Path, all: bool| -> String {
            let bytes = path.to_str().unwrap().bytes();
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
            bytes
                .map(|byte| match plain(byte) && !(all && byte == b'a') {
                    true => char::from(byte).to_string(),
                    false => format!("%{byte:02x}"),
                })
                .collect()
        };
        for uri in [
            format!("file://{}", encoded(&path, false)),
            format!("file://{}", encoded(&path, true)),
            format!("file:{}", encoded(&path, false)),
            format!("file://localhost{}", encoded(&path, false)),
            format!("FILE://{}", encoded(&path, false)),
            format!("file://{}", encoded(&linked, false)),
        ] {
            let document =
                json!({ "uri": uri, "languageId": "tce-idl", "version": 1, "text": bad });
            client.notify("textDocument/didOpen", &json!({ "textDocument": document }));
            let told = loop {
                let message = client.read();
                let params = &message["params"];
                if params["diagnostics"]
                    .as_array()
                    .is_some_and(|it| !it.is_empty())
                {
                    break params.clone();
                }
            };
            assert_eq!(told["uri"], uri, "{name}");
            let at = json!({
                "textDocument": { "uri": uri },
                "position": { "line": 0, "character": 19 },
                "newName": "Animal",
            });
            let changes = client.ask("textDocument/rename", &at)["changes"].clone();
            assert!(changes.get(&uri).is_some(), "{uri}: {changes}");
            assert_eq!(changes.as_object().unwrap().len(), 1, "{changes}");
            client.notify(
                "textDocument/didClose",
                &json!({ "textDocument": { "uri": uri } }),
            );
        }
        client.end();
    }
}
