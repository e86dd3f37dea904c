//! `takler_client`.

use crate::common::{PORT, begin, ecflow, query, settled, takler, takler_in};

/// The help of seed 000.
const HELP: &str = include_str!("recorded/takler_help.txt");
/// Usage and errors of the original's commands.
const USAGE: &str = include_str!("recorded/takler_usage.txt");

#[test]
fn the_help_is_that_of_the_original() {
    for words in [&["--help"][..], &["-h"], &["help"], &[]] {
        assert_eq!(takler(words).text(), HELP);
    }
}

/// Each case is a line `$ takler_client WORDS`, then `1|` standard output, `2|` standard error, and
/// the exit code.
#[test]
fn usage_and_its_errors_are_those_of_the_original() {
    let mut cases = 0;
    for case in USAGE.split("$ takler_client ").skip(1) {
        let (words, expected) = case.split_once('\n').unwrap();
        let words: Vec<_> = words.split(' ').collect();
        let run = takler(&words);
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
    assert_eq!(cases, 26);
}

#[test]
fn ping_tells_how_long_it_took() {
    let out = settled(&takler(&["ping"]).text());
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "localhost:PORT ping");
    let time = lines[1]
        .strip_prefix("ping server (localhost:PORT) succeeded in ")
        .unwrap();
    assert!(time.ends_with("ms") || time.ends_with("µs"), "{time}");
    let run = takler(&["ping", "--port", "1"]);
    assert_eq!(run.out, "localhost:1 ping\n");
    assert!(
        run.error()
            .starts_with("ping server (localhost:1) failed: ")
    );
}

#[test]
fn default_environment_connect_file_and_flags_win_over_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("connect.yaml");
    std::fs::write(
        &file,
        "server:\n  address:\n    hostname: 127.0.0.3\n    ip: 127.0.0.3\n    port: '3'\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let environment = [("TAKLER_HOST", "127.0.0.2"), ("TAKLER_PORT", "2")];
    let with_file = [
        environment[0],
        environment[1],
        ("TAKLER_CONNECT_FILE", file),
    ];
    let first = |variables: &[(&str, &str)], words: &[&str]| {
        let words: Vec<_> = ["ping"].iter().chain(words).copied().collect();
        takler_in(variables, &words)
            .out
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(first(&[("TAKLER_PORT", "1")], &[]), "localhost:1 ping");
    assert_eq!(first(&environment, &[]), "127.0.0.2:2 ping");
    assert_eq!(first(&environment, &["--port="]), "127.0.0.2:2 ping");
    assert_eq!(first(&with_file, &[]), "127.0.0.3:3 ping");
    assert_eq!(
        first(&with_file, &["--host", "127.0.0.4"]),
        "127.0.0.4:3 ping"
    );
    assert_eq!(first(&with_file, &["--port", "5"]), "127.0.0.3:5 ping");
    std::fs::write(file, "server: 3\n").unwrap();
    let run = takler_in(&with_file, &["ping"]);
    assert!(
        run.error()
            .starts_with(&format!("load connect config failed: {file}: "))
    );
}

#[test]
fn operators_act_on_nodes() {
    begin(
        "tk",
        "suite tk\n family f\n  limit lim 2\n  task a\n   event go\n   meter step 0 10\n   edit X 'y'\n  task b\n   trigger a == complete\n   time 23:59\n endfamily\nendsuite\n",
    );
    let done = |words: &[&str]| settled(&takler(words).text());
    assert_eq!(
        done(&["suspend", "/tk/f", "/tk"]),
        "localhost:PORT suspend: [/tk/f /tk]\nreceived: success\n"
    );
    let shown = done(&["show", "--show-trigger"]);
    let shown = shown
        .split("|- tk ")
        .nth(1)
        .unwrap()
        .split("\n|- ")
        .next()
        .unwrap();
    assert_eq!(
        shown.trim_end(),
        "[suspend (submitted)]
  |- f [suspend (submitted)]
      limit lim [0/2]
    |- a [submitted]
        event go [unset]
        meter step 0 10 [0]
    |- b [queued]
        trigger a == complete
        time 23:59"
    );
    assert!(
        done(&["show", "--show-all"])
            .contains("        param X 'y'\n        # param TAKLER_SCRIPT '")
    );
    assert!(!done(&["show", "--show-all"]).contains("PASS"));
    assert_eq!(
        done(&["resume", "/tk/f"]),
        "localhost:PORT resume: [/tk/f]\nreceived: success\n"
    );
    assert_eq!(
        done(&["run", "/tk/f/b"]),
        "localhost:PORT run: [/tk/f/b]\nreceived: success\n"
    );
    assert_eq!(query("state", "/tk/f/b"), "submitted");
    assert_eq!(
        done(&["force", "complete", "/tk/f"]),
        "localhost:PORT force: [complete /tk/f]\nreceived: success\n"
    );
    assert_eq!(query("state", "/tk/f/b"), "complete");
    let refused = takler(&["requeue", "/tk/nosuch", "/nosuch"]);
    assert_eq!(
        settled(&refused.out),
        "localhost:PORT requeue: [/tk/nosuch /nosuch]\n"
    );
    assert_eq!(
        refused.error(),
        "node_not_found: /tk/nosuch: Could not find node at path /tk/nosuch\nnode_not_found: /nosuch: Could not find node at path /nosuch\n"
    );
}

#[test]
fn a_requeue_begins_a_flow_that_has_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.def");
    std::fs::write(&file, "suite rq\n task a\nendsuite\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(
        settled(&takler(&["load", "--flow-type=def", file]).text()),
        format!("localhost:PORT load: {file}\nreceived: success\n")
    );
    assert_eq!(query("state", "/rq/a"), "unknown");
    takler(&["requeue", "/rq"]).text();
    assert_eq!(query("state", "/rq/a"), "submitted");
    assert!(
        ecflow(&["--load", file])
            .error()
            .contains("A Suite of name 'rq' already exist")
    );
}

#[test]
fn completion_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = takler(&["completion", shell]).text();
        assert!(
            script.contains("requeue") && script.contains("task-id"),
            "{shell}"
        );
        assert!(!script.contains("free-dep"), "{shell}");
    }
}

#[test]
fn no_takler_ignores_child_commands_alone() {
    let variables = [("NO_TAKLER", ""), ("TAKLER_PORT", PORT.as_str())];
    for words in [
        &["init", "--task-id", "1"][..],
        &["complete"],
        &["abort"],
        &["event", "--event-name=a"],
        &["meter", "--meter-name=a", "--meter-value=1"],
    ] {
        assert_eq!(
            takler_in(&variables, words).text(),
            "ignore because NO_TAKLER is set.\n"
        );
    }
    assert!(
        takler_in(&variables, &["ping"])
            .text()
            .contains("succeeded")
    );
}
