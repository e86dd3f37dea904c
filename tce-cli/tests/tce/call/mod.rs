//! `tce call`.

mod hostile;
mod values;
mod ways;

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use tce_runtime::{Adapter, Communicator, config::Options};

use super::{
    Ran, command, folder,
    servers::{self, Simple},
    tce,
    test::ServerServant,
};

/// The repository's file of an IDL.
fn idl(name: &str) -> String {
    format!("{}/../tests/idl/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Calls at an endpoint.
fn call(endpoint: &str, args: &[&str]) -> Ran {
    tce(&[&["call", endpoint], args].concat())
}

/// Calls with something on standard input.
fn call_with(endpoint: &str, args: &[&str], input: &str) -> Ran {
    let mut child = command()
        .args(["call", endpoint])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_what_it_serves_and_is_called() {
    let (_adapter, endpoint) = servers::simple().await;
    let listed = call(&endpoint, &[]).exits(0);
    let server = "test.Server (2)\n  0  string echo(string text)\n  1  void timeout(int secs)\n";
    assert!(listed.out.contains(server), "{}", listed.out);
    let inherited = "test.BaseServer (0)\n  0  string datetime()\n";
    assert!(listed.out.contains(inherited), "{}", listed.out);

    // However a string is written, and however much of the name.
    for arguments in [
        &["test.Server.echo", "hello"][..],
        &["Server.echo", "\"hello\""],
        &["echo", "[\"hello\"]"],
        &["test::Server::echo", "{\"text\": \"hello\"}"],
        &["echo", "hello", "--idl", &idl("test.idl")],
    ] {
        let called = call(&endpoint, arguments).exits(0);
        assert_eq!(
            (called.out.as_str(), called.err.as_str()),
            ("\"Yah! hello\"\n", "")
        );
    }
    assert_eq!(
        call(&endpoint, &["echo", "42"]).exits(0).out,
        "\"Yah! 42\"\n"
    );
    // An inherited operation, by both of its names; one without a result.
    for name in ["Server.datetime", "BaseServer.datetime"] {
        let called = call(&endpoint, &[name]).exits(0);
        assert_eq!(called.out, "\"2025-01-31T12:00:00Z\"\n");
    }
    assert_eq!(call(&endpoint, &["timeout", "0"]).exits(0).out, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_silent_is_called_with_its_idl() {
    let communicator = Communicator::with_options(Options {
        describes: false,
        ..Options::default()
    });
    let (_adapter, endpoint) =
        servers::listen(&communicator, ServerServant::new(Simple::default())).await;
    call(&endpoint, &["echo", "hello"])
        .exits(2)
        .complains("error: the server does not tell what it serves: name its IDL with --idl");
    let named = ["echo", "hello", "--idl", &idl("test.idl")];
    assert_eq!(call(&endpoint, &named).exits(0).out, "\"Yah! hello\"\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_go_beside_the_call_and_no_answer_in_time_is_told() {
    let simple = Simple::default();
    let servant = ServerServant::new(simple.clone());
    let (_adapter, endpoint) = servers::listen(&Communicator::new(), servant).await;
    call(
        &endpoint,
        &["echo", "hello", "-x", "name=ann", "-x", "a=b=c"],
    )
    .exits(0);
    assert_eq!(
        simple.extras(),
        "[(\"name\", \"ann\"), (\"a\", \"b=c\")]
"
    );
    call(&endpoint, &["timeout", "60", "--timeout", "50ms"])
        .exits(1)
        .complains("error: test::Server::timeout: TIMEOUT: no answer within 50ms")
        .complains("Try this: give it more time with --timeout");
    call(&endpoint, &["timeout", "-1"])
        .exits(1)
        .complains("test::Server::timeout: REMOTE_EXCEPTION: out of range");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_a_call_for_each_line() {
    let (_adapter, endpoint) = servers::simple().await;
    let lines = "\"a\"\n\n[\"b\"]\n{\"text\": \"c\"}\n";
    let folder = folder(&[("calls.jsonl", lines)]);
    let file = format!("@{}", folder.path().join("calls.jsonl").display());
    let answers = "\"Yah! a\"\n\"Yah! b\"\n\"Yah! c\"\n";
    assert_eq!(
        call(&endpoint, &["echo", "-d", &file]).exits(0).out,
        answers
    );
    assert_eq!(
        call(&endpoint, &["echo", "-d", lines]).exits(0).out,
        answers
    );
    assert_eq!(
        call_with(&endpoint, &["echo", "-d", "@-"], lines)
            .exits(0)
            .out,
        answers
    );

    // One that fails does not keep the others; one that is wrong ends it.
    let some = call_with(&endpoint, &["timeout", "-d", "@-"], "0\n-1\n0\n").exits(1);
    assert_eq!(some.err.matches("REMOTE_EXCEPTION").count(), 1, "{some:?}");
    call_with(&endpoint, &["echo", "-d", "@-"], "\"a\"\n1\n")
        .exits(2)
        .prints("\"Yah! a\"\n")
        .complains("error: line 2: the argument text: a string (in double quotes) can't be 1");
    call(&endpoint, &["echo", "-d", "@nowhere.jsonl"])
        .exits(2)
        .complains("can't read nowhere.jsonl");
}

#[tokio::test(flavor = "multi_thread")]
async fn oneway_waits_for_nothing_and_listen_prints_what_is_called_back() {
    let (_adapter, endpoint) = servers::simple().await;
    let oneway = call(&endpoint, &["timeout", "60", "--oneway"]).exits(0);
    assert_eq!((oneway.out.as_str(), oneway.err.as_str()), ("", ""));
    call(&endpoint, &["echo", "hello", "--oneway"])
        .exits(2)
        .complains("string echo(string text) returns something: only void operations");

    let mut listening = command()
        .args(["call", &endpoint, "heartbeat", "still \"here\"", "--oneway"])
        .args(["--listen", "ITerminal", "--idl", &idl("test.idl")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(listening.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    listening.kill().unwrap();
    listening.wait().unwrap();
    let called: serde_json::Value = serde_json::from_str(&line).unwrap();
    let expected = serde_json::json!({
        "interface": "test.ITerminal", "operation": "onMessage",
        "arguments": { "message": "still \"here\"" },
    });
    assert_eq!(called, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_calls_are_counted_and_timed() {
    let (_adapter, endpoint) = servers::simple().await;
    let args = ["echo", "hello", "--repeat", "100", "--concurrency", "8"];
    let ran = call(&endpoint, &args).exits(0);
    assert!(ran.out.starts_with("100 answered, 0 failed in "), "{ran:?}");
    for part in [" calls/s\n", "latency: min ", "  p50 ", "  p99 ", "  max "] {
        assert!(ran.out.contains(part), "{part} not in {ran:?}");
    }
    assert_eq!(ran.err, "", "no bar where nobody looks");
    call(&endpoint, &["timeout", "-1", "--repeat", "3"])
        .exits(1)
        .prints("0 answered, 3 failed in ")
        .prints("first failure: test::Server::timeout: REMOTE_EXCEPTION");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_use_says_what_is_right() {
    let (_adapter, endpoint) = servers::simple().await;
    for (args, complaint) in [
        (
            &["Server.ecko", "a"][..],
            "no operation is called `Server.ecko`: did you mean `Server.echo`?",
        ),
        (
            &["echo"],
            "string echo(string text) takes one argument; there is none",
        ),
        (
            &["echo", "a", "b"],
            "string echo(string text) takes one argument; there are 2",
        ),
        (
            &["echo", "{\"txt\": 1}"],
            "string echo(string text) has no parameter `txt`",
        ),
        (
            &["timeout", "soon"],
            "the argument secs: an int (32 bits) can't be \"soon\"",
        ),
        (
            &["timeout", "2147483648"],
            "the argument secs: an int (32 bits) can't be 2147483648",
        ),
        (
            &["--listen", "ITerminal"],
            "no interface is called `ITerminal`",
        ),
        (
            &["echo", "a", "-x", "name"],
            "a pair has a `=`, as in -x name=ann",
        ),
        (&["echo", "a", "-d", "\"b\""], "cannot be used with"),
        (&["echo", "a", "--concurrency", "2"], "--repeat"),
        (&["echo", "a", "--repeat", "0"], "--repeat"),
        (&["echo", "a", "--timeout", "soon"], "--timeout"),
    ] {
        let ran = call(&endpoint, args).exits(2).complains(complaint);
        assert_eq!(ran.out, "");
    }
    call("localhost", &["echo"])
        .exits(2)
        .complains("`localhost` is not an endpoint: it has no `://`");
    call("mq:mq_server", &["echo"])
        .exits(2)
        .complains("name it with --mq-config, and the process with --process");
    call(&endpoint, &["echo", "a", "--idl", "nowhere.idl"])
        .exits(1)
        .complains("nowhere.idl")
        .complains("error: the IDL has errors");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_and_nothing_served_are_told() {
    let adapter = Adapter::listen(&Communicator::new(), "tcp://127.0.0.1:0")
        .await
        .unwrap();
    adapter.start();
    let endpoint = adapter.endpoint().to_string();
    call(&endpoint, &[])
        .exits(1)
        .complains("error: the server serves nothing");
    let named = ["echo", "a", "--idl", &idl("test.idl")];
    call(&endpoint, &named)
        .exits(1)
        .complains("test::Server::echo: INTERFACE_NOTFOUND")
        .complains("Try this: check that the servant is added to the adapter");
    adapter.add_servant(ServerServant::new(Simple::default()));
    assert_eq!(call(&endpoint, &["echo", "a"]).exits(0).out, "\"Yah! a\"\n");
    call("tcp://127.0.0.1:1", &["echo", "a"])
        .exits(1)
        .complains("error: CONNECT_FAILED")
        .complains("Try this: check that the server runs and listens on this host and port");
}
