//! Sessions as Visual Studio Code has them: its capabilities, several folders, incremental
//! changes while the user types, and files that come and go on disk.

use std::fs;

use serde_json::{Value, json};

use crate::client::{Client, position};
use crate::{BASE, SHOP};

/// What `vscode-languageclient` 11 sends.
const CAPABILITIES: &str = include_str!("vscode-capabilities.json");

const CREATED: u32 = 1;
const CHANGED: u32 = 2;
const DELETED: u32 = 3;

/// A session with some of the folders of the test open.
fn start(files: &[(&str, &str)], folders: &[&str]) -> Client {
    let mut client = Client::connect(files);
    let opened = folders.iter().map(|name| {
        let uri = client.uri(name);
        json!({ "uri": uri.trim_end_matches('/'), "name": name })
    });
    let opened: Vec<Value> = opened.collect();
    let capabilities: Value = serde_json::from_str(CAPABILITIES).unwrap();
    client.initialize_with(&json!({
        "processId": 1,
        "clientInfo": { "name": "Visual Studio Code", "version": "1.91.0" },
        "locale": "en",
        "rootPath": null,
        "rootUri": opened[0]["uri"],
        "capabilities": capabilities,
        "initializationOptions": { "inlayHints": { "indices": true } },
        "trace": "off",
        "workspaceFolders": opened,
    }));
    client.notify("$/setTrace", &json!({ "value": "off" }));
    client.watchers();
    client
}

/// Tells the server of files that have changed on disk.
fn watched(client: &mut Client, changes: &[(&str, u32)]) {
    let changes = changes
        .iter()
        .map(|(name, kind)| json!({ "uri": client.uri(name), "type": kind }));
    let changes: Vec<Value> = changes.collect();
    client.notify(
        "workspace/didChangeWatchedFiles",
        &json!({ "changes": changes }),
    );
}

const A: &str = "import b\nmodule a { interface I { b::B get(); }; }\n";
const B: &str = "module b { struct B { int x; }; }\n";
const BROKEN: &str = "module b { struct B { strng x; }; }\n";

/// The codes of the errors of a file that are published next.
fn errors(client: &mut Client, name: &str) -> Vec<String> {
    let told = client.diagnostics(name);
    let errors = told.iter().filter(|it| it["severity"] == 1);
    errors
        .map(|it| it["code"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn diagnostics_of_a_deleted_file_are_cleared() {
    let mut client = start(&[("a.idl", A), ("b.idl", BROKEN)], &[""]);
    client.open("a.idl", A);
    // A closed file shows its mistakes while an open one imports it.
    assert_eq!(errors(&mut client, "b.idl"), ["TCE0200"]);
    fs::remove_file(client.folder.path().join("b.idl")).unwrap();
    watched(&mut client, &[("b.idl", DELETED)]);
    assert_eq!(errors(&mut client, "b.idl"), [""; 0]);
    assert_eq!(errors(&mut client, "a.idl"), ["TCE0002"]);
    fs::write(client.folder.path().join("b.idl"), B).unwrap();
    watched(&mut client, &[("b.idl", CREATED)]);
    assert_eq!(errors(&mut client, "a.idl"), [""; 0]);
    client.end();
}

#[test]
fn diagnostics_of_a_closed_document_are_cleared() {
    let mut client = start(&[("b.idl", BROKEN)], &[""]);
    client.open("b.idl", BROKEN);
    assert_eq!(errors(&mut client, "b.idl"), ["TCE0200"]);
    client.close("b.idl");
    assert_eq!(errors(&mut client, "b.idl"), [""; 0]);
    client.end();
}

/// The editor renames the file on disk, closes the old document and opens the new one.
#[test]
fn a_renamed_file_is_found_by_its_new_name() {
    let mut client = start(&[("a.idl", A), ("old.idl", BROKEN)], &[""]);
    client.open("a.idl", A);
    client.open("old.idl", BROKEN);
    assert_eq!(errors(&mut client, "a.idl"), ["TCE0002"]);
    assert_eq!(errors(&mut client, "old.idl"), ["TCE0200"]);
    let path = |name: &str| client.folder.path().join(name);
    fs::rename(path("old.idl"), path("b.idl")).unwrap();
    client.close("old.idl");
    client.open("b.idl", BROKEN);
    watched(&mut client, &[("old.idl", DELETED), ("b.idl", CREATED)]);
    assert_eq!(errors(&mut client, "old.idl"), [""; 0]);
    assert_eq!(errors(&mut client, "b.idl"), ["TCE0200"]);
    assert_eq!(errors(&mut client, "a.idl"), [""; 0]);
    client.end();
}

/// A change of an import that is not saved counts, and what is shown of the importing document
/// is requested again.
#[test]
fn unsaved_imports_count_until_they_are_closed() {
    let mut client = start(&[("a.idl", A), ("b.idl", B)], &[""]);
    client.open("a.idl", A);
    assert_eq!(errors(&mut client, "a.idl"), [""; 0]);
    client.open("b.idl", B);
    client.codes("b.idl");
    let renamed = json!([{ "range": range(B, "B {", 1), "text": "C" }]);
    client.change("b.idl", &renamed);
    assert_eq!(errors(&mut client, "a.idl"), ["TCE0200"]);
    client.asked("workspace/inlayHint/refresh");
    client.asked("workspace/semanticTokens/refresh");
    client.close("b.idl");
    assert_eq!(errors(&mut client, "a.idl"), [""; 0]);
    client.end();
}

/// The range of some bytes after the first `needle`.
fn range(text: &str, needle: &str, length: usize) -> Value {
    let at = text.find(needle).unwrap();
    json!({ "start": position(text, at), "end": position(text, at + length) })
}

/// Each folder has a file of the same name, with a module of the same name.
#[test]
fn folders_with_the_same_files_are_apart() {
    let files = [
        ("one/a.idl", A),
        ("one/b.idl", B),
        ("two/a.idl", A),
        ("two/b.idl", B),
    ];
    let mut client = start(&files, &["one", "two"]);
    client.open("one/a.idl", A);
    client.open("two/a.idl", A);
    let mut at = client.at("two/a.idl", A, "B get", 0);
    let found = client.ask("textDocument/definition", &at);
    assert_eq!(found[0]["uri"], client.uri("two/b.idl"));
    at["context"] = json!({ "includeDeclaration": true });
    let found = client.ask("textDocument/references", &at);
    let found: Vec<&Value> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["uri"])
        .collect();
    assert_eq!(
        found,
        [
            &json!(client.uri("two/a.idl")),
            &json!(client.uri("two/b.idl"))
        ]
    );
    let symbols = client.ask("workspace/symbol", &json!({ "query": "B" }));
    assert_eq!(symbols.as_array().map(Vec::len), Some(4));
    client.end();
}

/// A folder that links to itself, and one that links out.
#[test]
fn links_of_folders_are_not_followed() {
    let mut client = start(
        &[("a.idl", A), ("b.idl", B), ("sub/c.idl", "module c {}")],
        &[""],
    );
    let folder = client.folder.path().to_owned();
    std::os::unix::fs::symlink(&folder, folder.join("sub/loop")).unwrap();
    std::os::unix::fs::symlink("/", folder.join("root")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("dangling.idl")).unwrap();
    client.open("a.idl", A);
    let symbols = client.ask("workspace/symbol", &json!({ "query": "" }));
    assert_eq!(symbols.as_array().map(Vec::len), Some(6));
    client.end();
}

/// Pseudo-random numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from((self.0 >> 33) % end.max(1) as u64).unwrap()
    }
}

/// Everything that the server shows of a document.
fn shown(client: &mut Client, name: &str) -> Vec<Value> {
    let place = |line: u32| json!({ "line": line, "character": 0 });
    let params = json!({
        "textDocument": { "uri": client.uri(name) },
        "range": { "start": place(0), "end": place(999) },
    });
    let methods = [
        "documentSymbol",
        "semanticTokens/full",
        "foldingRange",
        "inlayHint",
    ];
    let shown = methods.map(|method| client.ask(&format!("textDocument/{method}"), &params));
    shown.to_vec()
}

/// Changes in quick succession, with requests that are cancelled, lead to the same state as
/// opening the text that results: also with CR LF, and characters of two code units.
#[test]
fn fast_typing_leads_to_the_same_state_as_opening() {
    let pieces = [
        "", "x", "𝄞", "é", "\r\n", "{", "}", ";", "int a;", "/*", "*/", "\"", "\n",
    ];
    let mut numbers = Numbers(11);
    let mut client = start(&[("base.idl", BASE)], &[""]);
    let mut text = SHOP.replace('\n', "\r\n");
    client.open("shop.idl", &text);
    for version in 2..400 {
        let starts: Vec<usize> = text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .collect();
        let first = numbers.below(starts.len());
        let last = (first + numbers.below(4)).min(starts.len() - 1);
        // The editor has no position between CR and LF.
        let outside = |at: usize| match text.get(at.wrapping_sub(1)..=at) {
            Some("\r\n") => at + 1,
            _ => at,
        };
        let (start, end) = (outside(starts[first]), outside(starts[last]));
        let piece = pieces[numbers.below(pieces.len())];
        let range = json!({ "start": position(&text, start), "end": position(&text, end) });
        let change = json!({ "range": range, "rangeLength": end - start, "text": piece });
        text.replace_range(start..end, piece);
        let document = json!({ "uri": client.uri("shop.idl"), "version": version });
        let params = json!({ "textDocument": document, "contentChanges": [change] });
        client.notify("textDocument/didChange", &params);
        let at = json!({
            "textDocument": { "uri": client.uri("shop.idl") },
            "position": position(&text, start),
            "context": { "triggerKind": 1 },
        });
        let id = client.request("textDocument/completion", &at);
        if numbers.below(2) == 0 {
            client.notify("$/cancelRequest", &json!({ "id": id }));
        }
        client.response(id);
        if version % 40 == 0 {
            let typed = shown(&mut client, "shop.idl");
            client.open("fresh.idl", &text);
            assert_eq!(typed, shown(&mut client, "fresh.idl"), "{text:?}");
            client.close("fresh.idl");
        }
    }
    client.end();
}

/// Clients that don't encode every character of a path: spaces, `%`, letters beyond ASCII.
#[test]
fn paths_that_are_not_encoded_are_read() {
    for name in ["a b.idl", "é.idl", "100%.idl", "[x]^`{y}|.idl"] {
        let mut client = start(&[(name, BROKEN)], &[""]);
        let uri = client.uri(name);
        client.open(name, BROKEN);
        let told = loop {
            let message = client.read();
            if message["method"] == "textDocument/publishDiagnostics" {
                break message["params"].clone();
            }
            assert_ne!(message["method"], "window/logMessage", "{uri}: {message}");
        };
        assert_eq!(told["diagnostics"][0]["code"], "TCE0200", "{uri}");
        let at = client.at(name, BROKEN, "B {", 0);
        let hover = client.ask("textDocument/hover", &at);
        assert!(hover["contents"]["value"].is_string(), "{uri}");
        watched(&mut client, &[(name, CHANGED)]);
        client.end();
    }
}
