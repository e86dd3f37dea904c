//! `tce demo`: an IDL compiled, served through gateways and called in every
//! way, in one process.

mod address;
mod broker;
mod cluster;
mod play;
mod servants;
mod stage;
mod surprise;

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

use tokio::sync::mpsc;

use crate::console::Console;
use address::AmqpUrl;
use cluster::Cluster;
use stage::Stage;
use surprise::Surprise;

/// What is compiled, served and called.
const IDL: &str = include_str!("../../idl/test.idl");

/// Who calls: one user at each gateway.
const USERS: [&str; 2] = ["scott", "bob"];

/// See every kind of call at work: a server, two gateways, a client at each
///
/// Everything happens in this one process, over free ports of the loopback interface, with
/// the message queues in memory: nothing else has to be installed or running. The files are
/// those of examples/cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce demo
  tce demo --amqp amqp://guest:guest@localhost:5672

At a broker the demo declares three queues, whose names begin with `tce_demo.`; they stay.
Two demos at the same broker at the same time take each other's messages.
Exit status: 0 every call did what it should, 1 one did not, 2 the command line is wrong.")]
pub(crate) struct Args {
    /// The broker that carries the messages instead, RabbitMQ as a rule
    #[arg(long, value_name = "URL")]
    amqp: Option<AmqpUrl>,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let played = compile(console).and_then(|()| runtime.block_on(serve_and_call(args, console)));
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
    for file in tce_codegen::generate(&model, "rust", &tce_codegen::Options::default())? {
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

async fn serve_and_call(args: &Args, console: &mut Console) -> Result<(), Surprise> {
    let (told, happened) = mpsc::channel(16);
    let cluster = Cluster::start(console, args.amqp.as_ref(), &told).await?;
    let mut stage = Stage::new(console, told, happened);
    for (user, (name, gateway)) in USERS.into_iter().zip(&cluster.gateways) {
        for endpoint in gateway.addresses() {
            let client = stage.enter(user, name, &endpoint.to_string()).await?;
            play::all(&mut stage, &client).await?;
        }
    }
    cluster.end().await
}
