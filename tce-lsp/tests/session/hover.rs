//! Hover texts.

use serde_json::Value;

use crate::client::{Client, text_at};
use crate::{BASE, SHOP};

const STOCK: &str = "\
module stock {
    enum State {
        OPEN,
        SOLD = 5,
    };
    /// No item has this name.
    exception NotFound {
        State last;
    };
    const int MAX = 5;
    [index=3]
    interface Stock {
        State state(
            /// The name of the item.
            string item
        ) throws NotFound;
    };
}
";

#[test]
fn enums_exceptions_constants_and_parameters_are_shown() {
    let mut client = Client::start(&[]);
    client.open("stock.idl", STOCK);
    let mut hover = |needle: &str| {
        let at = client.at("stock.idl", STOCK, needle, 0);
        let hover = client.ask("textDocument/hover", &at);
        hover["contents"]["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        hover("SOLD"),
        "```idl\nSOLD = 5\n```\nenum member `stock.State.SOLD`"
    );
    assert!(hover("State state").starts_with("```idl\nenum State {\n    OPEN,\n"));
    assert!(hover("NotFound;").ends_with("\n\n---\n\nNo item has this name."));
    assert_eq!(
        hover("MAX"),
        "```idl\nconst int MAX = 5;\n```\nconstant `stock.MAX`"
    );
    assert!(hover("item\n").ends_with("\n\n---\n\nThe name of the item."));
    client.end();
}

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
