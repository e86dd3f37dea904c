//! Runs the measurements of tasks with very few of them. Needs `apt-get install rabbitmq-server
//! redis-server`.

use std::process::Command;

#[test]
fn each_measure_of_tasks_has_a_row() {
    let output = Command::new(env!("CARGO_BIN_EXE_tasks"))
        .args(["--rounds", "1", "--tasks", "200", "--single", "20"])
        // Not `late`, which takes 5 s.
        .args(["--delayed", "100", "--measures"])
        .arg("send1,send64,work,results,start,answer,memory,embedded")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let table = String::from_utf8(output.stdout).unwrap();
    for row in [
        "sends/s, 1 in flight",
        "sends/s, 64 in flight",
        "tasks/s of a worker",
        "tasks/s, results in Redis",
        "send to start, p99 µs",
        "send to result, p50 µs",
        "growth of a worker by delayed tasks, KiB",
        "sends/s to a file, 64 in flight",
    ] {
        assert!(table.contains(&format!("| {row} |")), "{table}");
    }
}
