//! Generates the code of the peers tce, tonic and capnp (the latter two without `protoc` and
//! `capnp`), and passes the compiler's version to the program.

use std::{fs::File, process::Command};

use anyhow::{Context, Result};
use capnpc::codegen::CodeGenerationCommand;

fn main() -> Result<()> {
    tce_codegen::configure().compile(&["idl/echo.idl", "idl/soak.idl"])?;
    tce_codegen::configure()
        .tasks()
        .compile(&["idl/task.idl"])?;

    println!("cargo:rerun-if-changed=proto/echo.proto");
    let descriptors = protox::compile(["proto/echo.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;

    let request = "peers/capnp/echo.request";
    println!("cargo:rerun-if-changed={request}");
    let folder = std::env::var_os("OUT_DIR").context("cargo sets OUT_DIR for build scripts")?;
    CodeGenerationCommand::new()
        .output_directory(folder)
        .default_parent_module(vec!["peers".to_owned(), "capnp".to_owned()])
        .run(File::open(request)?)?;

    println!("cargo:rustc-env=BENCH_RUSTC_VERSION={}", rustc_version()?);
    Ok(())
}

fn rustc_version() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").context("cargo sets RUSTC for build scripts")?;
    let output = Command::new(rustc).arg("--version").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
