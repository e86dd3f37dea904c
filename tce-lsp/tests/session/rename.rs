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
