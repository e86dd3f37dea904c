//! Formatting.

use serde_json::{Value, json};

use crate::SHOP;
use crate::client::{Client, edited};

fn format(client: &mut Client, text: &str) -> Value {
    client.open("m.idl", text);
    let params = json!({
        "textDocument": { "uri": client.uri("m.idl") },
        "options": { "tabSize": 4, "insertSpaces": true },
    });
    client.ask("textDocument/formatting", &params)
}

#[test]
fn formatting_is_one_edit_of_the_lines_that_change() {
    let mut client = Client::start(&[]);
    let ugly = "module m {\n    // 𝄞\n  struct  S{int a;/* é𝄞 */};\n}\n";
    let edits = format(&mut client, ugly);
    assert_eq!(edits.as_array().unwrap().len(), 1);
    assert_eq!(edits[0]["range"]["start"]["line"], 2);
    let laid_out = edited(ugly, &edits);
    assert_eq!(laid_out, tce_idl::format(ugly).unwrap());
    assert_eq!(format(&mut client, &laid_out), json!([]));
    assert_eq!(format(&mut client, ""), json!([]));
    client.end();
}

#[test]
fn what_is_malformed_stays_as_it_is() {
    let mut client = Client::start(&[]);
    // `Order` and `Shop` have syntax errors.
    let edits = format(&mut client, SHOP);
    let price = "    struct Price { double amount; };\n";
    let laid_out = "\n    struct Price {\n        double amount;\n    };\n";
    assert_eq!(edited(SHOP, &edits), SHOP.replace(price, laid_out));
    client.end();
}

#[test]
fn line_ends_that_are_all_alike_stay() {
    let mut client = Client::start(&[]);
    let windows = "module m {\r\n    interface I {\r\n        void a();\r\n    };\r\n}\r\n";
    assert_eq!(format(&mut client, windows), json!([]));
    let ugly = windows.replace("    interface I", "  interface  I");
    let edits = format(&mut client, &ugly);
    assert_eq!(edits[0]["range"]["start"]["line"], 1);
    assert_eq!(edits[0]["range"]["end"]["line"], 2);
    assert_eq!(edited(&ugly, &edits), windows);
    client.end();
}
