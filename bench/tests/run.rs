//! Runs the benchmark with very short measurements. Needs `apt-get install rabbitmq-server
//! nats-server valgrind`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't run the benchmark fails"
)]

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tce-bench"));
    command.args(arguments);
    command
}

/// Runs two short rounds with these peers and returns the reported cases.
fn cases(peers: &str) -> Vec<Value> {
    let rounds = ["--rounds", "2", "--seconds", "0.1", "--payloads", "16"];
    let report = report(&[rounds.as_slice(), &["--peers", peers]].concat());
    report["cases"].as_array().unwrap().clone()
}

/// Runs the benchmark and returns its JSON report.
fn report(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let output = bench(arguments).arg("--json").arg(&json).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&fs::read(json).unwrap()).unwrap()
}

/// Asserts which peers have rows in which load shapes, and that the rows are complete.
#[track_caller]
fn assert_rows(cases: &[Value], expected: &[(&str, &[&str])]) {
    let shapes: Vec<_> = cases.iter().map(|case| &case["shape"]).collect();
    let expected_shapes: Vec<_> = expected.iter().map(|(shape, _)| *shape).collect();
    assert_eq!(shapes, expected_shapes);
    for (case, (shape, peers)) in cases.iter().zip(expected) {
        let rows = case["rows"].as_array().unwrap();
        let measured: Vec<_> = rows
            .iter()
            .map(|row| row["peer"].as_str().unwrap())
            .collect();
        assert_eq!(&measured, peers, "{shape}");
        let has_latency = !["oneway", "confirmed"].contains(shape);
        rows.iter().for_each(|row| check_row(row, has_latency));
    }
}

#[test]
fn every_peer_over_sockets_has_a_row_in_every_shape_it_supports() {
    let both_ways = ["raw", "tonic", "tarpc", "capnp", "tce"].as_slice();
    assert_rows(
        &cases("sockets"),
        &[
            ("single", both_ways),
            ("pipelined", both_ways),
            ("fan", both_ways),
            ("oneway", &["raw", "tce"]),
        ],
    );
}

#[test]
fn a_peer_is_measured_with_its_floor() {
    let both = ["ws-raw", "tce-ws"].as_slice();
    let shapes = ["single", "pipelined", "fan", "oneway"];
    assert_rows(&cases("tce-ws"), &shapes.map(|shape| (shape, both)));
}

#[test]
fn queues_are_measured_with_a_broker_that_the_benchmark_starts() {
    let all = ["mq-raw", "tce-mq", "tce-mq-batch"].as_slice();
    let shapes = ["single", "pipelined", "oneway", "confirmed"];
    assert_rows(&cases("mq"), &shapes.map(|shape| (shape, all)));
}

#[test]
fn a_gateway_is_measured_with_its_direct_peer() {
    let rows = ["raw", "tce", "tce-gateway"].as_slice();
    let cases = cases("tce-gateway");
    assert_rows(
        &cases,
        &["single", "pipelined", "fan"].map(|shape| (shape, rows)),
    );
    for case in &cases {
        let share = &case["rows"][2]["to_direct"]["median"];
        assert!(share.as_f64() > Some(0.0), "{case}");
    }
}

#[test]
fn a_gateway_to_queues_is_measured_with_the_floor_without_a_gateway() {
    let rows = ["mq-raw", "tce-gateway-mq", "tce-gateway-mq-batch"].as_slice();
    let shapes = ["single", "pipelined", "fan"];
    assert_rows(&cases("gateway-mq"), &shapes.map(|shape| (shape, rows)));
}

#[test]
fn nats_is_measured_through_a_server_that_the_benchmark_starts() {
    let rows = ["raw", "nats"].as_slice();
    let shapes = ["single", "pipelined", "fan"];
    assert_rows(&cases("nats"), &shapes.map(|shape| (shape, rows)));
}

fn check_row(row: &Value, has_latency: bool) {
    assert!(row["calls_per_second"].as_f64() > Some(0.0), "{row}");
    assert!(row["to_floor"]["median"].as_f64() > Some(0.0), "{row}");
    assert_eq!(row["p99_us"].as_f64() > Some(0.0), has_latency, "{row}");
    assert_eq!(row["rounds"].as_array().map(Vec::len), Some(2), "{row}");
}

#[test]
fn each_process_of_a_call_is_counted() {
    let report = report(&["count", "--calls", "1000", "--shapes", "pipelined,oneway"]);
    let direct: Value = json!([["tce", "client"], ["tce", "server"]]);
    let through_gateway: Value = json!([
        ["tce-gateway", "client"],
        ["tce-gateway", "server"],
        ["tce-gateway", "gateway"]
    ]);
    let cases = report["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4, "{report}");
    for (case, expected) in cases.iter().zip([&direct, &through_gateway].repeat(2)) {
        let rows = case["rows"].as_array().unwrap();
        let processes: Value = rows
            .iter()
            .map(|row| json!([row["peer"], row["process"]]))
            .collect();
        assert_eq!(&processes, expected);
        for row in rows {
            assert!(row["instructions"].as_f64() > Some(100.0), "{row}");
            assert!(row["locked_instructions"].as_f64() > Some(0.0), "{row}");
        }
    }
}

/// Writes a report of rates with one case, whose ratio to the floor is `median` in every round.
fn write_rates(path: &Path, median: f64) {
    let ratio = json!({"median": median, "lowest": median * 0.99, "highest": median * 1.01});
    let round = json!({"calls": 1, "calls_per_second": 1.0, "p50_us": null, "p99_us": null});
    let report = json!({
        "report": "tce-bench rates", "version": 1,
        "machine": {"cores": 2, "cpu": "a CPU", "kernel": "Linux", "rustc": "rustc", "date": "now"},
        "rounds": 3, "seconds": 1.0, "total_seconds": 9.0, "other_work": null,
        "cases": [{
            "transport": "sockets", "shape": "single", "payload": 16, "busy_poll": "usual",
            "rows": [{
                "peer": "tce", "calls_per_second": 1.0, "p50_us": null, "p99_us": null,
                "to_floor": ratio, "to_tarpc": null, "to_direct": null, "to_glacier2": null,
                "rounds": [round, round, round]
            }]
        }]
    });
    fs::write(path, report.to_string()).unwrap();
}

#[test]
fn a_comparison_shows_what_has_moved_and_fails_if_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let [then, now] = ["then", "now"].map(|name| folder.path().join(name));
    write_rates(&then, 0.5);
    write_rates(&now, 0.4);
    let compare = |arguments: &[&str]| {
        let mut command = bench(&["compare"]);
        let output = command
            .arg(&then)
            .arg(&now)
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.success(), text)
    };
    let (succeeded, text) = compare(&[]);
    assert!(succeeded);
    let row = text.lines().find(|line| line.starts_with("tce")).unwrap();
    assert!(row.contains("-20.0 %  worse"), "{text}");
    assert!(compare(&["--fail-beyond", "25"]).0);
    let (succeeded, text) = compare(&["--fail-beyond", "15"]);
    assert!(!succeeded && text.contains("worse"), "{text}");
}

#[test]
fn a_run_is_compared_with_a_file_that_an_earlier_run_has_written() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let run = |option| {
        let mut command = bench(&["--quick", "--peers", "tce", "--shapes", "pipelined"]);
        let output = command.args(["--payloads", "16", option]).arg(&json);
        output.output().unwrap()
    };
    assert!(run("--json").status.success());
    let output = run("--compare");
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, comparison) = text.split_once("Compared with").unwrap();
    assert!(comparison.contains("too few rounds"), "{text}");
}

#[test]
fn a_file_of_something_else_is_refused_before_the_first_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    fs::write(&json, "{}").unwrap();
    let output = bench(&["--compare"]).arg(&json).output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("is not a report"), "{error}");
}

#[test]
fn a_measurement_that_fails_fails_the_run() {
    let arguments = ["--quick", "--peers", "raw", "--client-core", "4095"];
    let output = bench(&arguments).output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "no partial table");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("can't be pinned to core 4095"), "{stderr}");
}
