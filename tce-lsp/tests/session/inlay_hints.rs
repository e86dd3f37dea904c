//! Inlay hints with indices.

use serde_json::{Value, json};

use crate::client::{Client, edited};
use crate::{BASE, SHOP};

const PETS: &str = "\
module pets {
    interface A { void f(); void g(); };
    [index=7]
    interface B {
        [comment=\"x\"] void f();
        [index=5] void g();
        void h();
    };
}
";

fn hints(client: &mut Client, name: &str, lines: (u32, u32)) -> Vec<Value> {
    let place = |line: u32| json!({ "line": line, "character": 0 });
    let params = json!({
        "textDocument": { "uri": client.uri(name) },
        "range": { "start": place(lines.0), "end": place(lines.1) },
    });
    let hints = client.ask("textDocument/inlayHint", &params);
    hints.as_array().cloned().unwrap_or_default()
}

fn labels(hints: &[Value]) -> Vec<&str> {
    hints
        .iter()
        .map(|it| it["label"].as_str().unwrap())
        .collect()
}

#[test]
fn indices_that_are_not_written_are_shown_and_can_be_accepted() {
    let mut client = Client::start(&[]);
    client.open("pets.idl", PETS);
    let all = hints(&mut client, "pets.idl", (0, 99));
    let expected = [
        "[index=0]",
        "[index=0]",
        "[index=1]",
        "index=0,",
        "[index=2]",
    ];
    assert_eq!(labels(&all), expected);
    let edits: Vec<&Value> = all
        .iter()
        .flat_map(|it| it["textEdits"].as_array().unwrap())
        .collect();
    let written = edited(PETS, &json!(edits));
    assert!(
        written.contains("[index=0, comment=\"x\"] void f();"),
        "{written}"
    );
    assert!(written.contains("[index=0] interface A { [index=0] void f(); [index=1] void g(); };"));
    client.change("pets.idl", &json!([{ "text": written }]));
    assert_eq!(hints(&mut client, "pets.idl", (0, 99)), [Value::Null; 0]);
    client.end();
}

#[test]
fn only_the_hints_in_the_range_are_sent() {
    let mut client = Client::start(&[]);
    client.open("pets.idl", PETS);
    assert_eq!(
        labels(&hints(&mut client, "pets.idl", (5, 7))),
        ["[index=2]"]
    );
    client.end();
}

/// What is malformed may be an operation, and then it counts.
#[test]
fn an_index_after_a_malformed_operation_is_not_shown() {
    let mut client = Client::start(&[("base.idl", BASE)]);
    client.open("shop.idl", SHOP);
    let all = hints(&mut client, "shop.idl", (0, 99));
    assert_eq!(labels(&all), ["[index=0]"]);
    assert_eq!(all[0]["position"]["line"], 15);
    client.end();
}

#[test]
fn hints_can_be_switched_off_and_on() {
    let mut client = Client::connect(&[("pets.idl", PETS)]);
    let off = json!({ "inlayHints": { "indices": false } });
    let refresh = json!({ "refreshSupport": true });
    client.initialize_with(&json!({
        "processId": null, "rootUri": null,
        "capabilities": { "workspace": { "inlayHint": refresh } },
        "initializationOptions": off,
    }));
    client.open("pets.idl", PETS);
    assert_eq!(hints(&mut client, "pets.idl", (0, 99)).len(), 0);
    let on = json!({ "tce": { "inlayHints": { "indices": true } } });
    for (settings, count) in [(json!({}), 0), (on, 5), (json!({ "tce": off }), 0)] {
        let params = json!({ "settings": settings });
        client.notify("workspace/didChangeConfiguration", &params);
        client.asked("workspace/inlayHint/refresh");
        assert_eq!(
            hints(&mut client, "pets.idl", (0, 99)).len(),
            count,
            "{settings}"
        );
    }
    client.end();
}
