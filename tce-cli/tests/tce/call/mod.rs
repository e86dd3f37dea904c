//! `tce call`.

mod hostile;
mod routes;
mod values;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tce_runtime::{Adapter, Communicator, config::Options};

use super::{
    CommandOutput, command, folder,
    servers::{self, SimpleServer},
    tce,
    test::ServerServant,
};

/// Path of an IDL file of the tests.
fn idl(name: &str) -> String {
    format!("{}/../tests/idl/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs `tce call`.
fn call(endpoint: &str, args: &[&str]) -> CommandOutput {
    tce(&[&["call", endpoint], args].concat())
}

/// Runs `tce call` with standard input.
fn call_with(endpoint: &str, args: &[&str], input: &[u8]) -> CommandOutput {
    let mut child = command()
        .args(["call", endpoint])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Fails if the command has ended without reading it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    CommandOutput {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_describes_itself_and_is_called() {
    let (_adapter, endpoint) = servers::simple().await;
    let listed = call(&endpoint, &[]).exits(0);
    let server = "test.Server (2)\n  0  string echo(string text)\n  1  void timeout(int secs)\n";
    assert!(listed.out.contains(server), "{}", listed.out);
    let inherited = "test.BaseServer (0)\n  0  string datetime()\n";
    assert!(listed.out.contains(inherited), "{}", listed.out);

    // All forms of a string argument and of the operation's name.
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
    // An inherited operation by both of its names, and one without a result.
    for name in ["Server.datetime", "BaseServer.datetime"] {
        let called = call(&endpoint, &[name]).exits(0);
        assert_eq!(called.out, "\"2025-01-31T12:00:00Z\"\n");
    }
    assert_eq!(call(&endpoint, &["timeout", "0"]).exits(0).out, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_description_is_called_with_its_idl() {
    let communicator = Communicator::with_options(Options {
        describes: false,
        ..Options::default()
    });
    let (_adapter, endpoint) =
        servers::listen(&communicator, ServerServant::new(SimpleServer::default())).await;
    call(&endpoint, &["echo", "hello"]).exits(2).complains(
        "error: the server does not describe its interfaces: name its IDL file with --idl",
    );
    let named = ["echo", "hello", "--idl", &idl("test.idl")];
    assert_eq!(call(&endpoint, &named).exits(0).out, "\"Yah! hello\"\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn extra_is_sent_and_errors_are_reported() {
    let simple = SimpleServer::default();
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
        .complains("Try this: raise --timeout");
    call(&endpoint, &["timeout", "-1"])
        .exits(1)
        .complains("test::Server::timeout: REMOTE_EXCEPTION: `secs` must not be negative");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_makes_a_call_per_line() {
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
        call_with(&endpoint, &["echo", "-d", "@-"], lines.as_bytes())
            .exits(0)
            .out,
        answers
    );

    // A failed call does not stop the others; a wrong line does.
    let some = call_with(&endpoint, &["timeout", "-d", "@-"], b"0\n-1\n0\n").exits(1);
    assert_eq!(some.err.matches("REMOTE_EXCEPTION").count(), 1, "{some:?}");
    call_with(&endpoint, &["echo", "-d", "@-"], b"\"a\"\n1\n")
        .exits(2)
        .prints("\"Yah! a\"\n")
        .complains("error: line 2: the argument text: expected a string (in double quotes), got 1");
    call(&endpoint, &["echo", "-d", "@nowhere.jsonl"])
        .exits(2)
        .complains("can't read nowhere.jsonl");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_read_in_every_form() {
    let (_adapter, endpoint) = servers::simple().await;
    let folder = folder(&[
        ("pretty.json", "{\n  \"text\": \"hello\"\n}\n"),
        ("bom.jsonl", "\u{feff}\"hello\"\r\n"),
        ("empty.jsonl", " \n\n"),
    ]);
    let file = |name: &str| format!("@{}", folder.path().join(name).display());
    let echo = |data: &str, input: &[u8]| call_with(&endpoint, &["echo", "-d", data], input);
    for name in ["pretty.json", "bom.jsonl"] {
        assert_eq!(echo(&file(name), b"").exits(0).out, "\"Yah! hello\"\n");
    }
    let several = echo("@-", b"[\n\"a\"\n]\n{\"text\":\n\"b\"}\n\"c\"").exits(0);
    assert_eq!(several.out, "\"Yah! a\"\n\"Yah! b\"\n\"Yah! c\"\n");

    // Nothing is called: that is not a success, unless all arguments are there.
    for data in ["", "@-", &file("empty.jsonl")] {
        echo(data, b"").exits(2).complains("nothing was called");
    }
    call(&endpoint, &["datetime", "-d", ""])
        .exits(0)
        .prints("2025-01-31T12:00:00Z");
    call_with(&endpoint, &["datetime", "-d", "@-"], b"")
        .exits(2)
        .complains("error: standard input has no JSON value: nothing was called");

    // What can't be read is named.
    echo("@-", b"\xff\xfe\"\0x\0\"\0\n\0")
        .exits(2)
        .complains("error: can't read standard input: it is UTF-16, not UTF-8");
    echo("@-", b"\"a\"\n\"\xff\"\n")
        .exits(2)
        .prints("\"Yah! a\"\n")
        .complains("error: can't read standard input: line 2 is not UTF-8");
    echo(&file(""), b"").exits(2).complains("can't read ");
    // Options that need an operation do not pass without one.
    for option in [&["-d", "1"][..], &["--oneway"], &["--repeat", "3"]] {
        call(&endpoint, option).exits(2).complains("<OPERATION>");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_served_while_standard_input_pauses() {
    let (_adapter, endpoint) = servers::simple().await;
    let idl = idl("test.idl");
    let mut process = command()
        .args(["call", &endpoint, "heartbeat", "--oneway", "-d", "@-"])
        .args(["--listen", "ITerminal", "--idl", &idl])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap());
    for text in ["\"one\"", "\"two\""] {
        writeln!(input, "{text}").unwrap();
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains(text), "{line}");
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn oneway_does_not_wait_and_listen_prints_calls_of_the_server() {
    let (_adapter, endpoint) = servers::simple().await;
    let oneway = call(&endpoint, &["timeout", "60", "--oneway"]).exits(0);
    assert_eq!((oneway.out.as_str(), oneway.err.as_str()), ("", ""));
    call(&endpoint, &["echo", "hello", "--oneway"])
        .exits(2)
        .complains("string echo(string text) has a result: only void operations");

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
async fn listening_goes_on_at_a_server_that_was_started_again() {
    let simple = |endpoint: String| async move {
        let communicator = Communicator::new();
        let adapter = Adapter::listen(&communicator, &endpoint).await.unwrap();
        let servant = ServerServant::new(SimpleServer::default());
        adapter.add_servant(servant).start();
        adapter
    };
    let first = simple("tcp://127.0.0.1:0".to_owned()).await;
    let endpoint = first.endpoint().to_string();
    let mut listening = command()
        .args(["call", &endpoint, "Server.bidirection"])
        .args(["--listen", "ITerminal", "--idl", &idl("test.idl")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(listening.stdout.take().unwrap());
    let mut err = BufReader::new(listening.stderr.take().unwrap());
    let mut push = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains("onMessage"), "{line}");
    };
    let mut said = |text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(err.read_line(&mut line).unwrap() > 0, "{text}");
        }
    };
    push();
    said("listening for calls");
    first.shutdown(Duration::ZERO).await;
    said("the server has gone: ");
    let _second = simple(endpoint).await;
    said("connected again");
    push();
    listening.kill().unwrap();
    listening.wait().unwrap();
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
    assert_eq!(ran.err, "", "no progress bar without a terminal");
    assert!(
        !ran.out.contains(".0ns"),
        "a call takes microseconds: {ran:?}"
    );
    call(&endpoint, &["timeout", "-1", "--repeat", "3"])
        .exits(1)
        .prints("0 answered, 3 failed in ")
        .prints("first failure: test::Server::timeout: REMOTE_EXCEPTION");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_a_rate_are_made_for_a_time_and_summarized_as_json() {
    let (_adapter, endpoint) = servers::simple().await;
    let load = ["--duration", "500ms", "--rate", "100", "--summary", "json"];
    let ran = call(&endpoint, &[&["echo", "hello"], &load[..]].concat()).exits(0);
    let summary: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&summary["answered"], &summary["failed"]),
        (&50.into(), &0.into())
    );
    let milliseconds = |name: &str| summary["latency_ms"][name].as_f64().unwrap();
    assert!(
        milliseconds("min") > 0.001 && milliseconds("min") <= milliseconds("p50"),
        "{summary}"
    );
    assert!(milliseconds("p99.9") <= milliseconds("max"), "{summary}");
    // The tenth call would be due after the time.
    let both = ["--repeat", "9", "--duration", "60s", "--rate", "1000"];
    call(&endpoint, &[&["echo", "hello"], &both[..]].concat())
        .exits(0)
        .prints("9 answered, 0 failed in ");
    for wrong in [
        &["--rate", "0"][..],
        &["--rate", "10"],
        &["--summary", "json"],
    ] {
        let args = [&["echo", "hello"], wrong].concat();
        call(&endpoint, &args).exits(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_prints_what_is_known_of_repeated_calls() {
    let (_adapter, endpoint) = servers::simple().await;
    let args = [
        "call",
        &endpoint,
        "echo",
        "hello",
        "--duration",
        "1h",
        "--rate",
        "100",
    ];
    let child = command().args(args).stdout(Stdio::piped()).spawn().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let id = child.id().to_string();
    let signalled = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(signalled.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(" answered, 0 failed in "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_filled_in_and_accepted() {
    let (_adapter, endpoint) = servers::zoo().await;
    let zoo = idl("zoo.idl");
    // Without a server, by the IDL.
    let away = "tcp://localhost:1";
    let args = [
        "call",
        away,
        "Keeper.roundtrip",
        "--template",
        "--idl",
        &zoo,
    ];
    let by_idl = tce(&args).exits(0);
    let template: serde_json::Value = serde_json::from_str(&by_idl.out).unwrap();
    assert!(template.is_object(), "{template}");
    let by_server = call(&endpoint, &["Keeper.roundtrip", "--template"]).exits(0);
    assert_eq!(by_server.out, by_idl.out);
    call(&endpoint, &["Keeper.roundtrip", "-d", &by_idl.out]).exits(0);
    let (_simple, endpoint) = servers::simple().await;
    call(&endpoint, &["datetime", "--template"])
        .exits(0)
        .prints("{}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_and_returned_is_printed_if_asked_for() {
    let (_adapter, endpoint) = servers::simple().await;
    let args = ["echo", "hello", "-v", "-x", "name=ann"];
    let ran = call(&endpoint, &args)
        .exits(0)
        .complains("> CALL test::Server::echo: interface 2, operation 0, 9 bytes of parameters\n")
        .complains("> extra \"name\": \"ann\"\n")
        .complains("< RETURN after ");
    assert_eq!(ran.out, "\"Yah! hello\"\n");
    call(&endpoint, &["timeout", "-1", "-v"])
        .exits(1)
        .complains("< REMOTE_EXCEPTION after ");
    call(&endpoint, &["heartbeat", "hi", "--oneway", "-v"])
        .exits(0)
        .complains(", oneway: ")
        .complains("< accepted after ");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_options_are_usage_errors() {
    let (_adapter, endpoint) = servers::simple().await;
    for (args, complaint) in [
        (
            &["Server.ecko", "a"][..],
            "there is no operation `Server.ecko`: did you mean `Server.echo`?",
        ),
        (
            &["echo"],
            "string echo(string text) takes one argument, got 0",
        ),
        (
            &["echo", "a", "b"],
            "string echo(string text) takes one argument, got 2",
        ),
        (
            &["echo", "{\"txt\": 1}"],
            "string echo(string text) has no parameter `txt`",
        ),
        (
            &["timeout", "soon"],
            "the argument secs: expected an int (32 bits), got \"soon\"",
        ),
        (
            &["timeout", "2147483648"],
            "the argument secs: expected an int (32 bits), got 2147483648",
        ),
        (
            &["--listen", "ITerminal"],
            "there is no interface `ITerminal`",
        ),
        (
            &["echo", "a", "-x", "name"],
            "expected KEY=VALUE, such as -x name=ann",
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
    for (endpoint, right) in [
        ("tcp://2001:db8::5", "tcp://[2001:db8::5]:12002"),
        ("tcp://::1:12003", "tcp://[::1]:12003"),
    ] {
        let message = format!("an IPv6 address needs brackets: {right};");
        call(endpoint, &["echo"]).exits(2).complains(&message);
    }
    call("mq:mq_server", &["echo"])
        .exits(2)
        .complains("an mq: endpoint needs --mq-config");
    call(&endpoint, &["echo", "a", "--idl", "nowhere.idl"])
        .exits(1)
        .complains("nowhere.idl")
        .complains("error: the IDL has errors");
}

#[test]
fn a_server_that_does_not_describe_itself_is_given_up_early() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", silent.local_addr().unwrap());
    let start = Instant::now();
    for args in [&["echo", "a"][..], &[]] {
        call(&endpoint, args)
            .exits(1)
            .complains("it may be an older TCE program")
            .complains("name its IDL file with --idl");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_and_no_interfaces_are_reported() {
    let adapter = Adapter::listen(&Communicator::new(), "tcp://127.0.0.1:0")
        .await
        .unwrap();
    adapter.start();
    let endpoint = adapter.endpoint().to_string();
    call(&endpoint, &[])
        .exits(1)
        .complains("error: the server has no interfaces");
    let named = ["echo", "a", "--idl", &idl("test.idl")];
    call(&endpoint, &named)
        .exits(1)
        .complains("test::Server::echo: INTERFACE_NOTFOUND")
        .complains("Try this: check that the servant is added to the adapter");
    let inherited = ["Server.datetime", "--idl", &idl("test.idl")];
    call(&endpoint, &inherited)
        .exits(1)
        .complains("an older TCE server answers it only with a servant of test.BaseServer");
    adapter.add_servant(ServerServant::new(SimpleServer::default()));
    assert_eq!(call(&endpoint, &["echo", "a"]).exits(0).out, "\"Yah! a\"\n");
    call("tcp://127.0.0.1:1", &["echo", "a"])
        .exits(1)
        .complains("error: CONNECT_FAILED")
        .complains(
            "Try this: start the server, or correct the host and port: nothing listens there",
        );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_name_calls_nothing() {
    let simple = SimpleServer::default();
    let servant = ServerServant::new(simple.clone());
    let (_adapter, endpoint) = servers::listen(&Communicator::new(), servant).await;
    let shop = "module shop { interface Server { string echo(string text); }; }\n";
    let folder = folder(&[("shop.idl", shop)]);
    let shop = folder.path().join("shop.idl");
    let (shop, test) = (shop.to_str().unwrap(), idl("test.idl"));
    for files in [
        ["--idl", shop, "--idl", &test],
        ["--idl", &test, "--idl", shop],
    ] {
        let with = |args: &[&str]| call(&endpoint, &[args, &files].concat());
        for name in ["echo", "Server.echo", "Server::echo"] {
            with(&[name, "x"]).exits(2).complains(&format!(
                "error: `{}` is ambiguous: write `shop.Server.echo` or `test.Server.echo`\n",
                name.replace("::", ".")
            ));
        }
        with(&["--listen", "Server", "test.Server.timeout", "0"])
            .exits(2)
            .complains("error: `Server` is ambiguous: write `shop.Server` or `test.Server`\n");
        assert_eq!(simple.extras(), "", "nothing was called");
        let called = with(&["test.Server.echo", "x"]).exits(0);
        assert_eq!(called.out, "\"Yah! x\"\n");
        simple.clear();
        // An inherited operation has several names and is one operation.
        with(&["datetime"]).exits(0);
    }
    // It is not even connected.
    let args = ["echo", "x", "--idl", shop, "--idl", &test];
    call("tcp://127.0.0.1:1", &args).exits(2);
}
