//! ZeroC Ice over TCP: a server and a client in C++, which are compiled on first use.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process,
};

use crate::{
    endpoint::{ServerAddress, ServerSetup},
    load::LoadGenerator,
    meter::{LoadExtent, Measurement},
};

const SOURCES: [(&str, &str); 3] = [
    ("Echo.ice", include_str!("../../peers/ice/Echo.ice")),
    ("client.h", include_str!("../../peers/ice/client.h")),
    ("peer.cpp", include_str!("../../peers/ice/peer.cpp")),
];
const PROGRAM: &str = "peer";

/// The build folder, beside this program.
fn folder() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own
        .parent()
        .context("the path of this program has no folder")?
        .join("ice"))
}

/// Builds the program, unless it is already built from the same sources.
///
/// # Errors
/// A compiler failed; the error contains its output.
pub(super) fn build() -> Result<()> {
    let folder = folder()?;
    let is_same = |(name, source): (&str, &str)| {
        fs::read(folder.join(name)).is_ok_and(|built| built == source.as_bytes())
    };
    if folder.join(PROGRAM).exists() && SOURCES.into_iter().all(is_same) {
        return Ok(());
    }
    // If the build fails, no program of older sources may remain beside the new ones. Removing
    // fails where there is no such program.
    let _ = fs::remove_file(folder.join(PROGRAM));
    fs::create_dir_all(&folder)?;
    for (name, source) in SOURCES {
        fs::write(folder.join(name), source)?;
    }
    eprintln!("building the ZeroC Ice peer");
    compile(&folder, "slice2cpp", &["Echo.ice"])?;
    let flags = [
        "-std=c++17",
        "-O2",
        "-DICE_CPP11_MAPPING",
        "-I.",
        "-pthread",
        "-o",
        PROGRAM,
    ];
    let rest = ["peer.cpp", "Echo.cpp", "-lGlacier2++11", "-lIce++11"];
    compile(&folder, "g++", &[flags.as_slice(), &rest].concat())
}

fn compile(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    let output = command.current_dir(folder).args(arguments).output();
    let output = output.with_context(|| format!("starting {program}"))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed:\n{messages}");
    Ok(())
}

fn peer() -> Result<process::Command> {
    let mut command = process::Command::new(folder()?.join(PROGRAM));
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

pub(super) async fn server(setup: ServerSetup) -> Result<()> {
    let mut server = peer()?.arg("server").stdout(Stdio::piped()).spawn()?;
    let output = server
        .stdout
        .take()
        .context("the server's output is not piped")?;
    let mut lines = BufReader::new(output).lines();
    let proxy = lines
        .next_line()
        .await?
        .context("the server of ZeroC Ice ended before it was ready")?;
    setup.ready.announce(&proxy)?;
    let status = server.wait().await?;
    bail!("the server of ZeroC Ice ended: {status}");
}

pub(super) async fn client(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    // Behind a Glacier2 router the endpoint is `SERVER|ROUTER`.
    let (proxy, router) = server
        .endpoint
        .split_once('|')
        .unwrap_or((&server.endpoint, ""));
    let LoadGenerator { case, extent } = load;
    let LoadExtent::Time { warm_up, measured } = extent else {
        bail!("the client of ZeroC Ice calls for a time only");
    };
    let output = peer()?
        .args(["client", proxy, router])
        .arg(case.shape.connections().to_string())
        .arg(case.shape.in_flight().to_string())
        .arg(case.payload.to_string())
        .arg(warm_up.as_secs_f64().to_string())
        .arg(measured.as_secs_f64().to_string())
        .stderr(Stdio::inherit())
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "the client of ZeroC Ice failed: {}",
        output.status
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
