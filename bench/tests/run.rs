//! Runs the whole benchmark, as short as it gets.

use std::{fs, process::Command};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tce-bench"));
    command.args(arguments);
    command
}

#[test]
fn every_peer_has_a_row_in_every_shape_it_offers() {
    let path = std::env::temp_dir().join(format!("tce-bench-{}.json", std::process::id()));
    let json = path.to_str().unwrap();
    let arguments = [
        "--rounds",
        "2",
        "--seconds",
        "0.1",
        "--payloads",
        "16",
        "--json",
        json,
    ];
    let output = bench(&arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    fs::remove_file(&path).unwrap();
    let cases = report["cases"].as_array().unwrap();
    let both_ways = ["raw", "tonic", "tarpc", "tce"].as_slice();
    for (shape, peers) in [
        ("single", both_ways),
        ("pipelined", both_ways),
        ("fan", both_ways),
        ("oneway", &["raw", "tce"]),
    ] {
        let case = cases.iter().find(|case| case["shape"] == shape).unwrap();
        let rows = case["rows"].as_array().unwrap();
        let measured: Vec<_> = rows
            .iter()
            .map(|row| row["peer"].as_str().unwrap())
            .collect();
        assert_eq!(measured, peers, "{shape}");
        rows.iter()
            .for_each(|row| check_row(row, shape != "oneway"));
    }
}

fn check_row(row: &Value, has_latency: bool) {
    assert!(row["calls_per_second"].as_f64() > Some(0.0), "{row}");
    assert!(row["to_floor"]["median"].as_f64() > Some(0.0), "{row}");
    assert_eq!(row["p99_us"].as_f64() > Some(0.0), has_latency, "{row}");
    assert_eq!(row["rounds"].as_array().map(Vec::len), Some(2), "{row}");
}

#[test]
fn a_measurement_that_fails_fails_the_run() {
    let arguments = ["--quick", "--peers", "raw", "--client-core", "4095"];
    let output = bench(&arguments).output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "no table with a hole in it");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("can't be pinned to core 4095"), "{told}");
}
