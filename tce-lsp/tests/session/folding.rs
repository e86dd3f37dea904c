//! Folding ranges.

use serde_json::json;

use crate::client::Client;

/// The ranges of a text: first line, last line, kind.
fn folded(text: &str) -> Vec<(u64, u64, String)> {
    let mut client = Client::start(&[]);
    client.open("m.idl", text);
    let params = json!({ "textDocument": { "uri": client.uri("m.idl") } });
    let ranges = client.ask("textDocument/foldingRange", &params);
    client.end();
    let ranges = ranges.as_array().unwrap().iter().map(|range| {
        let line = |key: &str| range[key].as_u64().unwrap();
        let kind = range["kind"].as_str().unwrap_or_default();
        (line("startLine"), line("endLine"), kind.to_owned())
    });
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort();
    ranges
}

fn expected(ranges: &[(u64, u64, &str)]) -> Vec<(u64, u64, String)> {
    let ranges = ranges.iter();
    ranges
        .map(|(a, b, kind)| (*a, *b, (*kind).to_owned()))
        .collect()
}

#[test]
fn bodies_lists_comments_and_imports_fold() {
    let text = "\
// A license,
// in two lines.

import a
// Between imports.
import b;
import c
module m {
    /* 𝄞
       text */
    struct S { int a; };
    interface I {
        void f(
            int a, // one
            // two
            // three
            int b);
    };
}
";
    // A comment between two imports separates them.
    let ranges = [
        (0, 1, "comment"),
        (5, 6, "imports"),
        (7, 17, ""),
        (8, 9, "comment"),
        (11, 16, ""),
        (12, 16, ""),
        (14, 15, "comment"),
    ];
    assert_eq!(folded(text), expected(&ranges));
    assert_eq!(folded(&text.replace('\n', "\r\n")), expected(&ranges));
}

#[test]
fn a_text_with_mistakes_folds_as_far_as_its_brackets_match() {
    let text = "\
module m {
    interface I {
        void f(int a;
        [index=
        void g();
    };
    strng {
        x y z
    }
} } )
module n {
    struct S {
";
    let ranges = [(0, 8, ""), (1, 4, ""), (6, 7, "")];
    assert_eq!(folded(text), expected(&ranges));
    assert_eq!(folded(""), []);
    assert_eq!(folded("/* open\n\n"), expected(&[(0, 2, "comment")]));
}
