//! Rename, in all files of the project.

use serde_json::{Value, json};

use crate::client::{Client, edited, text_at};
use crate::{BASE, SHOP};

const OTHER: &str = "import shop\nmodule other { /* 𝄞 */ sequence<shop::Order> Many; }";

fn shop() -> Client {
    let mut client = Client::start(&[("base.idl", BASE), ("shop.idl", SHOP), ("other.idl", OTHER)]);
    client.open("shop.idl", SHOP);
    client
}

fn params(client: &Client, needle: &str, new: &str) -> Value {
    let mut params = client.at("shop.idl", SHOP, needle, 0);
    params["newName"] = json!(new);
    params
}

#[test]
fn a_type_is_renamed_wherever_it_is_used_even_where_there_are_errors() {
    let mut client = shop();
    let params = params(&client, "Order order", "Purchase");
    let changes = client.ask("textDocument/rename", &params)["changes"].clone();
    assert_eq!(changes.as_object().unwrap().len(), 2);
    let shop = edited(SHOP, &changes[client.uri("shop.idl")]);
    let expected = SHOP
        .replace("struct Order {", "struct Purchase {")
        .replace("<Order>", "<Purchase>")
        .replace("Order order", "Purchase order");
    assert_eq!(shop, expected);
    let other = edited(OTHER, &changes[client.uri("other.idl")]);
    assert_eq!(other, OTHER.replace("Order", "Purchase"));
    client.end();
}

#[test]
fn a_module_is_renamed_where_it_is_opened_and_named() {
    let mut client = shop();
    let params = params(&client, "shop {", "store");
    let changes = client.ask("textDocument/rename", &params)["changes"].clone();
    let shop = edited(SHOP, &changes[client.uri("shop.idl")]);
    assert_eq!(shop, SHOP.replace("module shop", "module store"));
    // An import names a file, which stays as it is.
    let other = edited(OTHER, &changes[client.uri("other.idl")]);
    assert_eq!(other, OTHER.replace("shop::", "store::"));
    client.end();
}

#[test]
fn a_member_is_renamed_where_it_is_declared() {
    let mut client = shop();
    let params = params(&client, "price\n", "cost");
    let changes = client.ask("textDocument/rename", &params)["changes"].clone();
    let shop = edited(SHOP, &changes[client.uri("shop.idl")]);
    assert_eq!(shop, SHOP.replace("Price price", "Price cost"));
    client.end();
}

#[test]
fn names_that_are_invalid_or_in_use_are_refused() {
    let mut client = shop();
    for (needle, new, why) in [
        ("Order {", "struct", "is not a valid name"),
        ("Order {", "two words", "is not a valid name"),
        ("Order {", "1st", "is not a valid name"),
        ("Order {", "", "is not a valid name"),
        ("Order {", "é", "is not a valid name"),
        ("Order {", "Price", "`shop.Price` already exists"),
        ("place(", "cancel", "`shop.Shop.cancel` already exists"),
        ("user)", "order", "already exists"),
        ("strng", "Fine", "there is no name to rename here"),
        ("nowhere", "somewhere", "there is no name to rename here"),
    ] {
        let params = params(&client, needle, new);
        let (code, message) = client.refused("textDocument/rename", &params);
        assert_eq!(code, -32803);
        assert!(message.contains(why), "{needle} to {new}: {message}");
    }
    client.end();
}

#[test]
fn an_editor_is_told_what_would_be_renamed() {
    let mut client = shop();
    let at = client.at("shop.idl", SHOP, "Order order", 3);
    let found = client.ask("textDocument/prepareRename", &at);
    assert_eq!(found["placeholder"], "Order");
    assert_eq!(text_at(SHOP, &found["range"]), "Order");
    let at = client.at("shop.idl", SHOP, "struct", 3);
    assert_eq!(client.ask("textDocument/prepareRename", &at), Value::Null);
    client.end();
}

const HIERARCHY: &str = "module m {
    interface Base { void open(); };
    interface Desk extends Base { void close(); };
    interface Till extends Desk { void pay(); };
    interface Other extends Base { void wait(); };
}
";

#[test]
fn names_in_the_interface_hierarchy_are_refused() {
    let mut client = Client::start(&[("m.idl", HIERARCHY)]);
    client.open("m.idl", HIERARCHY);
    for (needle, new, other) in [
        ("close", "open", "`m.Base.open`"),
        ("open", "pay", "`m.Till.pay`"),
        ("open", "close", "`m.Desk.close`"),
        ("pay", "close", "`m.Desk.close`"),
        ("pay", "open", "`m.Base.open`"),
        ("wait", "open", "`m.Base.open`"),
    ] {
        let mut params = client.at("m.idl", HIERARCHY, needle, 0);
        params["newName"] = json!(new);
        let (code, message) = client.refused("textDocument/rename", &params);
        assert_eq!(code, -32803);
        assert!(message.contains(other), "{needle} to {new}: {message}");
    }
    // Interfaces beside each other may have the same operation.
    for (needle, new) in [("wait", "pay"), ("close", "wait"), ("pay", "Till")] {
        let mut params = client.at("m.idl", HIERARCHY, needle, 0);
        params["newName"] = json!(new);
        let changes = client.ask("textDocument/rename", &params)["changes"].clone();
        let text = edited(HIERARCHY, &changes[client.uri("m.idl")]);
        assert!(tce_idl::compile_str(&text).model.is_some(), "{text}");
    }
    client.end();
}

/// The clash is in a file that contains neither name, and imports both.
#[test]
fn names_of_files_that_meet_elsewhere_are_refused() {
    let one = "module m { interface Base { void first(); }; struct One { int n; }; }";
    let two = "import one\nmodule m { struct Two { int n; }; }
        module n { interface Derived extends m::Base { void second(); }; }";
    let three = "import one\nmodule m { struct Drei { int n; }; }";
    let both = "import two\nimport three\nmodule k { interface I { void i(); }; }";
    let mut client = Client::start(&[
        ("one.idl", one),
        ("two.idl", two),
        ("three.idl", three),
        ("both.idl", both),
    ]);
    client.open("one.idl", one);
    for (needle, new, other) in [
        ("One", "Two", "`m.Two`"),
        ("first", "second", "`n.Derived.second`"),
    ] {
        let mut params = client.at("one.idl", one, needle, 0);
        params["newName"] = json!(new);
        let (_, message) = client.refused("textDocument/rename", &params);
        assert!(message.contains(other), "{needle} to {new}: {message}");
    }
    client.open("three.idl", three);
    let mut params = client.at("three.idl", three, "Drei", 0);
    params["newName"] = json!("Two");
    let (_, message) = client.refused("textDocument/rename", &params);
    assert!(message.contains("`m.Two`"), "{message}");
    client.end();
}

/// A module that is renamed to another one would open it.
#[test]
fn what_no_longer_compiles_is_refused() {
    let text = "module a { interface I { void f(); }; }\nmodule b { interface I { void f(); }; }";
    let mut client = Client::start(&[("m.idl", text)]);
    client.open("m.idl", text);
    let mut params = client.at("m.idl", text, "a {", 0);
    params["newName"] = json!("b");
    let (_, message) = client.refused("textDocument/rename", &params);
    assert!(message.contains("`b` already exists"), "{message}");
    client.end();
}

/// Locks and index files name declarations, and are not renamed.
#[test]
fn names_in_locks_and_index_files_are_refused() {
    let text = "module m { interface Desk { void open(); void close(); }; }";
    for (file, content, needle) in [
        ("ifx-index-list.txt", "m.Desk=7\n", "Desk"),
        (
            "tce.lock",
            "version = 1\nm.Desk = 0\nm.Desk.open = 0\n",
            "Desk",
        ),
        (
            "tce.lock",
            "version = 1\nm.Desk = 0\nm.Desk.open = 0\n",
            "open",
        ),
    ] {
        let mut client = Client::start(&[("m.idl", text), (file, content)]);
        client.open("m.idl", text);
        let mut params = client.at("m.idl", text, needle, 0);
        params["newName"] = json!("Other");
        let (_, message) = client.refused("textDocument/rename", &params);
        assert!(message.contains("m.Desk"), "{message}");
        // Another name is free.
        let mut params = client.at("m.idl", text, "close", 0);
        params["newName"] = json!("shut");
        client.ask("textDocument/rename", &params);
        client.end();
    }
}

/// Files that no file imports together can have the same names.
#[test]
fn names_of_files_that_never_meet_do_not_clash() {
    let one = "module m { struct A { int a; }; interface I { void f(A a); }; }";
    let two = "module m { struct B { int b; }; }";
    let three = "import one\nmodule n { sequence<m::A> As; }";
    let mut client = Client::start(&[("one.idl", one), ("two.idl", two), ("three.idl", three)]);
    client.open("one.idl", one);
    let mut params = client.at("one.idl", one, "A {", 0);
    params["newName"] = json!("B");
    let changes = client.ask("textDocument/rename", &params)["changes"].clone();
    assert_eq!(
        edited(one, &changes[client.uri("one.idl")]),
        one.replace("A ", "B ")
    );
    let expected = three.replace("m::A>", "m::B>");
    assert_eq!(edited(three, &changes[client.uri("three.idl")]), expected);
    assert_eq!(changes.as_object().map(serde_json::Map::len), Some(2));
    client.end();
}
