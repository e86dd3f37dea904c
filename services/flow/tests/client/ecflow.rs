//! `ecflow_client` for operators.

use std::time::{Duration, Instant};

use crate::common::{PORT, begin, ecflow, ecflow_in, query, settled};

/// Wrong command lines, with what ecFlow 5.9.2 says.
const USAGE: &str = include_str!("recorded/ecflow_usage.txt");

/// Each case is a line `$ ecflow_client WORDS`, then `1|` standard output, `2|` standard error, and
/// the exit code.
#[test]
fn wrong_command_lines_are_told_as_ecflow_does() {
    let mut cases = 0;
    for case in USAGE.split("$ ecflow_client").skip(1) {
        let (words, expected) = case.split_once('\n').unwrap();
        let words: Vec<_> = words.split(' ').filter(|word| !word.is_empty()).collect();
        let run = ecflow(&words);
        let marked = |mark: &str, text: &str| -> String {
            text.lines()
                .map(|line| format!("{mark}|{line}\n"))
                .collect()
        };
        let shown = format!(
            "{}{}rc={}\n",
            marked("1", &run.out),
            marked("2", &run.err),
            run.code
        );
        assert_eq!(shown, expected, "{words:?}");
        cases += 1;
    }
    assert_eq!(cases, 33);
}

#[test]
fn ping_is_written_in_microseconds_and_milliseconds() {
    let out = settled(&ecflow(&["--ping"]).text());
    let time = out
        .strip_prefix("ping server(localhost:PORT) succeeded in 00:00:00.")
        .unwrap();
    let (micros, millis) = time.split_once("  ~").unwrap();
    let micros: u64 = micros.parse().unwrap();
    assert_eq!(millis, format!("{} milliseconds\n", micros / 1000));
}

#[test]
fn a_server_that_is_away_is_tried_twice() {
    let began = Instant::now();
    let error = ecflow_in(&[], &["--ping", "--port=1"], "").error();
    assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&began.elapsed()));
    // [18:00:23 30.11.2026] Request( --ping ), …
    let (time, text) = error.split_once("] ").unwrap();
    let digits = time.chars().filter(char::is_ascii_digit).count();
    assert!((11..=14).contains(&digits), "{time}");
    assert_eq!(
        text,
        "Request( --ping ), Failed to connect to localhost:1. After 2 attempts. Is the server running ?\n\n"
    );
}

#[test]
fn ecf_node_environment_and_options_win_over_the_one_before() {
    let shown = |variables: &[(&str, &str)], words: &[&str]| {
        let words: Vec<_> = ["--debug", "--suites"]
            .iter()
            .chain(words)
            .copied()
            .collect();
        let run = ecflow_in(variables, &words, "");
        let line = run.out.lines().nth(1).unwrap();
        line.strip_prefix("   ECF_HOST/ECF_PORT : ")
            .unwrap()
            .to_owned()
    };
    // Ports that answer, or refuse at once.
    let port = PORT.as_str();
    let node = ("ECF_NODE", "127.0.0.1");
    assert_eq!(
        shown(&[node, ("ECF_PORT", port)], &[]),
        format!("127.0.0.1:{port}")
    );
    let host = ("ECF_HOST", "localhost");
    assert_eq!(
        shown(&[node, host, ("ECF_PORT", port)], &[]),
        format!("localhost:{port}")
    );
    assert_eq!(
        shown(
            &[node, ("ECF_HOST", ""), ("ECF_PORT", port)],
            &["--port", port]
        ),
        format!("127.0.0.1:{port}")
    );
    assert_eq!(
        shown(&[("ECF_PORT", "1")], &["--port", port, "--host=127.0.0.1"]),
        format!("127.0.0.1:{port}")
    );
}

#[test]
fn help_describes_every_command() {
    let summary = ecflow(&["--help=summary"]).text();
    for command in [
        "alter",
        "begin",
        "check",
        "checkJobGenOnly",
        "check_pt",
        "debug",
        "delete",
        "edit_script",
        "file",
        "force",
        "free-dep",
        "get",
        "get_state",
        "group",
        "halt",
        "help",
        "host",
        "job_gen",
        "kill",
        "load",
        "log",
        "msg",
        "order",
        "ping",
        "port",
        "query",
        "reloadwsfile",
        "replace",
        "requeue",
        "restart",
        "resume",
        "rid",
        "run",
        "server_version",
        "show",
        "shutdown",
        "stats",
        "stats_reset",
        "status",
        "suites",
        "suspend",
        "terminate",
        "user",
        "version",
        "why",
        "zombie_adopt",
        "zombie_block",
        "zombie_fail",
        "zombie_fob",
        "zombie_get",
        "zombie_kill",
        "zombie_remove",
    ] {
        let line = summary
            .lines()
            .find(|line| line.split_whitespace().next() == Some(command));
        assert_eq!(
            line.unwrap().split_whitespace().nth(1),
            Some("user"),
            "{command}"
        );
    }
    for command in [
        "abort", "complete", "event", "init", "label", "meter", "wait",
    ] {
        assert!(
            summary.contains(&format!("  {command:23} child  ")),
            "{command}"
        );
        assert!(ecflow(&["--help", command]).text().contains("ECF_PASS"));
    }
    let unknown = ecflow(&["--help=nosuch"]).text();
    assert!(unknown.starts_with("No matching command found, please choose from:\n\n   abort  "));
    assert!(
        ecflow(&["--help"])
            .text()
            .contains("ecflow_client --help=all       # List all commands, verbosely")
    );
    assert!(
        ecflow(&["-h", "ping"])
            .text()
            .starts_with("\nping\n----\n\n")
    );
    assert_eq!(
        ecflow(&["--plug", "/a", "/b"]).error(),
        "Error: --plug is not supported by this server\n"
    );
}

/// The definition of most tests, as a suite of its own.
fn load(name: &str) {
    let definition = format!(
        "suite {name}\n limit lim 2\n task t1\n  event 1 half\n  event go set\n  meter step 0 100\n  label info 'hello'\n task t2\n  trigger t1 == complete\n family f\n  inlimit /{name}:lim\n  task a\n  task b\n   time 23:00\n endfamily\nendsuite\n"
    );
    begin(name, &definition);
}

#[test]
fn queries_give_one_value() {
    load("qu");
    for (kind, path, value) in [
        ("state", "/qu", "submitted"),
        ("dstate", "/qu/t2", "queued"),
        ("event", "/qu/t1:half", "clear"),
        ("event", "/qu/t1:1", "clear"),
        ("event", "/qu/t1:go", "set"),
        ("meter", "/qu/t1:step", "0"),
        ("limit", "/qu:lim", "1"),
        ("limit_max", "/qu:lim", "2"),
        ("label", "/qu/t1:info", "hello"),
        ("variable", "/qu/t1:TASK", "t1"),
    ] {
        assert_eq!(query(kind, path), value, "{kind} {path}");
    }
    assert_eq!(
        ecflow(&["--query", "trigger", "/qu/t2", "t1 == submitted"]).text(),
        "true\n"
    );
    for (words, text) in [
        (
            ["--query", "state", "/zz"],
            "request( --query=state /zz ) failed!  Server reply: Cannot find node at path '/zz' ",
        ),
        (
            ["--query", "meter", "/qu/t1:st"],
            "request( --query=meter /qu/t1:st ) failed!  Server reply: QueryCmd: Cannot find meter st on node /qu/t1",
        ),
        (
            ["--query", "variable", "/qu/t1:NOPE"],
            "request( --query=variable /qu/t1:NOPE ) failed!  Server reply: QueryCmd: Cannot find variable, repeat or generated var' of name NOPE on node /qu/t1 or its parents",
        ),
    ] {
        assert_eq!(ecflow(&words).error(), format!("Error: {text}\n\n"));
    }
}

#[test]
fn missing_nodes_are_named_as_ecflow_does() {
    load("mi");
    for (words, text) in [
        (
            &["--suspend=/mi/zz", "/mi/t1"][..],
            "PathsCmd:Suspend: Could not find node at path '/mi/zz'",
        ),
        (
            &["--kill=/mi/zz"],
            "PathsCmd:Kill: Could not find node at path '/mi/zz'",
        ),
        (
            &["--requeue=/mi/t2", "/zz", "/yy"],
            "RequeueNodeCmd: Could not find node at path /zz\nRequeueNodeCmd: Could not find node at path /yy",
        ),
        (
            &["--run", "/zz"],
            "RunNodeCmd: Could not find node at path /zz",
        ),
        (
            &["--force=complete", "/mi/zz"],
            "ForceCmd: Could not find node at path /mi/zz",
        ),
        (
            &["--force=set", "/mi/t1:zz"],
            "ForceCmd: force set: failed for node(/mi/t1) cannot find event(zz)",
        ),
        (
            &["--alter=add", "variable", "A", "1", "/zz"],
            "AlterCmd: Could not find node at path /zz",
        ),
        (
            &["--free-dep=/zz"],
            "FreeDepCmd: Could not find node at path /zz",
        ),
        (
            &["--delete=yes", "/mi/zz"],
            "DeleteCmd:Delete: Could not find node at path '/mi/zz'",
        ),
        (
            &["--begin=x"],
            "BeginCmd::doHandleRequest:  Begin failed as suite 'x' is not loaded.",
        ),
        (&["--get=/zz"], "Cannot find node at path '/zz' "),
        (&["--order=/zz", "top"], "Cannot find node at path '/zz' "),
        (
            &["--check=/zz"],
            "PathsCmd:Check: Could not find node at path '/zz'",
        ),
        (&["--job_gen=/zz"], "Cannot find node at path '/zz' "),
    ] {
        let error = ecflow(words).error();
        let (_, reply) = error.split_once(" failed!  Server reply: ").unwrap();
        assert_eq!(reply, format!("{text}\n\n"), "{words:?}");
    }
    // The other path was suspended all the same.
    assert_eq!(query("dstate", "/mi/t1"), "suspended");
}

#[test]
fn definitions_and_parts_of_them_are_shown() {
    load("sh");
    let whole = ecflow(&["--get=/sh"]).text();
    assert!(whole.starts_with("#5.9.2\nsuite sh\n  limit lim 2\n  task t1\n    label info \"hello\"\n    meter step 0 100 100\n    event 1 half\n"));
    assert!(whole.ends_with("  endfamily\nendsuite\n# enddef\n"));
    let part = "  task t1\n    label info \"hello\"\n    meter step 0 100 100\n    event 1 half\n    event go set\n\n";
    assert_eq!(ecflow(&["--get=/sh/t1"]).text(), part);
    assert_eq!(ecflow(&["--group=get=/sh/t1; show"]).text(), part);
    let state = ecflow(&["--get_state", "/sh/t1"]).text();
    assert!(
        state.starts_with("  task t1 # try:1 state:submitted\n    # edit TASK 't1'\n"),
        "{state}"
    );
    assert!(!state.contains("PASS"));
    let suite = ecflow(&["--group", "get=/sh; show"]).text();
    assert_eq!(
        suite,
        whole.replace("#5.9.2\n", "").replace("# enddef\n", "") + "\n"
    );
    assert!(ecflow(&["--show"]).text().contains("suite sh\n"));
    assert!(ecflow(&["--suites"]).text().contains("sh "));
    assert_eq!(ecflow(&["--check=/sh"]).text(), "\n");
    let why = ecflow(&["--why=/sh/t2"]).text();
    assert_eq!(
        why,
        "TASK /sh/t2(queued) expression (t1 == complete) is false\n"
    );
    assert_eq!(ecflow(&["--group=get; why=/sh/t2"]).text(), why);
}

#[test]
fn attributes_are_altered() {
    load("al");
    for words in [
        &["--alter=add", "variable", "A", "a  b", "/al", "/al/f"][..],
        &["--alter=change", "variable", "A", "/a/path", "/al"],
        &["--alter", "add", "variable", "B", "--x y", "/al/f"],
        &["--alter", "add", "variable", "E", "", "/al/f"],
        &["--alter=change", "meter", "step", "30", "/al/t1"],
        &["--alter=change", "event", "half", "/al/t1"],
        &["--alter=change", "label", "info", "-- new --", "/al/t1"],
        &["--alter=change", "trigger", "t1 == active", "/al/t2"],
        &["--alter=change", "limit_max", "lim", "5", "/al"],
        &["--alter=add", "time", "+00:20", "/al/t1"],
        &["--alter=add", "late", "-s 00:01", "/al/t1"],
        &["--alter=set_flag", "late", "/al/t1"],
        &["--alter=delete", "variable", "A", "/al/f"],
        &["--alter=delete", "time", "/al/f/b"],
        &["--alter=add", "variable", "GLOBAL_AL", "1", "/"],
    ] {
        assert_eq!(ecflow(words).text(), "", "{words:?}");
    }
    assert_eq!(query("variable", "/al/f/a:A"), "/a/path");
    assert_eq!(query("variable", "/al/f:B"), "--x y");
    assert_eq!(query("variable", "/al/f:E"), "");
    assert_eq!(query("meter", "/al/t1:step"), "30");
    assert_eq!(query("label", "/al/t1:info"), "-- new --");
    assert_eq!(query("limit_max", "/al:lim"), "5");
    assert_eq!(query("variable", "/al/t1:GLOBAL_AL"), "1");
    let error = ecflow(&["--alter=change", "meter", "step", "500", "/al/t1"]).error();
    assert!(
        error.contains("Server reply: Alter (change) failed for /al/t1 : "),
        "{error}"
    );
    let error = ecflow(&["--alter=change", "variable", "NOPE", "1", "/al"]).error();
    assert!(
        error.contains("Server reply: Alter (change) failed for /al : "),
        "{error}"
    );
}

#[test]
fn questions_are_asked_before_nodes_are_deleted() {
    load("de");
    let ask = |words: &[&str], input: &str| ecflow_in(&[("ECF_PORT", PORT.as_str())], words, input);
    let declined = ask(&["--delete=/de/f/b"], "");
    assert_eq!(
        (declined.code, declined.out.as_str(), declined.err.as_str()),
        (
            1,
            "Are you sure want to delete nodes at paths:\n  /de/f/b ? ",
            ""
        )
    );
    assert_eq!(ask(&["--delete=/de/f/b"], "no\n").code, 1);
    assert_eq!(query("state", "/de/f/b"), "queued");
    assert_eq!(ask(&["--delete=/de/f/b"], "yes\n").code, 0);
    assert!(
        ecflow(&["--query", "state", "/de/f/b"])
            .error()
            .contains("Cannot find node")
    );
    assert_eq!(
        ecflow(&["--delete=yes", "/de"]).error(),
        "Error: request( --delete yes /de ) failed!  Server reply: Cannot delete node SUITE:/de\n There are 2 submitted tasks. First : /de/t1\nPlease use the 'force' option to bypass this check, at the expense of creating zombies\n\n\n"
    );
    assert_eq!(ecflow(&["--delete=force", "yes", "/de"]).text(), "");
    let declined = ask(&["--halt"], "");
    assert_eq!(
        (declined.code, declined.out.as_str()),
        (1, "Are you sure you want to halt the server ? ")
    );
}

#[test]
fn commands_that_change_nothing_say_why_and_succeed() {
    load("no");
    assert_eq!(ecflow(&["--begin=no"]).text(), "");
    let run = ecflow(&["--requeue=/no"]);
    assert_eq!(
        (run.code, run.err.as_str()),
        (0, "/no: tasks are submitted or active\n")
    );
    assert_eq!(query("state", "/no/t1"), "submitted");
}

#[test]
fn files_are_checked_before_they_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.def");
    let path = file.to_str().unwrap();
    std::fs::write(
        &file,
        "suite ch\n task a\n  trigger b == complete\n task b\n  meter m 0 10\nendsuite\n",
    )
    .unwrap();
    assert_eq!(ecflow(&["--load", path, "check_only"]).text(), "");
    assert!(ecflow(&["--get=/ch"]).error().contains("Cannot find node"));
    assert_eq!(
        ecflow(&["--load", path, "print"]).text(),
        "#5.9.2\nsuite ch\n  task a\n    trigger b == complete\n  task b\n    meter m 0 10 10\nendsuite\n# enddef\n"
    );
    let stats = ecflow(&["--load", path, "stats"]).text();
    assert!(stats.starts_with("Definition statistics\nNodes               3\nSuites              1\nFamily              0\nTask                2\n"));
    assert_eq!(ecflow(&["--load", path]).text(), "");
    assert_eq!(
        ecflow(&["--load", path]).error(),
        format!(
            "Error: request( --load={path} ) failed!  Server reply: Add Suite failed: A Suite of name 'ch' already exist\n\n"
        )
    );
    assert_eq!(ecflow(&["--load", path, "force"]).text(), "");
    assert_eq!(ecflow(&["--replace", "/ch/a", path]).text(), "");
    std::fs::write(&file, "suite ch\n task a\n trigger a ==\nendsuite\n").unwrap();
    let error = ecflow(&["--load", path]).error();
    assert!(error.starts_with(&format!("ecflow_client: Caught exception whilst parsing arguments:\n\nLoadDefsCmd::LoadDefsCmd. Failed to parse file/definition {path}\nerror[FLOW")), "{error}");
    assert!(error.contains(&format!("--> {path}:3:10")), "{error}");
}

#[test]
fn long_definitions_come_and_go_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.def");
    let tasks: String = (0..15_000)
        .map(|at| format!(" task t{at}\n  edit TEXT 'größer als ein Teil {at}'\n"))
        .collect();
    std::fs::write(&file, format!("suite long\n{tasks}endsuite\n")).unwrap();
    assert_eq!(ecflow(&["--load", file.to_str().unwrap()]).text(), "");
    let shown = ecflow(&["--get=/long"]).text();
    assert!(shown.len() > 800_000 && shown.contains("'größer als ein Teil 14999'"));
    assert_eq!(ecflow(&["--delete=force", "yes", "/long"]).text(), "");
}

#[test]
fn a_group_ends_with_its_first_refusal() {
    load("gr");
    let run = ecflow(&["--group=suspend=/gr/t1; suspend=/zz; suspend=/gr/t2"]);
    assert!(
        run.error()
            .contains("PathsCmd:Suspend: Could not find node at path '/zz'")
    );
    assert_eq!(query("dstate", "/gr/t1"), "suspended");
    assert_eq!(query("dstate", "/gr/t2"), "queued");
    // All of it is understood before anything is done.
    let run = ecflow(&["--group=suspend=/gr/t2; nosuch"]);
    assert!(run.error().contains("unrecognised option '--nosuch'"));
    assert_eq!(query("dstate", "/gr/t2"), "queued");
    let words = ["--ping", "--suites"];
    assert!(ecflow(&words).error().contains("--group=\"ping; suites\""));
}

#[test]
fn no_ecf_does_nothing_with_success() {
    let run = ecflow_in(&[("NO_ECF", "")], &["--complete"], "");
    assert_eq!(run.text(), "NO_ECF\n");
}

#[test]
fn a_token_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "secret\n").unwrap();
    let path = file.to_str().unwrap();
    let variables = [("TCE_FLOW_TOKEN_FILE", path), ("ECF_PORT", PORT.as_str())];
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = ecflow_in(&variables, &["--ping"], "").error();
    assert_eq!(
        error,
        format!("Error: {path}: others can read it (mode 644): `chmod 600` it\n")
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(
        ecflow_in(&variables, &["--ping"], "")
            .text()
            .contains("succeeded")
    );
}
