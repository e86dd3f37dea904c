//! `tce demo`: an IDL compiled, served and called in every way, in one process.

mod play;
mod servants;
mod stage;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use tce_idl::{
    Options,
    loader::Memory,
    model::{Interface, Model},
    render,
};

use crate::console::Console;
use stage::{Stage, Surprise};

/// What is compiled, served and called.
const IDL: &str = include_str!("../../idl/test.idl");

/// See every kind of call at work: compile an IDL, serve it, call it
///
/// Everything happens in this one process, over a port of the loopback interface:
/// nothing else has to be installed or running.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce demo

Exit status: 0 every call did what it should, 1 one did not.")]
pub(crate) struct Args {}

pub(crate) fn run(console: &mut Console) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let played = compile(console).and_then(|()| runtime.block_on(serve_and_call(console)));
    match played {
        Ok(()) => {
            writeln!(
                console.out,
                "\nAll went well. Next: write an IDL of your own, and `tce compile --help`."
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(Surprise::Console(error)) => Err(error),
        Err(surprise) => {
            writeln!(console.err, "error: {surprise}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Compiles the IDL as `tce compile` would, and says what is in it.
fn compile(console: &mut Console) -> Result<(), Surprise> {
    let loader = Memory::new().with("test.idl", IDL);
    let compilation = tce_idl::compile_with(&loader, &["test.idl"], &Options::new());
    let model = compilation.model.ok_or_else(|| {
        let report = render::human(&compilation.diagnostics, &compilation.sources, false);
        Surprise::Idl(report)
    })?;
    for file in tce_codegen::generate(&model, "rust")? {
        writeln!(
            console.out,
            "compile  test.idl -> {} ({} lines)",
            file.path.display(),
            file.contents.lines().count()
        )?;
    }
    for module in &model.modules {
        let interfaces = model
            .interfaces
            .iter()
            .map(|interface| outline(&model, interface));
        let interfaces = interfaces.collect::<Vec<_>>().join(", ");
        writeln!(
            console.out,
            "         module {}: interfaces {interfaces}",
            module.name
        )?;
    }
    Ok(())
}

/// An interface in a few words: `2 Server extends BaseServer`.
fn outline(model: &Model, interface: &Interface) -> String {
    let own = format!("{} {}", interface.index, interface.name);
    match interface.base {
        Some(base) => format!("{own} extends {}", model.interface(base).name),
        None => own,
    }
}

async fn serve_and_call(console: &mut Console) -> Result<(), Surprise> {
    let mut stage = Stage::set(console).await?;
    play::all(&mut stage).await
}
