//! Completion.

use serde_json::Value;

use crate::client::{Client, position};
use crate::{BASE, SHOP};

/// The labels that are offered after a text that is typed at the end of a module.
fn offered(client: &mut Client, typed: &str) -> Vec<String> {
    let (before, after) = SHOP.split_once("/// Where").unwrap();
    let text = format!("{before}{typed}\n    /// Where{after}");
    let whole = serde_json::json!([{ "text": text }]);
    client.change("shop.idl", &whole);
    let cursor = before.len() + typed.len();
    let params = serde_json::json!({
        "textDocument": { "uri": client.uri("shop.idl") }, "position": position(&text, cursor),
    });
    let items = client.ask("textDocument/completion", &params);
    let items = items.as_array().unwrap().iter();
    items
        .map(|item: &Value| item["label"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn completion_offers_what_is_expected_at_the_cursor() {
    let mut client = Client::start(&[("base.idl", BASE), ("include/lib.idl", "")]);
    client.open("shop.idl", SHOP);
    let values = offered(&mut client, "struct New { ");
    for wanted in ["int", "string", "Order", "Orders", "base::Id"] {
        assert!(
            values.iter().any(|it| it == wanted),
            "no {wanted} in {values:?}"
        );
    }
    for unwanted in ["void", "Shop", "struct", "Id"] {
        assert!(
            !values.iter().any(|it| it == unwanted),
            "{unwanted} is no value"
        );
    }
    let returned = offered(&mut client, "interface New { v");
    assert!(returned.iter().any(|it| it == "void"));
    assert_eq!(
        offered(&mut client, "interface New extends "),
        ["base::Root", "Shop"]
    );
    assert_eq!(
        offered(&mut client, "interface New extends base::"),
        ["Root"]
    );
    assert_eq!(offered(&mut client, "interface New { base::"), ["Id"]);
    assert_eq!(
        offered(&mut client, "dictionary<"),
        ["bool", "byte", "int", "long", "short", "string"]
    );
    assert_eq!(
        offered(&mut client, "[ind"),
        [
            "index",
            "comment",
            "tasks",
            "skeleton_rust",
            "deprecated",
            "idempotent"
        ]
    );
    assert_eq!(offered(&mut client, "[skeleton_rust="), ["true", "false"]);
    assert_eq!(
        offered(&mut client, "in"),
        [
            "struct",
            "enum",
            "exception",
            "const",
            "interface",
            "sequence",
            "dictionary"
        ]
    );
    assert_eq!(offered(&mut client, "} import "), ["base", "lib"]);
    assert_eq!(offered(&mut client, "} mod"), ["import", "module"]);
    assert!(offered(&mut client, "// in").is_empty());
    assert_eq!(
        offered(&mut client, "interface New { void f() "),
        ["throws"]
    );
    client.end();
}

#[test]
fn an_item_has_kind_and_documentation() {
    let mut client = Client::start(&[("base.idl", BASE)]);
    client.open("shop.idl", SHOP);
    let at = client.at("shop.idl", SHOP, "Price price", 0);
    let items = client.ask("textDocument/completion", &at);
    let order = items
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["label"] == "Order")
        .unwrap();
    assert_eq!(order["detail"], "struct");
    let documentation = order["documentation"]["value"].as_str().unwrap();
    assert!(
        documentation.ends_with("What is ordered."),
        "{documentation}"
    );
    client.end();
}
