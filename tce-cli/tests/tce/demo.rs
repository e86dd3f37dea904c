//! `tce demo`.

use super::tce;

/// Everything that the demo shows; `*` stands for what differs each time.
const EXPECTED: &str = r#"compile  test.idl -> test.rs (* lines)
         module test: interfaces 0 BaseServer, 1 ITerminalGatewayServer, 2 Server extends BaseServer, 3 ITerminal
serve    tcp://127.0.0.1:*: Server, ITerminalGatewayServer

twoway        server.echo("hello")
                -> "hello"
inherited     server.datetime()
                -> "20*Z"
extra         server.echo("hello") with name=scott.bo
                -> server: extra name=scott.bo
                -> "hello"
async         server.echo("pingpang") with a callback
                -> "pingpang"
async         server.echo("first"), echo("second"), both sent before either is awaited
                -> "second"
                -> "first"
oneway        server.heartbeat("hello world!")
                -> server: heartbeat "hello world!"
timeout       server.timeout(3) with a deadline of 500ms
                -> TIMEOUT: no answer within 500ms
error         server.timeout(-1)
                -> REMOTE_EXCEPTION: nobody can wait -1 seconds
bidirectional server.bidirection(), which calls back
                -> client: onMessage "server push message!"
twoway        gateway.ping() on the connection of server
                -> server: ping

All went well. Next: *
"#;

fn matches(line: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            line.len() > start.len() + end.len() && line.starts_with(start) && line.ends_with(end)
        }
        None => line == pattern,
    }
}

#[test]
fn every_kind_of_call_is_shown_and_goes_well() {
    let ran = tce(&["demo"]).exits(0);
    assert_eq!(ran.err, "");
    let lines = ran.out.lines().zip(EXPECTED.lines());
    for (line, expected) in lines {
        assert!(matches(line, expected), "{line}\nis not\n{expected}");
    }
    assert_eq!(ran.out.lines().count(), EXPECTED.lines().count());
}
