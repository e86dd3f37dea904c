//! Messages in any order, malformed messages, and positions outside of the text.

use serde_json::{Value, json};
use tce_lsp::SessionEnd;

use crate::client::Client;
use crate::{BASE, SHOP};

const METHODS: [&str; 14] = [
    "textDocument/hover",
    "textDocument/definition",
    "textDocument/references",
    "textDocument/documentHighlight",
    "textDocument/completion",
    "textDocument/documentSymbol",
    "textDocument/semanticTokens/full",
    "textDocument/foldingRange",
    "textDocument/inlayHint",
    "workspace/symbol",
    "textDocument/codeAction",
    "textDocument/formatting",
    "textDocument/prepareRename",
    "textDocument/rename",
];

/// Parameters that all of these methods accept.
fn anywhere(uri: &str, line: u64, character: u64) -> Value {
    let position = json!({ "line": line, "character": character });
    json!({
        "textDocument": { "uri": uri },
        "position": position,
        "range": { "start": position, "end": { "line": 0, "character": 0 } },
        "context": { "diagnostics": [], "includeDeclaration": true, "triggerKind": 1 },
        "options": { "tabSize": 4, "insertSpaces": true },
        "newName": "fine",
        "query": "o",
    })
}

#[test]
fn initialize_comes_first_and_once() {
    let mut client = Client::connect(&[]);
    client.open("early.idl", SHOP);
    let (code, _) = client.refused("textDocument/hover", &anywhere("file:///a.idl", 0, 0));
    assert_eq!(code, -32002);
    let capabilities = client.initialize()["capabilities"].clone();
    assert_eq!(capabilities["positionEncoding"], "utf-16");
    assert_eq!(capabilities["textDocumentSync"]["change"], 2);
    let (code, _) = client.refused("initialize", &json!({ "capabilities": {} }));
    assert_eq!(code, -32600);
    client.end();
}

#[test]
fn unknown_and_malformed_messages_are_refused_and_the_session_goes_on() {
    let mut client = Client::start(&[]);
    let (code, message) = client.refused("textDocument/magic", &json!({}));
    assert_eq!(
        (code, message.as_str()),
        (-32601, "the server does not support `textDocument/magic`")
    );
    for method in METHODS {
        assert_eq!(
            client.refused(method, &json!({ "position": 7 })).0,
            -32602,
            "{method}"
        );
    }
    client.notify("textDocument/didOpen", &json!([1]));
    assert_eq!(client.read()["method"], "window/logMessage");
    client.notify("$/whatever", &json!({}));
    client.send_bytes(b"Content-Length: 5\r\n\r\n{\xff\xff}}");
    assert_eq!(client.read()["method"], "window/logMessage");
    client.end();
}

#[test]
fn requests_for_positions_that_do_not_exist_are_answered() {
    let mut client = Client::start(&[("base.idl", BASE)]);
    client.open("shop.idl", SHOP);
    client.open("empty.idl", "");
    client.notify(
        "textDocument/didOpen",
        &json!({ "textDocument": { "uri": "untitled:Untitled-1", "languageId": "tce-idl", "version": 1, "text": SHOP } }),
    );
    let uris = [
        client.uri("shop.idl"),
        client.uri("empty.idl"),
        client.uri("never-opened.idl"),
        "untitled:Untitled-1".to_owned(),
        "http://example.org/a%00b".to_owned(),
    ];
    for uri in uris {
        for (line, character) in [(0, 0), (6, 12), (4_294_967_295, 4_294_967_295), (19, 7)] {
            for method in METHODS {
                let id = client.request(method, &anywhere(&uri, line, character));
                client.response(id);
            }
        }
    }
    client.end();
}

#[test]
fn the_server_survives_invalid_changes() {
    let mut client = Client::start(&[]);
    let nowhere = json!({ "line": 9, "character": 9 });
    let backwards = json!({ "range": { "start": nowhere, "end": { "line": 0, "character": 1 } }, "text": "é𝄞" });
    client.change("closed.idl", &json!([backwards]));
    client.close("closed.idl");
    client.open("m.idl", "𝄞\r\n");
    client.change("m.idl", &json!([backwards, backwards, backwards]));
    client.open("m.idl", "module m {}");
    let params = anywhere(&client.uri("m.idl"), 0, 8);
    let hover = client.ask("textDocument/hover", &params);
    assert!(
        hover["contents"]["value"]
            .as_str()
            .unwrap()
            .contains("module m")
    );
    client.end();
}

#[test]
fn every_position_of_a_text_can_be_asked_about() {
    let mut client = Client::start(&[("base.idl", BASE)]);
    for (end, _) in SHOP.char_indices().step_by(7) {
        let text = &SHOP[..end];
        client.open("shop.idl", text);
        let line = text.matches('\n').count() as u64;
        for method in METHODS {
            let id = client.request(method, &anywhere(&client.uri("shop.idl"), line, 99));
            client.response(id);
        }
        client.close("shop.idl");
    }
    client.end();
}

#[test]
fn the_server_survives_any_edits_and_requests() {
    let pieces = [
        "",
        "{",
        "}",
        ";",
        "𝄞",
        "\r\n",
        "/*",
        "[index=",
        "module m {",
        "base::",
        "Order",
        "\"",
    ];
    let mut client = Client::start(&[("base.idl", BASE)]);
    client.open("shop.idl", SHOP);
    let uri = client.uri("shop.idl");
    // Pseudo-random numbers, the same in every run.
    let mut state = 7_u64;
    let mut number = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below as u64
    };
    for _ in 0..500 {
        let mut place = || json!({ "line": number(25), "character": number(50) });
        let range = json!({ "start": place(), "end": place() });
        let piece = usize::try_from(number(pieces.len())).unwrap();
        client.change(
            "shop.idl",
            &json!([{ "range": range, "text": pieces[piece] }]),
        );
        let method = METHODS[usize::try_from(number(METHODS.len())).unwrap()];
        let id = client.request(method, &anywhere(&uri, number(25), number(50)));
        client.response(id);
    }
    client.end();
}

#[test]
fn a_cancelled_request_is_answered_once() {
    let mut client = Client::start(&[]);
    client.open("shop.idl", SHOP);
    let params = anywhere(&client.uri("shop.idl"), 4, 12);
    let id = client.request("textDocument/hover", &params);
    client.notify("$/cancelRequest", &json!({ "id": id }));
    let response = client.response(id);
    let code = &response["error"]["code"];
    assert!(
        code == -32800 || response["result"].is_object(),
        "{response}"
    );
    client.notify("$/cancelRequest", &json!({ "id": id }));
    client.end();
}

#[test]
fn the_end_of_a_session_is_reported() {
    let mut client = Client::start(&[]);
    assert_eq!(client.ask("shutdown", &Value::Null), Value::Null);
    assert_eq!(client.refused("shutdown", &Value::Null).0, -32600);
    let params = anywhere("file:///a.idl", 0, 0);
    assert_eq!(client.refused("textDocument/hover", &params).0, -32600);
    assert_eq!(client.disconnect().unwrap(), SessionEnd::Abrupt);

    let mut client = Client::start(&[]);
    client.notify("exit", &Value::Null);
    assert_eq!(client.disconnect().unwrap(), SessionEnd::Abrupt);

    let mut client = Client::connect(&[]);
    client.send_bytes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.disconnect().is_err());
}
