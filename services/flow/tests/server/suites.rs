//! Suites of real jobs, from the load of a definition to the end.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::installation::{Installation, errors};

const SUITE: &str = "suite s
  repeat date YMD 20260101 20260103 1
  task t1
    event 1 half
    meter step 0 100
    label note ''
  task t2
    trigger t1 == complete
  task t3
    trigger t1:half and t1:step ge 20
endsuite";

const APPEND: &str = "echo %TASK% %YMD% >> %ECF_HOME%/ran";

#[test]
fn a_suite_of_the_tutorial_runs_through_its_dates() {
    let t1 = format!(
        "{APPEND}\necflow_client --event=half\necflow_client --meter=step 20\necflow_client --label=note 'all is well'"
    );
    let server = Installation::start(&[("/s/t1", &t1), ("/s/t2", APPEND), ("/s/t3", APPEND)]);
    server.begin("s", SUITE);
    server.wait_for_lines("ran", 9);
    server.wait_for("/s", "complete");
    let ran = server.read("ran");
    for date in ["20260101", "20260102", "20260103"] {
        for task in ["t1", "t2", "t3"] {
            assert_eq!(ran.matches(&format!("{task} {date}")).count(), 1, "{ran}");
        }
    }
    assert_eq!(server.query("repeat", "/s"), "20260103");
    assert_eq!(server.query("label", "/s/t1:note"), "all is well");
    // The text that ecFlow 5.9.2 gives after the same suite.
    let expected = include_str!("recorded/tutorial.def");
    assert_eq!(server.ecflow(&["--get=/s"]), expected);
}

#[test]
fn events_and_meters_of_a_job_start_its_successors_while_it_runs() {
    let t1 = "ecflow_client --meter=step 500 2> %ECF_HOME%/refusal; echo $? >> %ECF_HOME%/refusal
ecflow_client --event=half
ecflow_client --meter=step 20
while [ ! -e %ECF_HOME%/ran ]; do sleep 0.02; done
ecflow_client --meter=step 500 || true";
    let server = Installation::start(&[("/s/t1", t1), ("/s/t2", "true"), ("/s/t3", APPEND)]);
    server.begin(
        "s",
        &SUITE.replace("  repeat date YMD 20260101 20260103 1", "  edit YMD 1"),
    );
    server.wait_for("/s", "complete");
    assert_eq!(server.read("ran"), "t3 1\n");
    assert_eq!(server.query("meter", "/s/t1:step"), "20");
    let refusal = server.read("refusal");
    assert!(
        refusal.contains("step") && refusal.ends_with("\n0\n"),
        "{refusal}"
    );
}

#[test]
fn failures_end_as_the_user_has_said() {
    let definition = "suite s
  task twice
  task once
    edit ECF_TRIES 1
  task silent
  task status
    edit ECF_JOB_CMD '%ECF_JOB% 1> %ECF_JOBOUT% 2>&1; exit 3'
  task bad
  task missing
  task killed
  family after
    trigger twice == aborted and once == aborted
    complete once == complete
    task t
  endfamily
endsuite";
    let silent = "trap 0\nexit 0";
    let server = Installation::start(&[
        ("/s/twice", "false"),
        ("/s/once", "false"),
        ("/s/silent", silent),
        ("/s/status", silent),
        ("/s/bad", "%NOPE%"),
        (
            "/s/killed",
            "sleep 0.1; : > %ECF_HOME%/sleeps; exec sleep 60",
        ),
        ("/s/after/t", "true"),
    ]);
    server.begin("s", definition);
    server.wait_for("/s/after", "complete");
    for (task, tries, reason) in [
        ("twice", "2", "trap"),
        ("once", "1", "trap"),
        ("status", "1", "exited with status 3"),
        ("bad", "1", "s/bad.ecf:2: there is no variable NOPE"),
        ("missing", "1", "no script; tried "),
    ] {
        let path = format!("/s/{task}");
        server.wait_for(&path, "aborted");
        assert_eq!(
            server.query("variable", &format!("{path}:ECF_TRYNO")),
            tries
        );
        let why = server.why(&path);
        assert!(why.contains(reason), "{why}");
    }
    let is_told = || server.why("/s/silent").contains("has ended without a word");
    assert!(crate::installation::comes_true(is_told));
    assert_eq!(server.query("state", "/s/silent"), "active");
    server.wait_for_lines("s/killed.job1.pid", 1);
    assert!(crate::installation::comes_true(|| server
        .path("sleeps")
        .exists()));
    server.ecflow(&["--kill=/s/killed"]);
    server.wait_for("/s/killed", "aborted");
    assert_eq!(server.query("variable", "/s/killed:ECF_TRYNO"), "1");
}

#[test]
fn a_limit_is_held_by_jobs() {
    let mut definition = String::from("suite s\n limit l 2\n inlimit l\n");
    let server = Installation::start(&[]);
    let script = "mkdir -p %ECF_HOME%/now; : > %ECF_HOME%/now/%TASK%
ls %ECF_HOME%/now | wc -l >> %ECF_HOME%/counts
sleep 0.05; rm %ECF_HOME%/now/%TASK%";
    for at in 0..10 {
        server.script(&format!("/s/t{at}"), script);
        definition += &format!(" task t{at}\n");
    }
    server.begin("s", &(definition + "endsuite"));
    server.wait_for("/s", "complete");
    let counts = server.read("counts");
    let most = counts
        .lines()
        .map(|count| count.trim().parse::<u32>().unwrap())
        .max();
    assert!(counts.lines().count() == 10 && most <= Some(2), "{counts}");
}

#[test]
fn times_come_by_the_clock_of_the_suite() {
    let server = Installation::start(&[]);
    // The suite's clock is eight seconds before its next full minute: enough for a slow machine to
    // begin the suite.
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let gain = (52 + 60 - now % 60) % 60;
    let minute = (now + gain) / 60 + 1;
    let time = format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    let mut definition = format!("suite s\n clock real {gain}\n");
    let mut tasks = Vec::new();
    for (task, attribute) in [
        ("time", format!("time {time}")),
        ("today", format!("today {time}")),
        ("cron", format!("cron {time}")),
        ("date", format!("date *.*.*\n time {time}")),
    ] {
        server.script(
            &format!("/s/{task}"),
            "echo %TASK% %ECF_TIME% >> %ECF_HOME%/ran",
        );
        definition += &format!(" task {task}\n {attribute}\n");
        tasks.push(format!("{task} {time}"));
    }
    server.begin("s", &(definition + "endsuite"));
    server.wait_for_lines("ran", 4);
    let ran = server.read("ran");
    for line in tasks {
        assert_eq!(ran.matches(&line).count(), 1, "{line}: {ran}");
    }
    server.wait_for("/s/time", "complete");
    server.wait_for("/s/cron", "queued");
}

#[test]
fn a_takler_script_is_known_by_its_environment() {
    let server = Installation::start(&[]);
    server.write("head.takler", include_str!("tutorial/head.takler"));
    server.write("tail.takler", include_str!("tutorial/tail.takler"));
    let script = "{% include 'head.takler' %}\necho {{ TASK }} {{ WHO | default(\"nobody\") }} >> {{ TAKLER_HOME }}/ran\n{% include 'tail.takler' %}\n";
    server.write("t1.takler", script);
    let path = server.path("t1.takler").display().to_string();
    let definition = format!("suite test\n task t1\n  edit TAKLER_SCRIPT '{path}'\nendsuite");
    server.write("test.def", &definition);
    let path = server.path("test.def").display().to_string();
    server.ecflow(&[&format!("--load={path}")]);
    server.takler(&["requeue", "/test"]);
    server.wait_for("/test", "complete");
    assert_eq!(server.read("ran"), "t1 nobody\n");
    let job = server.read("test/t1.job1");
    assert!(!job.contains("PASS"), "{job}");
}

#[test]
fn a_job_that_is_not_the_present_one_is_a_zombie() {
    let wait = "while [ ! -e %ECF_HOME%/go ]; do sleep 0.02; done";
    let server = Installation::start(&[("/s/t1", wait)]);
    server.begin("s", "suite s\n task t1\n  event x\nendsuite");
    server.wait_for("/s/t1", "active");
    let zombie = |arguments: &[&str]| {
        let mut command = server.client(arguments);
        command.envs([
            ("ECF_NAME", "/s/t1"),
            ("ECF_PASS", "bad"),
            ("ECF_RID", "999"),
            ("ECF_TRYNO", "1"),
        ]);
        command
    };
    let event = zombie(&["--event=x"]).output().unwrap();
    assert!(event.status.success());
    assert_eq!(server.query("event", "/s/t1:x"), "clear");
    let mut held = zombie(&["--complete"]);
    let mut held = held
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let is_listed = || server.ecflow(&["--zombie_get"]).contains("complete");
    assert!(crate::installation::comes_true(is_listed));
    let zombies = server.ecflow(&["--zombie_get"]);
    assert!(
        zombies.contains("/s/t1") && zombies.contains("ecf_pid_passwd"),
        "{zombies}"
    );
    assert!(!zombies.contains("bad"), "{zombies}");
    assert_eq!(held.try_wait().unwrap(), None);
    server.ecflow(&["--zombie_fail=/s/t1"]);
    let held = held.wait_with_output().unwrap();
    assert!(!held.status.success());
    assert!(errors(&held).contains("zombie"), "{}", errors(&held));
    server.write("go", "");
    server.wait_for("/s/t1", "complete");
}

#[test]
fn the_example_runs_to_its_end() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flow/run.sh");
    let programs = Path::new(env!("CARGO_BIN_EXE_tce-flow")).parent().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut run = Command::new(example);
    let run = run
        .arg(home.path())
        .env("TCE_FLOW_BIN", programs)
        .output()
        .unwrap();
    let output = String::from_utf8(run.stdout.clone()).unwrap();
    assert!(run.status.success(), "{output}{}", errors(&run));
    for node in [
        "suite test # begun:1 state:complete",
        "suite takler # begun:1 state:complete",
    ] {
        assert!(output.contains(node), "{output}");
    }
    let said = fs::read_to_string(home.path().join("takler/container/t2.1")).unwrap();
    assert!(said.contains("t2: nobody"), "{said}");
}
