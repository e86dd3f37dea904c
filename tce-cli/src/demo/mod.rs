//! `tce demo`: compiles an IDL, serves it through gateways and calls it in every mode, in one
//! process.

#[allow(
    unreachable_pub,
    reason = "generated items are public, whatever includes them"
)]
mod generated {
    tce_runtime::include_idl!(test);
}

mod broker;
mod servants;

mod transcript;

mod calls;
mod cluster;

use std::{io::Write, process::ExitCode};

use tce_idl::{
    Options,
    loader::Memory,
    model::{Interface, Model},
    render,
};
use tokio::sync::mpsc;

use crate::{
    console::{CommandError, Console},
    runtime,
};
use broker::AmqpUrl;
use cluster::Cluster;
use transcript::{DemoError, Transcript};

/// The IDL, from which the module `test` is generated too.
const IDL: &str = include_str!("../../idl/test.idl");

/// One user for each gateway.
const USERS: [&str; 2] = ["scott", "bob"];

/// Run every kind of call: a server, two gateways and a client at each
///
/// All of them run in this process, on free ports of the loopback interface, with message
/// queues in memory; no other program is needed. The configuration is that of
/// examples/cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce demo
  tce demo --amqp amqp://guest:guest@localhost:5672

At a broker the demo declares three durable queues, whose names start with `tce_demo.`,
and does not delete them. Run one demo at a time per broker: two take each other's
messages.
Exit status: 0 all calls succeeded, 1 a call failed, 2 the command line is wrong.")]
pub(crate) struct Args {
    /// Address of a RabbitMQ broker to use instead of queues in memory
    #[arg(long, value_name = "URL")]
    amqp: Option<AmqpUrl>,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let result = match compile(console) {
        Ok(()) => runtime::block_on(serve_and_call(args, console))?,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => {
            writeln!(
                console.out,
                "\nAll calls succeeded. Next: `tce new hello` creates a project of your own."
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(DemoError::Console(error)) => Err(error.into()),
        Err(error) => Ok(console.fail(error)?),
    }
}

/// Compiles the IDL as `tce compile` does, and prints its interfaces.
fn compile(console: &mut Console) -> Result<(), DemoError> {
    let loader = Memory::new().with("test.idl", IDL);
    let compilation = tce_idl::compile_with(&loader, &["test.idl"], &Options::new());
    let model = compilation.model.ok_or_else(|| {
        let report = render::human(&compilation.diagnostics, &compilation.sources, false);
        DemoError::Idl(report)
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

/// One line for an interface: `2 Server extends BaseServer`.
fn outline(model: &Model, interface: &Interface) -> String {
    let own = format!("{} {}", interface.index, interface.name);
    match interface.base {
        Some(base) => format!("{own} extends {}", model.interface(base).name),
        None => own,
    }
}

async fn serve_and_call(args: &Args, console: &mut Console) -> Result<(), DemoError> {
    let (sender, events) = mpsc::channel(16);
    let cluster = Cluster::start(console, args.amqp.as_ref(), &sender).await?;
    let mut transcript = Transcript::new(console, sender, events);
    for (user, (name, gateway)) in USERS.into_iter().zip(&cluster.gateways) {
        for endpoint in gateway.addresses() {
            let endpoint = endpoint.to_string();
            let client = transcript.connect(user, name, &endpoint).await?;
            calls::make_all(&mut transcript, &client).await?;
        }
    }
    cluster.shut_down().await
}
