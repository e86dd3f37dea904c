//! The server ends at any moment, while jobs run.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::installation::{Installation, comes_true, errors};

#[test]
fn a_job_that_ends_while_the_server_is_down_waits_for_it() {
    let script = ": > %ECF_HOME%/runs; while [ ! -e %ECF_HOME%/go ]; do sleep 0.02; done";
    let mut server = Installation::start(&[("/s/t", script), ("/s/u", "true")]);
    server.begin(
        "s",
        "suite s\n task t\n task u\n  trigger t == complete\nendsuite",
    );
    assert!(comes_true(|| server.path("runs").exists()));
    server.kill();
    server.write("go", "");
    // The job tries to tell its end, and can not.
    thread::sleep(Duration::from_millis(300));
    server.restart();
    server.wait_for("/s", "complete");
    assert_eq!(server.query("variable", "/s/t:ECF_TRYNO"), "1");
}

#[test]
fn a_halted_server_has_jobs_wait_and_tells_them_once() {
    let script = ": > %ECF_HOME%/runs; while [ ! -e %ECF_HOME%/go ]; do sleep 0.02; done";
    let server = Installation::start(&[("/s/t", script)]);
    server.begin("s", "suite s\n task t\nendsuite");
    assert!(comes_true(|| server.path("runs").exists()));
    server.ecflow(&["--halt=yes"]);
    server.write("go", "");
    let is_told = || server.read("s/t.1").contains("HALTED");
    assert!(comes_true(is_told), "{}", server.read("s/t.1"));
    assert_eq!(server.query("state", "/s/t"), "active");
    server.ecflow(&["--restart"]);
    server.wait_for("/s", "complete");
    let output = server.read("s/t.1");
    assert_eq!(output.matches("HALTED").count(), 1, "{output}");
}

#[test]
fn a_limit_is_held_over_a_crash() {
    let mut definition = String::from("suite s\n limit l 2\n inlimit l\n");
    let mut server = Installation::start(&[]);
    let script = "mkdir -p %ECF_HOME%/now; : > %ECF_HOME%/now/%TASK%
ls %ECF_HOME%/now | wc -l >> %ECF_HOME%/counts
sleep 0.2; rm %ECF_HOME%/now/%TASK%";
    for at in 0..6 {
        server.script(&format!("/s/t{at}"), script);
        definition += &format!(" task t{at}\n");
    }
    server.begin("s", &(definition + "endsuite"));
    server.wait_for_lines("counts", 2);
    server.kill();
    server.restart();
    server.wait_for("/s", "complete");
    let counts = server.read("counts");
    let most = counts
        .lines()
        .map(|count| count.trim().parse::<u32>().unwrap())
        .max();
    assert!(counts.lines().count() == 6 && most <= Some(2), "{counts}");
}

const TASKS: usize = 8;

/// How often the server crashes: as FLOW_CRASHES says, for a longer run by hand. There is a chain
/// of tasks for each.
fn crashes() -> usize {
    let crashes = std::env::var("FLOW_CRASHES").ok();
    crashes
        .and_then(|crashes| crashes.parse().ok())
        .unwrap_or(6)
}

/// Chains of tasks, and operators who set variables, under crashes at random moments.
#[test]
fn crashes_lose_no_command_and_run_no_try_twice() {
    let mut server = Installation::start(&[]);
    let mut definition = String::from("suite s\n edit ECF_TRIES 1\n");
    let crashes = crashes();
    for family in 0..crashes {
        definition += &format!(" family f{family}\n");
        for task in 0..TASKS {
            server.script(
                &format!("/s/f{family}/t{task}"),
                "echo %ECF_NAME% %ECF_TRYNO% >> %ECF_HOME%/ran",
            );
            definition += &format!("  task t{task}\n");
            if task > 0 {
                definition += &format!("   trigger t{} == complete\n", task - 1);
            }
        }
        definition += " endfamily\n";
    }
    server.begin("s", &(definition + "endsuite"));
    let is_over = AtomicBool::new(false);
    let port = server.port();
    let acknowledged = thread::scope(|scope| {
        let is_over = &is_over;
        let operators =
            [0, 1].map(|operator| scope.spawn(move || alter_until(is_over, port, operator)));
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..crashes {
            thread::sleep(Duration::from_millis(random.u64(20..250)));
            server.kill();
            server.restart();
        }
        server.wait_for("/s", "complete");
        is_over.store(true, Ordering::SeqCst);
        let values = operators
            .into_iter()
            .flat_map(|operator| operator.join().unwrap());
        (values.collect::<Vec<_>>(), seed)
    });
    let (values, seed) = acknowledged;
    let ran = server.read("ran");
    let mut runs = BTreeMap::<&str, u32>::new();
    for line in ran.lines() {
        *runs.entry(line).or_default() += 1;
    }
    assert_eq!(runs.len(), crashes * TASKS, "seed {seed}: {ran}");
    assert!(runs.values().all(|count| *count == 1), "seed {seed}: {ran}");
    assert!(!values.is_empty());
    for (name, value) in values {
        assert_eq!(
            server.query("variable", &format!("/s:{name}")),
            value,
            "seed {seed}"
        );
    }
    server.kill();
    let check = Command::new(env!("CARGO_BIN_EXE_tce-flow"))
        .args(["store", "check"])
        .arg(server.path("tce-flow.redb"))
        .output()
        .unwrap();
    assert!(check.status.success(), "seed {seed}: {}", errors(&check));
}

/// Sets variables of the suite, one after the other, and gives those that the server has confirmed.
fn alter_until(is_over: &AtomicBool, port: u16, operator: u32) -> Vec<(String, String)> {
    let mut confirmed = Vec::new();
    for at in 0.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let (name, value) = (format!("X{operator}_{at}"), at.to_string());
        let set = Command::new(env!("CARGO_BIN_EXE_ecflow_client"))
            .args(["--alter=add", "variable", &name, &value, "/s"])
            .envs([("ECF_HOST", "localhost"), ("ECF_PORT", &port.to_string())])
            .stderr(Stdio::null())
            .status();
        if set.unwrap().success() {
            confirmed.push((name, value));
        }
    }
    confirmed
}
