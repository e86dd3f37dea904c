//! `tce gateway`.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tce_runtime::Communicator;

use super::{command, folder, ran, servers, tce, tce_in};

/// A file of the examples.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name)
}

#[test]
fn the_files_of_the_examples_are_valid() {
    for name in [
        "cluster/services.xml",
        "cluster/services-direct.xml",
        "sendmessage/services.xml",
    ] {
        let ran = ran(command().arg("gateway").arg(example(name)).arg("--check")).exits(0);
        assert_eq!(ran.err, "", "{name}");
        let ran = ran.prints("all right (gwserver, gwserver_ws)\n");
        assert_eq!(ran.out.lines().count(), 1, "{name}");
    }
}

#[test]
fn the_file_in_the_guide_is_valid() {
    let guide = include_str!("../../../docs/gateway.md");
    let (_, begin) = guide.split_once("```xml\n").unwrap();
    let (text, _) = begin.split_once("```").unwrap();
    let folder = folder(&[("services.xml", text)]);
    let ran = tce_in(folder.path(), &["gateway", "services.xml", "--check"]).exits(0);
    assert_eq!(ran.err, "");
    assert_eq!(ran.out, "services.xml: all right (gwserver)\n");
}

#[test]
fn an_option_takes_effect_and_is_named_as_the_origin() {
    let file = example("cluster/services.xml");
    ran(command().arg("gateway").arg(file).args([
        "gwserver",
        "--set",
        "max_connections=7",
        "--print-config",
    ]))
    .exits(0)
    .prints("max_connections              7 ")
    .prints("--set max_connections");
}

#[test]
fn variables_of_a_platform_are_no_mistakes() {
    // What Kubernetes sets beside services called `tce-gateway` and `tce-gateway-admin`.
    let variables = [
        ("TCE_GATEWAY_PORT", "tcp://10.96.0.12:12002"),
        ("TCE_GATEWAY_PORT_12002_TCP", "tcp://10.96.0.12:12002"),
        ("TCE_GATEWAY_PORT_12002_TCP_PORT", "12002"),
        ("TCE_GATEWAY_SERVICE_HOST", "10.96.0.12"),
        ("TCE_GATEWAY_SERVICE_PORT", "12002"),
        ("TCE_GATEWAY_SERVICE_PORT_HTTP", "9600"),
        ("TCE_GATEWAY_ADMIN_PORT", "tcp://10.96.0.13:9600"),
    ];
    let file = example("cluster/services.xml");
    ran(command()
        .args(["gateway", file.to_str().unwrap(), "--check"])
        .envs(variables))
    .exits(0)
    .prints("all right");
}

#[test]
fn mistakes_are_reported_with_their_lines() {
    let text = std::fs::read_to_string(example("cluster/services-direct.xml")).unwrap();
    let text = text.replacen("out=\"server\"", "out=\"sever\"", 1);
    let folder = folder(&[("services.xml", &text)]);
    let file = folder.path().join("services.xml");
    let file = file.to_str().unwrap();
    for extra in [&["--check"][..], &["gwserver"]] {
        let args = [&["gateway", file], extra].concat();
        tce(&args)
            .exits(1)
            .complains(&format!("{file}:24:36: endpoint `sever` is not defined"))
            .complains("did you mean `server`?");
    }
}

/// A gateway on a free port, in front of a server at `server_port`.
struct RunningGateway {
    process: Child,
    port: String,
    _folder: tempfile::TempDir,
}

impl RunningGateway {
    fn start(server_port: &str, args: &[&str]) -> Self {
        let text = std::fs::read_to_string(example("cluster/services-direct.xml")).unwrap();
        let text = text
            .replace("localhost", "127.0.0.1")
            .replace("12002", "0")
            .replace("12003", server_port);
        let folder = folder(&[("services.xml", &text)]);
        let mut process = command()
            .args(["gateway", "services.xml", "gwserver"])
            .args(args)
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let port = log.find_map(|line| {
            let line = line.unwrap();
            let (_, port) = line.split_once("accepting clients endpoint=tcp://127.0.0.1:")?;
            Some(port.to_owned())
        });
        // Read to its end, so that the gateway can write.
        std::thread::spawn(move || log.for_each(drop));
        Self {
            process,
            port: port.unwrap(),
            _folder: folder,
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let killed = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for RunningGateway {
    fn drop(&mut self) {
        // Fails if it has ended already, as it has when the test passes.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_serves_clients_until_sigterm() {
    let mut gateway = RunningGateway::start("12003", &[]);
    tce(&["ping", "--host", "127.0.0.1", "--port", &gateway.port]).exits(0);
    gateway.signal("-TERM");
    assert_eq!(gateway.process.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_environment_may_be_empty_or_end_a_line() {
    let simple = servers::SimpleServer::default();
    let servant = crate::test::ServerServant::new(simple.clone());
    let (_adapter, server) = servers::listen(&Communicator::new(), servant).await;
    let (_, server_port) = server.rsplit_once(':').unwrap();
    let login = ["--set", "userid_check=true", "--set", "auth=token"];
    let gateway = RunningGateway::start(server_port, &login);
    let endpoint = format!("tcp://127.0.0.1:{}", gateway.port);
    let idl = format!("{}/../tests/idl/test.idl", env!("CARGO_MANIFEST_DIR"));
    let call = ["call", &endpoint, "echo", "x", "--idl", &idl];
    ran(command().args(call).env("TCE_TOKEN", "A1001\n")).exits(0);
    let user = "(\"__user_id__\", \"A1001\")";
    assert!(simple.extras().contains(user), "{}", simple.extras());
    ran(command().args(call).env("TCE_TOKEN", "")).exits(1);
}

#[test]
fn a_signal_ends_a_start_that_waits_for_a_broker() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let text = std::fs::read_to_string(example("cluster/services.xml")).unwrap();
    let text = text.replace("5672", &port).replace("12002", "0");
    let folder = folder(&[("services.xml", &text)]);
    let mut process = command()
        .args(["gateway", "services.xml", "gwserver"])
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    // The gateway has begun to connect.
    let _socket = silent.accept().unwrap();
    let start = Instant::now();
    let id = process.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(killed.success());
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_it_at_once() {
    let (_adapter, server) = servers::simple().await;
    let (_, server_port) = server.rsplit_once(':').unwrap();
    let mut gateway = RunningGateway::start(server_port, &["--set", "shutdown_time=60"]);
    let endpoint = format!("tcp://127.0.0.1:{}", gateway.port);
    let idl = format!("{}/../tests/idl/test.idl", env!("CARGO_MANIFEST_DIR"));
    let call = ["call", &endpoint, "--idl", &idl, "--timeout", "100s"];
    let mut calling = command()
        .args(call)
        .args(["Server.timeout", "100"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Also brings the first call there.
    std::thread::sleep(Duration::from_secs(1));
    tce(&[&call[..], &["Server.echo", "x"]].concat()).exits(0);
    gateway.signal("-INT");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(gateway.process.try_wait().unwrap(), None, "it drains");
    let start = Instant::now();
    gateway.signal("-TERM");
    assert_eq!(gateway.process.wait().unwrap().code(), Some(143));
    assert!(start.elapsed() < Duration::from_secs(2));
    calling.kill().unwrap();
    calling.wait().unwrap();
}
