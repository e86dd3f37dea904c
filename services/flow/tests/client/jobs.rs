//! Child commands of both clients.

use std::time::{Duration, Instant};

use crate::common::{PORT, Run, begin, ecflow, ecflow_in, password, query, start, takler_in};

/// The environment of a job.
#[derive(Clone)]
struct Job(Vec<(&'static str, String)>);

impl Job {
    /// The job of the first task of a suite.
    fn start(name: &str) -> Self {
        begin(
            name,
            &format!(
                "suite {name}\n task t1\n  event half\n  meter step 0 100\n  label info ''\n task t2\n  trigger t1 == complete\nendsuite\n"
            ),
        );
        let path = format!("/{name}/t1");
        Self(vec![
            ("ECF_PORT", PORT.clone()),
            ("TAKLER_PORT", PORT.clone()),
            ("ECF_PASS", password(&path)),
            ("ECF_NAME", path),
            ("ECF_RID", "77".to_owned()),
        ])
    }

    fn set(&self, name: &'static str, value: &str) -> Self {
        let mut variables = self.0.clone();
        variables.retain(|(known, _)| *known != name);
        variables.push((name, value.to_owned()));
        Self(variables)
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }

    fn ecflow(&self, words: &[&str]) -> Run {
        ecflow_in(&self.variables(), words, "")
    }

    fn takler(&self, words: &[&str]) -> Run {
        takler_in(&self.variables(), words)
    }
}

#[test]
fn a_job_tells_how_it_fares() {
    let job = Job::start("ja");
    let words = ["--init=77", "--add", "A=1", "B=x y", "C="];
    assert_eq!(job.ecflow(&words).text(), "");
    assert_eq!(query("state", "/ja/t1"), "active");
    assert_eq!(query("variable", "/ja/t1:B"), "x y");
    for words in [
        &["--event=half"][..],
        &["--meter", "step", "20"],
        &["--label=info", "-- a b", "c"],
        &["--wait=t1 == active"],
    ] {
        assert_eq!(job.ecflow(words).text(), "");
    }
    assert_eq!(query("event", "/ja/t1:half"), "set");
    assert_eq!(query("meter", "/ja/t1:step"), "20");
    assert_eq!(query("label", "/ja/t1:info"), "-- a b\nc");
    assert_eq!(job.ecflow(&["--event", "half", "clear"]).text(), "");
    assert_eq!(query("event", "/ja/t1:half"), "clear");
    assert_eq!(job.ecflow(&["--complete", "--remove", "A"]).text(), "");
    // A lost answer may be asked for again.
    assert_eq!(job.ecflow(&["--complete"]).text(), "");
    assert_eq!(query("state", "/ja/t2"), "submitted");
    assert!(
        ecflow(&["--query", "variable", "/ja/t1:A"])
            .error()
            .contains("Cannot find variable")
    );
}

#[test]
fn what_a_task_does_not_have_is_told_and_ends_no_job_of_ecflow() {
    let job = Job::start("jb");
    job.ecflow(&["--init=77"]).text();
    for (words, text) in [
        (&["--event=x"][..], "chd:event x 1 /jb/t1 is ignored: "),
        (
            &["--meter=step", "500"],
            "chd:meter step 500 /jb/t1 is ignored: ",
        ),
        (&["--label=x", "y"], "chd:label x 'y' /jb/t1 is ignored: "),
    ] {
        let run = job.ecflow(words);
        assert_eq!((run.code, run.out.as_str()), (0, ""));
        assert!(run.err.starts_with(text), "{}", run.err);
    }
    assert_eq!(query("meter", "/jb/t1:step"), "0");
    let error = job
        .takler(&["meter", "--meter-name", "step", "--meter-value", "500"])
        .error();
    assert!(error.starts_with("unsupported_value: "), "{error}");
    let error = job.ecflow(&["--wait=/zz == complete"]).error();
    assert!(
        error.starts_with(
            "Error: request( chd:wait /zz == complete /jb/t1 ) failed!  Server reply: "
        ),
        "{error}"
    );
}

#[test]
fn the_other_client_knows_the_job_too() {
    let job = Job::start("jc");
    let port = PORT.as_str();
    let run = job.takler(&["init", "--task-id", "77"]);
    assert_eq!(
        run.text(),
        format!("localhost:{port} init /jc/t1 with 77\nreceived: success\n")
    );
    let run = job.takler(&["event", "--event-name=half"]);
    assert_eq!(
        run.text(),
        format!("localhost:{port} event /jc/t1: half\nreceived: success\n")
    );
    let run = job.takler(&["meter", "--meter-name=step", "--meter-value=3"]);
    assert_eq!(
        run.text(),
        format!("localhost:{port} meter /jc/t1: step with 3\nreceived: success\n")
    );
    let run = job.takler(&["abort", "--reason", "trap"]);
    assert_eq!(
        run.text(),
        format!("localhost:{port} abort /jc/t1: trap\nreceived: success\n")
    );
    // The second try has another password.
    let zombie = job.takler(&["complete"]);
    assert!(zombie.error().starts_with("zombie: "));
    let run = Job(vec![("TAKLER_PORT", PORT.clone())]).takler(&["complete"]);
    assert_eq!(
        run.error(),
        "no task: set --node-path or TAKLER_NAME for `complete`\n"
    );
}

#[test]
fn a_zombie_waits_until_an_operator_decides() {
    let job = Job::start("jd");
    job.ecflow(&["--init=77"]).text();
    let zombie = job.set("ECF_PASS", "bad").set("ECF_RID", "999");
    // Without effect.
    assert_eq!(zombie.ecflow(&["--event=half"]).text(), "");
    assert_eq!(query("event", "/jd/t1:half"), "clear");
    let denied = zombie.set("ECF_DENIED", "1").ecflow(&["--complete"]);
    assert_eq!(denied.code, 1);
    let (time, text) = denied.out.split_once("] ").unwrap();
    assert!(time.starts_with('['));
    let port = PORT.as_str();
    assert_eq!(
        text,
        format!(
            "ClientInvoker: chd:complete /jd/t1 : localhost:{port} : blocking : zombie detected, continue waiting\n"
        )
    );
    let list = ecflow(&["--zombie_get"]).text();
    let head = list.lines().next().unwrap().split_whitespace();
    assert!(head.eq(
        "task-path type age(s) password pid try_no action child calls host explanation".split(' ')
    ));
    let row: Vec<_> = list
        .lines()
        .find(|row| row.starts_with("/jd/t1 "))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        (row[1], row[3], row[4], row[6]),
        ("ecf_pid_passwd", "*", "999", "auto-block")
    );
    let waiting = std::thread::spawn(move || zombie.ecflow(&["--complete"]));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ecflow(&["--zombie_fail=/jd/t1"]).text(), "");
    let failed = waiting.join().unwrap();
    assert_eq!(
        failed.error(),
        "Error: request( chd:complete /jd/t1 ) failed!  Server reply: [ authentication failed ] Request set to FAIL via zombie setting\n\n"
    );
    assert_eq!(ecflow(&["--zombie_remove=/jd/t1"]).text(), "");
}

#[test]
fn a_job_waits_for_a_server_that_is_away_and_for_one_that_is_halted() {
    // The port is taken, and refuses, until the server starts.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let job = Job(vec![
        ("ECF_PORT", port.clone()),
        ("ECF_NAME", "/s/t1".to_owned()),
        ("ECF_PASS", "x".to_owned()),
        ("ECF_TIMEOUT", "20".to_owned()),
    ]);
    let waiting = std::thread::spawn({
        let job = job.clone();
        move || job.ecflow(&["--event=half"])
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(start(&format!("tcp://127.0.0.1:{port}")), port);
    let run = waiting.join().unwrap();
    // There is no such task: a zombie, whose events succeed without effect.
    assert_eq!(run.code, 0);
    assert_eq!(
        run.err.matches("Connection error").count(),
        1,
        "{}",
        run.err
    );
    let operator = [("ECF_PORT", port.as_str())];
    assert_eq!(ecflow_in(&operator, &["--halt=yes"], "").text(), "");
    let waiting = std::thread::spawn(move || job.ecflow(&["--event=half"]));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ecflow_in(&operator, &["--restart"], "").text(), "");
    let run = waiting.join().unwrap();
    assert_eq!(
        run.out
            .matches("blocking : server is HALTED, continue waiting")
            .count(),
        1
    );
    assert_eq!((run.code, run.err.as_str()), (0, ""));
}

#[test]
fn other_hosts_are_tried_in_turn() {
    let job = Job::start("je");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts");
    std::fs::write(
        &file,
        format!("# others\n127.0.0.1:1\nlocalhost:{}\n", PORT.as_str()),
    )
    .unwrap();
    let job = job
        .set("ECF_PORT", "1")
        .set("ECF_HOSTFILE", file.to_str().unwrap());
    let began = Instant::now();
    assert_eq!(job.ecflow(&["--init=77"]).code, 0);
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(query("state", "/je/t1"), "active");
}

#[test]
fn a_time_limit_ends_the_attempts() {
    let job = Job::start("jf")
        .set("ECF_PORT", "1")
        .set("ECF_TIMEOUT", "1")
        .set("TAKLER_PORT", "1")
        .set("TAKLER_TIMEOUT", "0");
    let began = Instant::now();
    let error = job.ecflow(&["--complete"]).error();
    assert!(
        error.contains("Request( chd:complete /jf/t1 ), Failed to connect to localhost:1."),
        "{error}"
    );
    let error = job.takler(&["complete"]).error();
    assert!(
        error.contains("could not complete: CONNECT_FAILED"),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(3));
}
