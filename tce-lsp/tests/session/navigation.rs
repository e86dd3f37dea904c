//! Go to definition, find references, highlights.

use serde_json::{Value, json};

use crate::client::{Client, text_at};
use crate::{BASE, SHOP};

fn shop() -> Client {
    let other = "import shop\nmodule other { sequence<shop::Order> Many; }";
    let apart = "module apart { struct Order { int a; }; }";
    let mut client = Client::start(&[
        ("base.idl", BASE),
        ("shop.idl", "on disk there is something else"),
        ("sub/other.idl", other),
        ("apart.idl", apart),
        ("include/lib.idl", "module lib { struct Far { int a; }; }"),
    ]);
    client.open("shop.idl", SHOP);
    client
}

fn definition(client: &mut Client, needle: &str) -> Value {
    let at = client.at("shop.idl", SHOP, needle, 1);
    client.ask("textDocument/definition", &at)
}

#[test]
fn definitions_are_found_in_this_file_and_in_imports() {
    let mut client = shop();
    let found = definition(&mut client, "Order order");
    assert_eq!(found[0]["uri"], client.uri("shop.idl"));
    assert_eq!(
        found[0]["range"]["start"],
        json!({ "line": 4, "character": 11 })
    );
    let found = definition(&mut client, "Root");
    assert_eq!(found[0]["uri"], client.uri("base.idl"));
    assert_eq!(text_at(BASE, &found[0]["range"]), "Root");
    let found = definition(&mut client, "base::Id");
    assert_eq!(text_at(BASE, &found[0]["range"]), "base");
    let found = definition(&mut client, "base\n");
    assert_eq!(found["uri"], client.uri("base.idl"));
    for nothing in ["strng", "nowhere", "struct", "𝄞"] {
        assert_eq!(definition(&mut client, nothing), Value::Null, "{nothing}");
    }
    client.end();
}

#[test]
fn imports_are_found_on_the_include_path() {
    let mut client = shop();
    let text = "import lib\nmodule m { sequence<lib::Far> Fars; }";
    client.open("m.idl", text);
    let at = client.at("m.idl", text, "Far>", 0);
    let found = client.ask("textDocument/definition", &at);
    assert_eq!(found[0]["uri"], client.uri("include/lib.idl"));
    client.end();
}

#[test]
fn references_are_found_in_files_that_are_not_open() {
    let mut client = shop();
    // The import is found once the file is in the same folder.
    let other = "import shop\nmodule other { sequence<shop::Order> Many; }";
    std::fs::write(client.folder.path().join("other.idl"), other).unwrap();
    let mut params = client.at("shop.idl", SHOP, "Order {", 0);
    params["context"] = json!({ "includeDeclaration": true });
    let found = client.ask("textDocument/references", &params);
    let files: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["uri"])
        .collect();
    let (shop, other) = (
        json!(client.uri("shop.idl")),
        json!(client.uri("other.idl")),
    );
    assert_eq!(files, [&shop, &shop, &shop, &other]);
    params["context"] = json!({ "includeDeclaration": false });
    let found = client.ask("textDocument/references", &params);
    assert_eq!(found.as_array().unwrap().len(), 3);
    client.end();
}

#[test]
fn occurrences_in_the_same_document_are_highlighted() {
    let mut client = shop();
    let at = client.at("shop.idl", SHOP, "Price price", 5);
    let found = client.ask("textDocument/documentHighlight", &at);
    let found: Vec<_> = found.as_array().unwrap().iter().collect();
    assert_eq!(found.len(), 2);
    for highlight in found {
        assert_eq!(text_at(SHOP, &highlight["range"]), "Price");
    }
    client.end();
}
