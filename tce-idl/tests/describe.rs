//! Descriptions as text, as JSON and for a gateway.

#![expect(clippy::unwrap_used, reason = "a test whose IDL is wrong fails")]

use serde_json::{Value, json};
use tce_idl::compile_str;
use tce_idl::describe::Description;

const IDL: &str = r#"
/// The shop.
module shop {
    /// What is sold.
    struct Item {
        string name;
        /// In cents.
        int price;
    };
    sequence<Item> Items;
    dictionary<string, Item> Stock;
    interface Base { [comment="for monitors"] bool alive(); };
    /// Where things are bought.
    ///
    /// Open all day.
    interface Orders extends Base {
        /// Gives the number of the order.
        long place(Items items, string buyer);
        [index=10] void cancel(long order);
    };
};
module store {
    interface Orders { shop::Stock all(); };
};
"#;

fn description() -> Description {
    Description::of(&compile_str(IDL).model.unwrap())
}

fn only(name: &str) -> String {
    description().only(name).unwrap().text()
}

#[test]
fn the_text_has_indices_signatures_and_documentation() {
    let expected = "\
module shop
    The shop.

interface Base, index 0
  0  bool alive()
         for monitors

interface Orders extends Base, index 1
    Where things are bought.

    Open all day.
   0  long place(Items items, string buyer)
          Gives the number of the order.
  10  void cancel(long order)
  inherited from Base, index 0:
  0  bool alive()
         for monitors

struct Item
    What is sold.
  string name
  int price
      In cents.

sequence<Item> Items

dictionary<string, Item> Stock

module store

interface Orders, index 0
  0  shop::Stock all()
";
    assert_eq!(description().text(), expected);
}

#[test]
fn the_json_has_every_part() {
    let json: Value = serde_json::from_str(&description().json()).unwrap();
    assert_eq!(json["version"], 1);
    let shop = &json["modules"][0];
    assert_eq!(shop["name"], "shop");
    assert_eq!(shop["files"], json!(["input.idl"]));
    let alive = json!({"name": "alive", "index": 0, "comment": "for monitors", "returns": "bool", "parameters": []});
    let orders = json!({
        "name": "Orders", "index": 1, "doc": "Where things are bought.\n\nOpen all day.", "extends": "shop.Base",
        "operations": [
            {"name": "place", "index": 0, "doc": "Gives the number of the order.", "returns": "long",
             "parameters": [{"name": "items", "type": "shop.Items"}, {"name": "buyer", "type": "string"}]},
            {"name": "cancel", "index": 10, "returns": "void", "parameters": [{"name": "order", "type": "long"}]},
        ],
        "inherited": [{"from": "shop.Base", "index": 0, "operations": [alive]}],
    });
    assert_eq!(shop["interfaces"][1], orders);
    let members = json!([{"name": "name", "type": "string"}, {"name": "price", "type": "int", "doc": "In cents."}]);
    assert_eq!(
        shop["structs"],
        json!([{"name": "Item", "doc": "What is sold.", "members": members}])
    );
    assert_eq!(
        shop["sequences"],
        json!([{"name": "Items", "element": "shop.Item"}])
    );
    assert_eq!(
        shop["dictionaries"],
        json!([{"name": "Stock", "key": "string", "value": "shop.Item"}])
    );
    assert_eq!(
        json["modules"][1]["interfaces"][0]["operations"][0]["returns"],
        "shop.Stock"
    );
}

#[test]
fn a_name_can_be_full_or_its_end() {
    let place = "module shop\n    The shop.\n\ninterface Orders extends Base, index 1\n    Where things are bought.\n\n    Open all day.\n  0  long place(Items items, string buyer)\n         Gives the number of the order.\n";
    for name in [
        "shop.Orders.place",
        "shop::Orders::place",
        "Orders.place",
        "place",
    ] {
        assert_eq!(only(name), place, "{name}");
    }
    assert_eq!(
        only("store.Orders"),
        "module store\n\ninterface Orders, index 0\n  0  shop::Stock all()\n"
    );
    assert_eq!(only("store"), only("store.Orders"));
    assert_eq!(
        only("Stock"),
        "module shop\n    The shop.\n\ndictionary<string, Item> Stock\n"
    );
    let both = only("Orders");
    assert!(
        both.contains("place") && both.contains("module store"),
        "{both}"
    );
}

#[test]
fn an_unknown_name_gets_a_suggestion() {
    let near = |name: &str| description().only(name).unwrap_err().to_string();
    assert_eq!(
        near("Ordres"),
        "no module, type, interface or operation is called `Ordres`: did you mean `Orders`?"
    );
    assert_eq!(
        near("Orders.palce"),
        "no module, type, interface or operation is called `Orders.palce`: did you mean `Orders.place`?"
    );
    assert_eq!(
        near("shop.Orders.Place"),
        "no module, type, interface or operation is called `shop.Orders.Place`: did you mean `shop.Orders.place`?"
    );
    assert_eq!(
        near("quite.something.else.again"),
        "no module, type, interface or operation is called `quite.something.else.again`"
    );
    assert_eq!(
        near("rders"),
        "no module, type, interface or operation is called `rders`: did you mean `Orders`?"
    );
}

#[test]
fn interface_defs_are_sorted_by_index() {
    let expected = "<InterfaceDef>\n\t<if id=\"0\" name=\"shop.Base\"/>\n\t<if id=\"0\" name=\"store.Orders\"/>\n\t<if id=\"1\" name=\"shop.Orders\"/>\n</InterfaceDef>\n";
    assert_eq!(description().interface_defs(), expected);
    let one = description().only("shop.Base").unwrap().interface_defs();
    assert_eq!(
        one,
        "<InterfaceDef>\n\t<if id=\"0\" name=\"shop.Base\"/>\n</InterfaceDef>\n"
    );
}
