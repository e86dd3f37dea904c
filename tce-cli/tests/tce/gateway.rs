//! `tce gateway`.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{command, folder, ran, tce, tce_in};

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

#[test]
fn it_serves_clients_until_sigterm() {
    let text = std::fs::read_to_string(example("cluster/services-direct.xml")).unwrap();
    let text = text.replace("localhost", "127.0.0.1").replace("12002", "0");
    let folder = folder(&[("services.xml", &text)]);
    let mut gateway = command()
        .args(["gateway", "services.xml", "gwserver"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(gateway.stderr.take().unwrap()).lines();
    let serves = log.find_map(|line| {
        let line = line.unwrap();
        let (_, port) = line.split_once("accepting clients endpoint=tcp://127.0.0.1:")?;
        Some(port.to_owned())
    });
    tce(&["ping", "--host", "127.0.0.1", "--port", &serves.unwrap()]).exits(0);

    let id = gateway.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(killed.success());
    assert_eq!(gateway.wait().unwrap().code(), Some(0));
}
