//! `tce call`: any operation of a server, without a program written for it.

mod arguments;
mod connect;
mod failure;
mod json;
mod listen;
mod repeat;
mod target;

use std::{
    io::{self, BufRead, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use serde_json::Value;
use tce_idl::model::Model;
use tce_runtime::{
    ErrorCode, Proxy,
    wire::{Raw, Reader},
};

use crate::{
    console::{Console, Failure},
    idl::IdlArgs,
};
use connect::{ConnectArgs, NoWay};
use failure::{Ended, told};
use listen::{Listener, Printer, Rest};
use target::Target;

/// Call an operation of a server: JSON in, JSON out
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce call tcp://localhost:12002 test.Server.echo hello
  tce call tcp://localhost:12002 Server.timeout 3 --timeout 1s
  tce call tcp://localhost:12002 Keeper.blob '\"aGVsbG8=\"' --idl zoo.idl
  tce call wss://example.org/ Server.echo '{\"text\": \"hello\"}' --token A1001 -x name=ann
  tce call tcp://localhost:12002 Server.echo -d @calls.jsonl
  tce call tcp://localhost:12002 Server.bidirection --oneway --listen test.ITerminal --idl test.idl
  tce call tcp://localhost:12002 Server.echo hello --repeat 100000 --concurrency 64
  tce call mq:mq_server test.Server.echo hello --mq-config config.yml --process client
  tce call tcp://localhost:12002              lists what the server serves

Arguments are JSON, one each or all in one array or object; a string may go without quotes.
Bytes are base64. Without --idl the server is asked what it serves; those of ours answer.

Exit status: 0 the call was answered, 1 it was not, 2 the command line is wrong.")]
pub(crate) struct Args {
    /// Where the server is: tcp://host:port, ssl://…, ws://…, wss://… or mq:name
    endpoint: String,

    /// The operation: module.Interface.operation, or the end of that
    operation: Option<String>,

    /// The arguments, as JSON
    #[arg(conflicts_with = "data", allow_negative_numbers = true)]
    arguments: Vec<String>,

    /// The IDL of the server; may be given several times
    #[arg(long = "idl", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Arguments of one or more calls, as JSON a line: text, @FILE, or @- for standard input
    #[arg(short = 'd', long, value_name = "DATA")]
    data: Option<String>,

    /// Call oneway: nobody waits for an answer
    #[arg(long)]
    oneway: bool,

    /// Print what the server calls on this interface of ours, until Ctrl-C
    #[arg(long, value_name = "INTERFACE")]
    listen: Vec<String>,

    /// Call so often, and say how long it took
    #[arg(long, value_name = "N", conflicts_with_all = ["oneway", "data"], value_parser = clap::value_parser!(u64).range(1..))]
    repeat: Option<u64>,

    /// How many of the repeated calls are under way at once
    #[arg(long, value_name = "C", default_value_t = 1, requires = "repeat", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    #[command(flatten)]
    connect: ConnectArgs,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(args.run(console));
    // A host name that is still being looked up keeps nobody waiting.
    runtime.shutdown_background();
    match ended {
        Ok(code) => Ok(code),
        Err(Ended::Said(failure)) => Err(failure),
        Err(Ended::Failed(text)) => {
            writeln!(console.err, "error: {text}")?;
            Ok(ExitCode::FAILURE)
        }
        Err(Ended::Misused(text)) => {
            writeln!(console.err, "error: {text}")?;
            Err(Failure::Misused)
        }
    }
}

impl Args {
    async fn run(&self, console: &mut Console) -> Result<ExitCode, Ended> {
        let from_files = self.models_of_files(console)?;
        let proxy = match self.connect.connect(&self.endpoint).await {
            Ok(proxy) => proxy,
            Err(NoWay::Rpc(error)) => return Err(error.into()),
            Err(error @ NoWay::Config(_)) => return Err(Ended::Failed(error.to_string())),
            Err(error) => return Err(Ended::Misused(error.to_string())),
        };
        let models = match from_files {
            Some(models) => models,
            None => ask(&proxy).await?,
        };
        for name in &self.listen {
            let place = target::find_interface(&models, name);
            let place = place.map_err(|unknown| Ended::Misused(unknown.to_string()))?;
            proxy
                .connection()
                .add_servant(Listener(Arc::new(Printer::new(&place))));
        }
        let code = match &self.operation {
            Some(name) => {
                let target = target::find(&models, name);
                let target = target.map_err(|unknown| Ended::Misused(unknown.to_string()))?;
                self.call(&proxy, &target, console).await?
            }
            None if self.listen.is_empty() => list(&models, console)?,
            None => ExitCode::SUCCESS,
        };
        proxy.connection().flush().await;
        if !self.listen.is_empty() {
            writeln!(console.err, "listening; Ctrl-C ends it")?;
            tokio::signal::ctrl_c().await?;
        }
        Ok(code)
    }

    /// The models of the IDL files that were named; nothing, where none was.
    fn models_of_files(&self, console: &mut Console) -> Result<Option<Vec<Model>>, Ended> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let config = self.idl.config(console).map_err(Ended::Said)?;
        let compilation = tce_idl::compile(&self.files, &self.idl.options(&config));
        console.show(&compilation.diagnostics, &compilation.sources)?;
        match compilation.model {
            Some(model) => Ok(Some(vec![model])),
            None => Err(Ended::Failed("the IDL has errors".to_owned())),
        }
    }

    async fn call(
        &self,
        proxy: &Proxy,
        target: &Target<'_>,
        console: &mut Console,
    ) -> Result<ExitCode, Ended> {
        if self.oneway && target.returns.is_some() {
            let text = format!(
                "{} returns something: only void operations can be called oneway",
                target.signature
            );
            return Err(Ended::Misused(text));
        }
        if let Some(data) = &self.data {
            return self.call_each(proxy, target, data, console).await;
        }
        let params = arguments::of_words(target, &self.arguments);
        let params = params.map_err(|error| Ended::Misused(error.to_string()))?;
        if let Some(count) = self.repeat {
            let summary =
                repeat::repeat(proxy, target, &params, count, self.concurrency.into()).await;
            write!(console.out, "{summary}")?;
            return Ok(exit_code(summary.failures == 0));
        }
        let is_answered = self.call_once(proxy, target, &params, console).await?;
        Ok(exit_code(is_answered))
    }

    /// Calls once for each line of the data.
    async fn call_each(
        &self,
        proxy: &Proxy,
        target: &Target<'_>,
        data: &str,
        console: &mut Console,
    ) -> Result<ExitCode, Ended> {
        let mut all_answered = true;
        for (number, line) in lines(data)?.enumerate() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let wrong = |error: &dyn std::fmt::Display| {
                Ended::Misused(format!("line {}: {error}", number + 1))
            };
            let value: Value = serde_json::from_str(&line).map_err(|error| wrong(&error))?;
            let params = arguments::of_value(target, &value).map_err(|error| wrong(&error))?;
            all_answered &= self.call_once(proxy, target, &params, console).await?;
        }
        Ok(exit_code(all_answered))
    }

    /// Calls, and prints what came of it; whether it was answered.
    async fn call_once(
        &self,
        proxy: &Proxy,
        target: &Target<'_>,
        params: &[u8],
        console: &mut Console,
    ) -> Result<bool, Ended> {
        let params = Raw(params);
        let result = match self.oneway {
            true => proxy.oneway(&target.operation, params).await.map(|()| None),
            false => proxy
                .call::<_, Rest>(&target.operation, params)
                .await
                .map(Some),
        };
        match result {
            Ok(None) => Ok(true),
            Ok(Some(Rest(bytes))) => {
                if let Some(ty) = target.returns {
                    let value = json::decode(target.model, ty, &mut Reader::new(&bytes));
                    let value = value.map_err(|error| {
                        Ended::Failed(format!(
                            "the result of {} does not decode: {error}",
                            target.signature
                        ))
                    })?;
                    writeln!(console.out, "{value}")?;
                }
                Ok(true)
            }
            Err(error) => {
                writeln!(console.err, "error: {}", told(&error))?;
                Ok(false)
            }
        }
    }
}

fn exit_code(is_well: bool) -> ExitCode {
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The lines of `@file`, of standard input (`@-`), or of the text itself.
fn lines(data: &str) -> Result<Box<dyn Iterator<Item = io::Result<String>>>, Ended> {
    Ok(match data.strip_prefix('@') {
        None => Box::new(io::Cursor::new(data.to_owned().into_bytes()).lines()),
        Some("-") => Box::new(io::stdin().lines()),
        Some(file) => {
            let opened = std::fs::File::open(file);
            let opened =
                opened.map_err(|error| Ended::Misused(format!("can't read {file}: {error}")))?;
            Box::new(io::BufReader::new(opened).lines())
        }
    })
}

/// Asks the server what it serves.
async fn ask(proxy: &Proxy) -> Result<Vec<Model>, Ended> {
    let texts = proxy.describe().await.map_err(|error| match error.code() {
        ErrorCode::InterfaceNotFound => Ended::Misused(
            "the server does not tell what it serves: name its IDL with --idl".to_owned(),
        ),
        _ => error.into(),
    })?;
    let models = texts.iter().map(|text| tce_idl::compile_str(text).model);
    let models: Vec<_> = models.flatten().collect();
    match (texts.is_empty(), models.is_empty()) {
        (true, _) => Err(Ended::Failed("the server serves nothing".to_owned())),
        (false, true) => Err(Ended::Failed(
            "what the server tells of itself is no IDL: name the right one with --idl".to_owned(),
        )),
        // What one of them means does not depend on the others.
        (false, false) => Ok(models),
    }
}

/// Prints what can be called.
fn list(models: &[Model], console: &mut Console) -> Result<ExitCode, Ended> {
    for place in target::interfaces(models) {
        let interface = place.model.interface(place.id);
        writeln!(console.out, "{} ({})", place.name(), interface.index)?;
        for operation in &interface.operations {
            let signature = place.model.signature(operation, interface.module);
            writeln!(console.out, "  {}  {signature}", operation.index)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
