//! How long an editor waits in a file of 10,000 lines.
//!
//! `cargo test --release -p tce-lsp --test session speed -- --nocapture`
//! shows the times that users have, and holds them to 50 ms. Without
//! optimization the bound only tells a slow answer from one that never comes.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::client::{Client, position};

const LINES: usize = 10_000;

/// How often each question is asked; the median counts.
const ROUNDS: usize = 9;

/// How long an answer may take.
const BOUND: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 50 });

/// A module of about so many lines, in which every type is used and one is unknown.
fn text(lines: usize) -> String {
    let mut text = "module big {\n    struct Bad { strng name; };\n".to_owned();
    for number in 0..lines / 16 {
        write!(
            text,
            "    /// What is ordered.
    struct Order{number} {{
        long id;
        string item;
        Prices{number} prices;
    }};
    sequence<double> Prices{number};

    /// Where orders go.
    interface Orders{number} {{
        /// Places an order.
        long place(Order{number} order, string user);
        [index=7]
        void cancel(long order);
    }};

"
        )
        .unwrap();
    }
    text + "}\n"
}

/// The median of the times from a key that is pressed to the answer of each feature.
fn waits(lines: usize) -> Vec<(&'static str, Duration)> {
    let mut client = Client::start(&[]);
    let text = text(lines);
    client.open("big.idl", &text);
    let place = text.rfind("Order").unwrap();
    let mut params = client.at("big.idl", &text, "Bad", 1);
    params["position"] = position(&text, place);
    params["range"] = json!({ "start": params["position"], "end": params["position"] });
    params["context"] = json!({ "includeDeclaration": true, "diagnostics": [] });
    params["options"] = json!({ "tabSize": 4, "insertSpaces": true });
    params["newName"] = json!("Renamed");
    let end = json!({ "line": lines + 20, "character": 0 });
    let features = [
        "hover",
        "definition",
        "references",
        "completion",
        "rename",
        "formatting",
        "codeAction",
    ];
    let others = ["documentHighlight", "documentSymbol", "semanticTokens/full"];
    let all = features.into_iter().chain(others);
    let mut waits: Vec<_> = all
        .map(|feature| {
            let method = format!("textDocument/{feature}");
            let mut times: Vec<Duration> = (0..ROUNDS)
                .map(|_| {
                    let pressed = Instant::now();
                    let key = json!([{ "range": { "start": end, "end": end }, "text": " " }]);
                    client.change("big.idl", &key);
                    let id = client.request(&method, &params);
                    let response = client.response(id);
                    assert!(response["error"].is_null(), "{response}");
                    pressed.elapsed()
                })
                .collect();
            times.sort();
            (feature, times[ROUNDS / 2])
        })
        .collect();
    let pressed = Instant::now();
    assert_eq!(client.codes("big.idl"), ["TCE0200"]);
    waits.push(("diagnostics", pressed.elapsed()));
    client.end();
    waits
}

#[test]
fn answers_come_soon_in_a_long_file() {
    for (feature, wait) in waits(LINES) {
        println!("{feature:<20} {:6.1} ms", wait.as_secs_f64() * 1000.0);
        // Diagnostics wait for a pause of the keys, of 100 ms.
        let bound = match feature {
            "diagnostics" => BOUND + Duration::from_millis(100),
            _ => BOUND,
        };
        assert!(wait < bound, "{feature} took {wait:?}, more than {bound:?}");
    }
}
