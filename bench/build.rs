//! Generates the code of the peers tce and tonic (the latter without `protoc`), and passes the
//! compiler's version to the program.

use std::process::Command;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    tce_codegen::configure().compile(&["idl/echo.idl", "idl/soak.idl"])?;

    println!("cargo:rerun-if-changed=proto/echo.proto");
    let descriptors = protox::compile(["proto/echo.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;

    println!("cargo:rustc-env=BENCH_RUSTC_VERSION={}", rustc_version()?);
    Ok(())
}

fn rustc_version() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").context("cargo sets RUSTC for build scripts")?;
    let output = Command::new(rustc).arg("--version").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
