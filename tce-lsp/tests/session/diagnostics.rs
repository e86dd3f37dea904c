//! Diagnostics while the user types.

use serde_json::json;

use crate::client::{Client, position, text_at};
use crate::{BASE, SHOP};

#[test]
fn errors_have_their_position_and_advice() {
    let mut client = Client::start(&[("base.idl", BASE)]);
    client.open("shop.idl", SHOP);
    let told = client.diagnostics("shop.idl");
    let codes: Vec<_> = told.iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["TCE0002", "TCE0200", "TCE0101", "TCE0100"]);
    let unknown = &told[1];
    // After a character of two code units.
    assert_eq!(text_at(SHOP, &unknown["range"]), "strng");
    assert_eq!(unknown["severity"], 1);
    assert_eq!(unknown["source"], "tce");
    let message = unknown["message"].as_str().unwrap();
    assert_eq!(message, "there is no type `strng`\ndid you mean `string`?");
    client.end();
}

#[test]
fn open_documents_replace_files_on_disk() {
    let mut client = Client::start(&[("base.idl", "module base {}")]);
    let text = "import base\nmodule m { struct S { /* 𝄞 */ base::Id a; strng b; }; }\n";
    client.open("m.idl", text);
    assert_eq!(client.codes("m.idl"), ["TCE0200", "TCE0200"]);
    client.open("base.idl", BASE);
    assert_eq!(client.codes("m.idl"), ["TCE0200"]);
    let wrong = text.find("strng").unwrap();
    let insertion = position(text, wrong + 3);
    let changes = json!([
        { "range": { "start": insertion, "end": insertion }, "text": "i" },
        { "range": { "start": position(text, 0), "end": position(text, 0) }, "text": "// 𝄞\n" },
    ]);
    client.change("m.idl", &changes);
    // The remaining warning is from the linter: no operation uses the type.
    let left = client.diagnostics("m.idl");
    let errors = left.iter().filter(|it| it["severity"] == 1);
    assert_eq!(errors.count(), 0, "{left:?}");
    client.end();
}

#[test]
fn findings_of_the_linter_are_warnings() {
    let mut client = Client::start(&[]);
    client.open("m.idl", "module m { interface i { void f(); }; }\n");
    let told = client.diagnostics("m.idl");
    let case = told.iter().find(|it| it["code"] == "TCE0510").unwrap();
    assert_eq!(case["severity"], 2);
    client.end();
}

#[test]
fn errors_in_an_import_are_shown_there_until_nothing_imports_it() {
    let mut client = Client::start(&[("bad.idl", "module bad { struct S { strng a; }; }")]);
    client.open(
        "m.idl",
        "import bad\nmodule m { interface I { void f(bad::S s); }; }",
    );
    let told = client.diagnostics("bad.idl");
    assert_eq!(told.len(), 1);
    client.close("m.idl");
    assert!(client.diagnostics("bad.idl").is_empty());
    assert!(client.diagnostics("m.idl").is_empty());
    client.end();
}

#[test]
fn notes_become_related_information() {
    let mut client = Client::start(&[]);
    let text = "module m { struct S { int a; }; struct S { int b; }; }";
    client.open("m.idl", text);
    let told = client.diagnostics("m.idl");
    let other = &told[0]["relatedInformation"][0];
    assert_eq!(other["message"], "first defined here");
    assert_eq!(text_at(text, &other["location"]["range"]), "S");
    client.end();
}

#[test]
fn positions_count_every_line_end() {
    let mut client = Client::start(&[]);
    client.open(
        "m.idl",
        "module m {\r  // a\r\n  struct S {\r strng a; };\n}",
    );
    let told = client.diagnostics("m.idl");
    let start = &told[0]["range"]["start"];
    assert_eq!(start, &json!({ "line": 3, "character": 1 }));
    let at = json!({ "line": 3, "character": 1 });
    let end = json!({ "line": 3, "character": 6 });
    let change = json!([{ "range": { "start": at, "end": end }, "text": "string" }]);
    client.change("m.idl", &change);
    let told = client.diagnostics("m.idl");
    assert!(told.iter().all(|it| it["severity"] != 1), "{told:?}");
    client.end();
}
