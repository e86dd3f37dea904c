//! `tce demo`.

use std::path::Path;

use tce_test_rabbitmq::Node;

use super::tce;

/// The output of the demo after [`masked`].
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tce/demo.txt");

/// The text without the parts that differ between runs: ports, times, and the length of generated
/// code.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for line in text.lines() {
        let line = match line.split_once("127.0.0.1:") {
            Some((start, port)) => {
                let rest = port.trim_start_matches(|c: char| c.is_ascii_digit());
                format!("{start}127.0.0.1:PORT{rest}")
            }
            None if line.trim_start().starts_with("-> \"20") => {
                line.replace(|c: char| c.is_ascii_digit(), "0")
            }
            None if line.starts_with("compile") => line
                .replace(|c: char| c.is_ascii_digit(), "")
                .replace("( ", "(N "),
            None => line.to_owned(),
        };
        masked.push_str(&line);
        masked.push('\n');
    }
    masked
}

#[test]
fn every_kind_of_call_succeeds() {
    let ran = tce(&["demo"]).exits(0);
    assert_eq!(ran.err, "");
    let shown = masked(&ran.out);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(GOLDEN, &shown).unwrap();
    }
    assert_eq!(shown, golden());
}

fn golden() -> String {
    let file = Path::new(GOLDEN);
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn a_broker_changes_only_its_line() {
    let node = Node::start();
    let url = format!("amqp://guest:guest@127.0.0.1:{}", node.port());
    let at_broker = "broker   amqp://127.0.0.1:PORT, queues tce_demo.*";
    let expected = golden().replace("broker   in memory", at_broker);
    // The queues that a run leaves behind do not affect the next one.
    for _ in 0..2 {
        let ran = tce(&["demo", "--amqp", &url]).exits(0);
        assert_eq!(ran.err, "");
        assert_eq!(masked(&ran.out), expected);
    }
    let wrong_password = format!("amqp://guest:wrong@127.0.0.1:{}", node.port());
    tce(&["demo", "--amqp", &wrong_password])
        .exits(1)
        .complains("ACCESS_REFUSED");
}

#[test]
fn an_unreachable_broker_is_reported() {
    tce(&["demo", "--amqp", "amqp://127.0.0.1:1"])
        .exits(1)
        .complains("127.0.0.1:1")
        .complains("Try this: ");
    tce(&["demo", "--amqp", "http://127.0.0.1"])
        .exits(2)
        .complains("--amqp <URL>");
}
