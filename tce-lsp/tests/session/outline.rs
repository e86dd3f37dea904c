//! The outline of a file, and the kinds of its names.

use std::ops::Range;

use serde_json::{Value, json};

use crate::client::{Client, bytes};
use crate::{BASE, SHOP};

/// The names of an outline, indented.
fn names(symbols: &Value, depth: usize) -> String {
    let symbols = symbols.as_array().into_iter().flatten();
    symbols
        .map(|it| {
            let name = it["name"].as_str().unwrap();
            let inside = names(&it["children"], depth + 1);
            format!("{}{name}\n{inside}", "  ".repeat(depth))
        })
        .collect()
}

/// Asserts what editors require: a name is inside its declaration, and that inside its parent.
fn assert_nested(symbols: &Value, text: &str, around: Range<usize>) {
    for symbol in symbols.as_array().into_iter().flatten() {
        let whole = bytes(text, &symbol["range"]);
        let name = bytes(text, &symbol["selectionRange"]);
        assert!(
            around.start <= whole.start && whole.end <= around.end,
            "{symbol}"
        );
        assert!(
            whole.start <= name.start && name.end <= whole.end,
            "{symbol}"
        );
        assert_eq!(text[name], *symbol["name"].as_str().unwrap());
        assert_nested(&symbol["children"], text, whole);
    }
}

#[test]
fn the_outline_is_a_tree_in_the_order_of_the_text() {
    let mut client = Client::start(&[("base.idl", BASE)]);
    let text = format!("{SHOP}\nmodule shop {{ dictionary<int, Order> Book; }}");
    client.open("shop.idl", &text);
    let params = json!({ "textDocument": { "uri": client.uri("shop.idl") } });
    let outline = client.ask("textDocument/documentSymbol", &params);
    let expected = "\
shop
  Order
    id
    item
    price
  Orders
  Price
    amount
  Shop
    place
    cancel
shop
  Book
";
    assert_eq!(names(&outline, 0), expected);
    assert_nested(&outline, &text, 0..text.len());
    assert_eq!(outline[0]["children"][3]["detail"], "index 7");
    client.end();
}

#[test]
fn each_name_has_a_kind() {
    let mut client = Client::start(&[]);
    client.open(
        "m.idl",
        "module m {\n  struct S { int a; };\n  sequence<S> T;\n}",
    );
    let params = json!({ "textDocument": { "uri": client.uri("m.idl") } });
    let tokens = client.ask("textDocument/semanticTokens/full", &params);
    // Line and column relative to the previous token, length, kind, whether it is a declaration.
    let expected = json!([
        0, 7, 1, 0, 1, // m
        1, 9, 1, 1, 1, // S
        0, 8, 1, 5, 1, // a
        1, 11, 1, 1, 0, // S
        0, 3, 1, 2, 1, // T
    ]);
    assert_eq!(tokens["data"], expected);
    client.end();
}
