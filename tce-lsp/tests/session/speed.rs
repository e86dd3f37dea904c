//! How long an editor waits in a file of 10,000 lines, beside the time of one compilation of
//! that file: a slow or busy machine makes both longer.
//!
//! `cargo test --release -p tce-lsp --test session speed -- --nocapture` shows the times of the
//! release build.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::client::{Client, position};

const LINES: usize = 10_000;

/// The number of runs of each request.
const ROUNDS: usize = 3;

/// The requests.
const FEATURES: [&str; 13] = [
    "textDocument/hover",
    "textDocument/definition",
    "textDocument/references",
    "textDocument/documentHighlight",
    "textDocument/completion",
    "textDocument/rename",
    "textDocument/formatting",
    "textDocument/codeAction",
    "textDocument/documentSymbol",
    "textDocument/semanticTokens/full",
    "textDocument/foldingRange",
    "textDocument/inlayHint",
    "workspace/symbol",
];

/// The time without a change after which the server publishes diagnostics.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest time of an answer, in compilations of the file. Most answers need one, a rename and
/// a formatting two. An answer that looks at all names for each name exceeds this by far.
const BOUND: u32 = 10;

/// A module of about `lines` lines, in which every type is used and one is unknown.
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

/// The shortest time from a change to the answer of each feature.
fn waits(client: &mut Client, text: &str) -> Vec<(&'static str, Duration)> {
    let cursor = position(text, text.rfind("Order").unwrap());
    let params = json!({
        "textDocument": { "uri": client.uri("big.idl") },
        "position": cursor,
        "range": { "start": cursor, "end": cursor },
        "context": { "includeDeclaration": true, "diagnostics": [], "triggerKind": 1 },
        "options": { "tabSize": 4, "insertSpaces": true },
        "newName": "Renamed",
        "query": "order",
    });
    let end = position(text, text.len());
    let key = json!([{ "range": { "start": end, "end": end }, "text": " " }]);
    let features = FEATURES.iter().map(|method| {
        let wait = shortest(|| {
            client.change("big.idl", &key);
            let id = client.request(method, &params);
            // The bytes only: parsing them is not the server's time.
            let is_answer = |frame: &[u8]| frame.starts_with(br#"{"jsonrpc":"2.0","id":"#);
            let answer = std::iter::repeat_with(|| client.frame()).find(|it| is_answer(it));
            let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#);
            let is_fine = answer.is_some_and(|answer| answer.starts_with(expected.as_bytes()));
            assert!(is_fine, "{method} was refused");
        });
        (*method, wait)
    });
    features.collect()
}

/// The shortest time from a change to its diagnostics, including the pause.
fn wait_for_diagnostics(client: &mut Client) -> Duration {
    let start = json!({ "line": 0, "character": 0 });
    let key = json!([{ "range": { "start": start, "end": start }, "text": "\n" }]);
    client.codes("big.idl");
    shortest(|| {
        client.change("big.idl", &key);
        assert_eq!(client.codes("big.idl"), ["TCE0200"]);
    })
}

/// The shortest of several runs: other load on the machine only makes runs longer.
fn shortest(mut run: impl FnMut()) -> Duration {
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[test]
fn answers_come_soon_in_a_long_file() {
    let mut client = Client::start(&[]);
    let text = text(LINES);
    let compilation = shortest(|| {
        assert_eq!(tce_idl::compile_str(&text).diagnostics.len(), 1);
    });
    client.open("big.idl", &text);
    let diagnostics = wait_for_diagnostics(&mut client).saturating_sub(PAUSE);
    client.change("big.idl", &json!([{ "text": text }]));
    let mut waits = waits(&mut client, &text);
    waits.push(("diagnostics", diagnostics));
    client.end();
    println!(
        "{:<36} {:6.1} ms",
        "one compilation",
        milliseconds(compilation)
    );
    for (feature, wait) in waits {
        println!("{feature:<36} {:6.1} ms", milliseconds(wait));
        let bound = BOUND * compilation;
        assert!(wait < bound, "{feature} took {wait:?}, more than {bound:?}");
    }
}
