//! Code actions.

use serde_json::{Value, json};

use crate::client::{Client, edited, position};
use crate::{BASE, SHOP};

fn actions(client: &mut Client, needle: &str, only: &Value) -> Value {
    let at = position(SHOP, SHOP.find(needle).unwrap());
    let params = json!({
        "textDocument": { "uri": client.uri("shop.idl") },
        "range": { "start": at, "end": at },
        "context": { "diagnostics": [], "only": only },
    });
    client.ask("textDocument/codeAction", &params)
}

#[test]
fn edits_fix_the_text() {
    let mut client = Client::start(&[("base.idl", BASE)]);
    client.open("shop.idl", SHOP);
    for (needle, title, mended) in [
        ("strng", "write `string`", SHOP.replace("strng", "string")),
        (
            "\n    };\n    seq",
            "add `;`",
            SHOP.replace("Price price", "Price price;"),
        ),
    ] {
        let offered = actions(&mut client, needle, &Value::Null);
        assert_eq!(offered[0]["title"], title);
        assert_eq!(offered[0]["kind"], "quickfix");
        assert_eq!(offered[0]["diagnostics"][0]["source"], "tce");
        let edits = &offered[0]["edit"]["changes"][client.uri("shop.idl")];
        assert_eq!(edited(SHOP, edits), mended);
    }
    assert_eq!(actions(&mut client, "double", &Value::Null), json!([]));
    let refactor = json!(["refactor"]);
    assert_eq!(actions(&mut client, "strng", &refactor), Value::Null);
    client.end();
}
