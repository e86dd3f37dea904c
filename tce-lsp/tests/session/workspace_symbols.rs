//! Symbols of all files.

use serde_json::{Value, json};

use crate::client::{Client, text_at};
use crate::{BASE, SHOP};

/// The names that match a query, with those of their parents, and the files they are in.
fn found(client: &mut Client, query: &str) -> Vec<(String, String)> {
    let symbols = client.ask("workspace/symbol", &json!({ "query": query }));
    let symbols = symbols.as_array().unwrap().iter().map(|it| {
        let parent = it["containerName"].as_str().unwrap_or_default();
        let name = format!("{parent}.{}", it["name"].as_str().unwrap());
        let uri = it["location"]["uri"].as_str().unwrap();
        (name, uri.replace(&client.uri(""), ""))
    });
    symbols.collect()
}

#[test]
fn declarations_of_open_and_of_other_files_are_found() {
    let mut client = Client::start(&[("base.idl", BASE), ("sub/shop.idl", "module old {}")]);
    client.open("sub/shop.idl", SHOP);
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    };
    let expected = [("base.Root", "base.idl")];
    assert_eq!(found(&mut client, "root"), pairs(&expected));
    // The characters of the query, in this order.
    let expected = [("shop.Orders", "sub/shop.idl")];
    assert_eq!(found(&mut client, "ORDs"), pairs(&expected));
    let expected = [("shop.Shop.place", "sub/shop.idl")];
    assert_eq!(found(&mut client, "plc"), pairs(&expected));
    assert_eq!(found(&mut client, "old"), []);
    assert_eq!(found(&mut client, "").len(), 11);
    let symbols = client.ask("workspace/symbol", &json!({ "query": "cancel" }));
    assert_eq!(text_at(SHOP, &symbols[0]["location"]["range"]), "cancel");
    assert_eq!(symbols[0]["kind"], 6);
    client.end();
}

#[test]
fn a_large_project_gets_a_bounded_answer() {
    let operations: String = (0..1500).map(|it| format!("void op{it}();")).collect();
    let text = format!("module m {{ interface I {{ {operations} }}; }}");
    let mut client = Client::start(&[("a.idl", &text), ("b.idl", &text)]);
    let symbols = client.ask("workspace/symbol", &json!({ "query": "op" }));
    assert_eq!(symbols.as_array().map(Vec::len), Some(1000));
    assert_eq!(
        client.ask("workspace/symbol", &json!({ "query": "op1499" }))[1]["name"],
        Value::from("op1499")
    );
    client.end();
}
