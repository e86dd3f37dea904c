//! The program `tce-frame`: what it prints, and its exit statuses.

use std::process::{Command, Output};

use crate::common::{Namespace, write};

fn frame(uri: &str, args: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_tce-frame"))
        .args(args)
        .env_remove("TCE_FRAME_AMQP")
        .env("KAEL_AURI", uri)
        .output();
    run.expect("it runs")
}

/// Standard output of a command with this exit status.
fn printed(uri: &str, args: &[&str], status: i32) -> String {
    let output = frame(uri, args);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn complaint(uri: &str, args: &[&str], status: i32) -> String {
    let output = frame(uri, args);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn agents_are_managed_as_by_kael() {
    let namespace = Namespace::new("commands");
    let (a, b) = (namespace.machine("a"), namespace.machine("b"));
    write(
        &a,
        "calculate_service/setting.yaml",
        &crate::common::SETTING.replace("1.0", "1.1"),
    );
    let agents = [namespace.start(&a), namespace.start(&b)];
    let uri = namespace.uri.as_str();
    let list = printed(uri, &["list", "-n", "commands"], 0);
    assert!(
        list.starts_with("ID ") && agents.iter().all(|agent| list.contains(&agent.id)),
        "{list}"
    );
    let status = printed(uri, &["status", "-n", "commands", "--type", "service"], 0);
    assert!(
        status.contains("calculate  service  1.1      running"),
        "{status}"
    );
    assert_eq!(
        printed(
            uri,
            &["call", "-n", "commands", "calculate__add", "1", "2"],
            0
        ),
        "3\n"
    );
    let text = complaint(
        uri,
        &["call", "-n", "commands", "calculate__fail", "zero"],
        1,
    );
    assert!(
        text.starts_with("error: ZeroDivisionError: division by zero"),
        "{text}"
    );
    let update = printed(uri, &["update", "-n", "commands", "-s", "calculate"], 0);
    for line in [
        "I am the source code",
        "Update OK. Version from <1.0> to <1.1>",
        "restart service ok",
    ] {
        assert!(update.contains(line), "{update}");
    }
    let back = printed(
        uri,
        &[
            "rollback",
            "-n",
            "commands",
            "-s",
            "calculate",
            "-i",
            &agents[1].id,
        ],
        0,
    );
    assert!(
        back.contains("Rollback OK. Version from <1.1> to <1.0>"),
        "{back}"
    );
    let json = printed(uri, &["status", "-n", "commands", "--format", "json"], 0);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["agents"][&agents[1].id][0]["version"], "1.0");
    // An id that no agent has is named.
    let missing = printed(
        uri,
        &[
            "list",
            "-n",
            "commands",
            "-i",
            "commands-nosuch",
            "--timeout",
            "1",
        ],
        1,
    );
    assert!(
        missing.ends_with("commands-nosuch: no answer\n"),
        "{missing}"
    );
    assert_eq!(
        complaint(uri, &["list", "-n", "empty"], 1),
        "error: no agent in namespace empty\n"
    );
}

#[test]
fn what_needs_no_agent_needs_no_broker() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    printed("", &["new", &path("hello")], 0);
    printed("", &["new", &path("tick"), "--type", "crontab"], 0);
    write(folder.path(), "frame.yaml", "path: [hello, tick]\n");
    let checked = printed("", &["check", &path("frame.yaml")], 0);
    assert_eq!(
        checked,
        "service hello 1.0: 1 functions\ncrontab tick 1.0: 1 jobs\n"
    );
    write(
        folder.path(),
        "frame.yaml",
        "path: [hello, hello, nosuch]\n",
    );
    let text = complaint("", &["check", &path("frame.yaml")], 2);
    assert_eq!(text.matches("frame.yaml:1: ").count(), 2, "{text}");
    let text = complaint("", &["new", &path("hello")], 2);
    assert!(text.contains("is there already"), "{text}");
    let berlin = ["--timezone", "Europe/Berlin", "--count", "2", "--after"];
    let next = |time: &str, after: &str| {
        let args: Vec<_> = ["cron", "next", time]
            .into_iter()
            .chain(berlin)
            .chain([after])
            .collect();
        printed("", &args, 0)
    };
    assert_eq!(
        next("30 2 * * *", "2027-03-28T00:00"),
        "2027-03-28 03:00 +02:00\n2027-03-29 02:30 +02:00\n"
    );
    assert_eq!(
        next("30 2 * * *", "2026-10-25T00:00"),
        "2026-10-25 02:30 +02:00\n2026-10-26 02:30 +01:00\n"
    );
    let text = complaint("", &["cron", "next", "61 * * * *"], 2);
    assert!(
        text.starts_with("error: `61 * * * *` is not a time: "),
        "{text}"
    );
}

#[test]
fn mistakes_in_the_command_line_have_status_2() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "frame.yaml", "path: []\n");
    let conf = folder.path().join("frame.yaml").display().to_string();
    let uri = "amqp://guest:secretword@127.0.0.1:1/";
    let text = complaint(uri, &["run", "-p", &conf], 2);
    assert!(
        text.contains("--namespace") && text.contains("service_group"),
        "{text}"
    );
    let text = complaint(uri, &["run", "-n", "a b", "-p", &conf], 2);
    assert!(text.contains("can't be a namespace"), "{text}");
    let text = complaint(uri, &["run", "-n", "a", "-p", &conf], 2);
    assert!(!text.contains("secretword"), "{text}");
    let text = complaint(uri, &["list"], 2);
    assert!(text.contains("--namespace"), "{text}");
    let text = complaint(uri, &["list", "-n", "a", "--timeout", "1"], 1);
    assert!(!text.contains("secretword"), "{text}");
    complaint(uri, &["nosuch"], 2);
    complaint(uri, &["status", "--type", "nosuch"], 2);
}
