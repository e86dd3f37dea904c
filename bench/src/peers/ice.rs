//! ZeroC Ice over TCP: a server and a client in C++, which are built when they are first needed.

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

use super::Stand;
use crate::{load::Load, meter::Measurement, process::Address};

const SOURCES: [(&str, &str); 3] = [
    ("Echo.ice", include_str!("../../peers/ice/Echo.ice")),
    ("client.h", include_str!("../../peers/ice/client.h")),
    ("peer.cpp", include_str!("../../peers/ice/peer.cpp")),
];
const PROGRAM: &str = "peer";

/// Where it is built: beside this program.
fn folder() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own
        .parent()
        .context("a program lies in a folder")?
        .join("ice"))
}

/// Builds the program, unless it is there for the same sources.
///
/// # Errors
/// What the compiler says.
pub(super) fn build() -> Result<()> {
    let folder = folder()?;
    let is_same = |(name, source): (&str, &str)| {
        fs::read(folder.join(name)).is_ok_and(|built| built == source.as_bytes())
    };
    if folder.join(PROGRAM).exists() && SOURCES.into_iter().all(is_same) {
        return Ok(());
    }
    // Never a program of older sources beside new ones.
    let _ = fs::remove_file(folder.join(PROGRAM));
    fs::create_dir_all(&folder)?;
    for (name, source) in SOURCES {
        fs::write(folder.join(name), source)?;
    }
    eprintln!("building the peer that is ZeroC Ice");
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
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed:\n{told}");
    Ok(())
}

fn peer() -> Result<process::Command> {
    let mut command = process::Command::new(folder()?.join(PROGRAM));
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

pub(super) async fn server(stand: Stand) -> Result<()> {
    let mut server = peer()?.arg("server").stdout(Stdio::piped()).spawn()?;
    let output = server.stdout.take().context("its output was asked for")?;
    let mut lines = BufReader::new(output).lines();
    let proxy = lines.next_line().await?.context("it has ended")?;
    stand.ready.announce(&proxy)?;
    let status = server.wait().await?;
    bail!("the server of ZeroC Ice ended: {status}");
}

pub(super) async fn client(server: &Address, load: &Load) -> Result<Measurement> {
    // What stands between it and its server comes after the server.
    let (proxy, router) = server
        .endpoint
        .split_once('|')
        .unwrap_or((&server.endpoint, ""));
    let Load {
        case,
        warm_up,
        measured,
    } = load;
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
