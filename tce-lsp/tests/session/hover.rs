//! Hover texts.

use serde_json::Value;

use crate::client::{Client, text_at};
use crate::{BASE, SHOP};

fn hover(client: &mut Client, needle: &str) -> (String, String) {
    let at = client.at("shop.idl", SHOP, needle, 0);
    let hover = client.ask("textDocument/hover", &at);
    let value = hover["contents"]["value"].as_str().unwrap();
    (value.to_owned(), text_at(SHOP, &hover["range"]).to_owned())
}

#[test]
fn declaration_index_and_documentation_are_shown() {
    let mut client = Client::start(&[("base.idl", BASE)]);
    client.open("shop.idl", SHOP);
    let (text, range) = hover(&mut client, "place(");
    assert_eq!(range, "place");
    assert_eq!(
        text,
        "```idl\nlong place(Order order, string user);\n```\n\
         operation `shop.Shop.place`, index 0 (from its position)\n\n---\n\nPlaces an order."
    );
    let (text, _) = hover(&mut client, "Shop");
    assert_eq!(
        text,
        "```idl\ninterface Shop extends base::Root\n```\n\
         interface `shop.Shop`, index 7 (explicit)\n\n---\n\nWhere orders go."
    );
    let (text, _) = hover(&mut client, "Price price");
    assert_eq!(
        text,
        "```idl\nstruct Price { double amount; };\n```\nstruct `shop.Price`"
    );
    let (text, _) = hover(&mut client, "Order {");
    assert!(
        text.starts_with("```idl\nstruct Order {\n    base::Id id;\n"),
        "{text}"
    );
    let (text, _) = hover(&mut client, "Root");
    assert!(text.contains("interface Root"), "{text}");
    let (text, _) = hover(&mut client, "base\n");
    assert!(text.contains("base.idl"), "{text}");
    let at = client.at("shop.idl", SHOP, "double", 0);
    assert_eq!(client.ask("textDocument/hover", &at), Value::Null);
    client.end();
}
