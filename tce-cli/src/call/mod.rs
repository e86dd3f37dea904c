//! `tce call`: calls any operation of a server, with JSON arguments and results.

mod error;
mod data;
mod listen;
mod repeat;
mod template;
mod trace;

use std::{collections::BTreeSet, io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::{ArgGroup, ValueEnum};
use tce_dynamic::{CallTarget, InterfaceRef, UndecodedBytes};
use tce_gateway::terminal::escape_control;
use tce_runtime::{
    ConnectionEvent, ErrorCode, Proxy,
    config::Options,
    wire::{Raw, Reader},
};
use tokio::sync::mpsc;

use crate::{
    connect::{ConnectArgs, ConnectError, with_advice},
    console::{CommandError, Console, exit_code},
    idl::IdlArgs,
    remote::ServerInterfaces,
    runtime,
};
use data::DataSource;
use error::CallError;
use listen::PrintServant;
use repeat::Load;
use trace::CallTrace;

/// Calls a second that `--rate` takes.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=10_000_000.0;
/// How many events of a connection wait to be told.
const EVENTS: usize = 16;
/// The most calls in flight at once with a rate: a server that lags has to answer that many.
const RATE_CONCURRENCY: usize = 1000;

/// Call an operation of a server, with JSON arguments and results
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce call tcp://localhost:12002 test.Server.echo hello
  tce call tcp://localhost:12002 Server.timeout 3 --timeout 1s
  tce call tcp://localhost:12002 Keeper.adopt --template     arguments to fill in
  tce call tcp://localhost:12002 Keeper.blob '\"aGVsbG8=\"' --idl zoo.idl
  tce call wss://example.org/ Server.echo '{\"text\": \"hello\"}' --token A1001 -x name=ann
  tce call tcp://localhost:12002 Server.echo -d @calls.jsonl
  tce call tcp://localhost:12002 Server.bidirection --oneway --listen test.ITerminal --idl test.idl
  tce call tcp://localhost:12002 Server.echo hello --repeat 100000 --concurrency 64
  tce call tcp://localhost:12002 Server.echo hello --duration 10s --rate 500 --summary json
  tce call mq:mq_server test.Server.echo hello --mq-config config.yml --process client
  tce call tcp://localhost:12002              lists the operations of the server

Arguments are JSON: one value per parameter, or one array or object with all of them.
Quotes around a string can be omitted. Bytes are base64. Without --idl, the server is
asked for its IDL; servers that use tce-runtime answer this.

Exit status: 0 the call succeeded, 1 it failed, 2 the command line is wrong.")]
pub(crate) struct Args {
    /// Endpoint of the server: tcp://host:port, ssl://…, ws://…, wss://… or mq:name
    endpoint: String,

    /// Operation to call: module.Interface.operation, or the end of that
    operation: Option<String>,

    /// Arguments, as JSON
    #[arg(conflicts_with = "data", allow_negative_numbers = true)]
    arguments: Vec<String>,

    /// IDL file of the server; can be repeated
    #[arg(long = "idl", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Arguments of several calls, a JSON value for each: text, @FILE, or @- for standard input
    #[arg(short = 'd', long, value_name = "DATA", requires = "operation")]
    data: Option<String>,

    /// Print arguments to fill in, as JSON, instead of calling
    #[arg(long, requires = "operation", conflicts_with_all = ["arguments", "data"])]
    template: bool,

    /// Also print, on standard error, what is sent and returned: indices, sizes, extra, times
    #[arg(short, long, requires = "operation")]
    verbose: bool,

    /// Call oneway, without waiting for a result
    #[arg(long, requires = "operation")]
    oneway: bool,

    /// Serve this interface, and print the calls that the server makes to it, until Ctrl-C
    #[arg(long, value_name = "INTERFACE")]
    listen: Vec<String>,

    #[command(flatten)]
    load: LoadArgs,

    /// Time limit of a call, such as 500ms or 10s
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    /// Entry of the call's extra; can be repeated
    #[arg(short = 'x', long = "extra", value_name = "KEY=VALUE", value_parser = pair)]
    extra: Vec<(String, String)>,

    #[command(flatten)]
    connect: ConnectArgs,

    #[command(flatten)]
    idl: IdlArgs,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected KEY=VALUE, such as -x name=ann")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Options of calls that measure a server.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("load").multiple(true)))]
struct LoadArgs {
    /// Make N calls, and print the rate and latencies; Ctrl-C ends earlier
    #[arg(long, value_name = "N", group = "load", requires = "operation", conflicts_with_all = ["oneway", "data"], value_parser = clap::value_parser!(u64).range(1..))]
    repeat: Option<u64>,

    /// Make calls for this time, such as 10s, and print the rate and latencies
    #[arg(long, value_name = "TIME", group = "load", requires = "operation", conflicts_with_all = ["oneway", "data"], value_parser = humantime::parse_duration)]
    duration: Option<Duration>,

    /// Calls a second [default: as many as the concurrency allows]
    ///
    /// A latency counts from the time at which the call was due.
    #[arg(long, value_name = "R", requires = "load", value_parser = rate)]
    rate: Option<f64>,

    /// Most repeated calls in flight at once [default: 1, or 1000 with --rate]
    #[arg(long, value_name = "C", requires = "load", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: Option<u16>,

    /// Format of the rate and latencies
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        requires = "load"
    )]
    summary: SummaryFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum SummaryFormat {
    /// Readable text
    #[default]
    Text,
    /// One JSON object
    Json,
}

impl LoadArgs {
    /// The load, if the call is to be repeated.
    fn load(&self) -> Option<Load> {
        (self.repeat.is_some() || self.duration.is_some()).then(|| Load {
            count: self.repeat,
            duration: self.duration,
            rate: self.rate,
            concurrency: self
                .concurrency
                .map_or_else(|| self.rate.map_or(1, |_| RATE_CONCURRENCY), Into::into),
        })
    }
}

fn rate(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(rate) if RATES.contains(&rate) => Ok(rate),
        _ => Err("expected calls a second, from 0.001 to 10000000"),
    }
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    match runtime::block_on(args.run(console))? {
        Ok(code) => Ok(code),
        Err(CallError::Command(error)) => Err(error),
        Err(CallError::Failed(text)) => Ok(console.fail(text)?),
        Err(CallError::Usage(text)) => Err(console.usage_error(text)),
    }
}

/// The operation to call, and the interfaces to serve.
struct Selection<'m> {
    target: Option<CallTarget<'m>>,
    listen: Vec<InterfaceRef<'m>>,
}

impl Args {
    async fn run(&self, console: &mut Console) -> Result<ExitCode, CallError> {
        let from_files = self.interfaces_of_files(console)?;
        if let Some(interfaces) = &from_files {
            // A wrong name is reported before there is a connection.
            let selection = self.selection(interfaces)?;
            if let (Some(target), true) = (&selection.target, self.template) {
                return print_template(target, console);
            }
        }
        let options = Options {
            timeout: self.timeout,
            ..Options::default()
        };
        let proxy = match self.connect.connect(&self.endpoint, options).await {
            Ok(proxy) => proxy.with_extra(self.extra.clone()),
            Err(ConnectError::Rpc(error)) => return Err(error.into()),
            Err(error @ (ConnectError::Config(_) | ConnectError::Broker(_))) => {
                return Err(CallError::Failed(error.to_string()));
            }
            Err(error) => return Err(CallError::usage(error)),
        };
        let interfaces = match from_files {
            Some(interfaces) => interfaces,
            None => ServerInterfaces::request(&proxy, self.timeout).await?,
        };
        let Selection { target, listen } = self.selection(&interfaces)?;
        for interface in &listen {
            proxy.connection().add_servant(PrintServant::new(interface));
        }
        // The first `Connected` has passed.
        let events = (!listen.is_empty()).then(|| connection_events(&proxy));
        let code = match &target {
            Some(target) if self.template => print_template(target, console)?,
            Some(target) => self.call_and_flush(&proxy, target, console).await?,
            None if listen.is_empty() => list(&interfaces, console)?,
            None => ExitCode::SUCCESS,
        };
        if let Some(events) = events {
            writeln!(console.err, "listening for calls; press Ctrl-C to stop")?;
            tokio::select! {
                stopped = tce_runtime::termination_signal() => stopped.map_err(|error| {
                    CallError::Failed(format!("can't wait for Ctrl-C: {error}"))
                })?,
                ended = self.follow(events, &proxy, target.as_ref(), console) => ended?,
            }
        }
        Ok(code)
    }

    /// Tells when the server goes and comes back. Then the call is made again, since a new
    /// connection is a stranger to the server.
    async fn follow(
        &self,
        mut events: mpsc::Receiver<ConnectionEvent>,
        proxy: &Proxy,
        target: Option<&CallTarget<'_>>,
        console: &mut Console,
    ) -> Result<(), CallError> {
        while let Some(event) = events.recv().await {
            match event {
                ConnectionEvent::Disconnected { reason } => {
                    let reason = escape_control(&reason);
                    writeln!(
                        console.err,
                        "the server has gone: {reason}; connecting again"
                    )?;
                }
                ConnectionEvent::Connected => {
                    writeln!(console.err, "connected again")?;
                    if let Some(target) = target {
                        self.call_and_flush(proxy, target, console).await?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the command line names among the models.
    fn selection<'m>(&self, interfaces: &'m ServerInterfaces) -> Result<Selection<'m>, CallError> {
        let models = &interfaces.models;
        let usage = |error: tce_dynamic::TargetError| match interfaces.undescribed() {
            Some(undescribed) => CallError::Usage(format!("{error}\n{undescribed}")),
            None => CallError::usage(error),
        };
        let listen = self.listen.iter();
        let listen = listen.map(|name| tce_dynamic::find_interface(models, name));
        let target = self.operation.as_ref();
        let target = target.map(|name| tce_dynamic::find_operation(models, name));
        Ok(Selection {
            target: target.transpose().map_err(usage)?,
            listen: listen.collect::<Result<_, _>>().map_err(usage)?,
        })
    }

    /// The interfaces of the IDL files on the command line; `None` without any.
    fn interfaces_of_files(
        &self,
        console: &mut Console,
    ) -> Result<Option<ServerInterfaces>, CallError> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let config = self.idl.config(console).map_err(CallError::Command)?;
        let compilation = tce_idl::compile(&self.files, &self.idl.options(&config));
        console.show(&compilation.diagnostics, &compilation.sources)?;
        match compilation.model {
            Some(model) => Ok(Some(ServerInterfaces::of_files(model))),
            None => Err(CallError::Failed("the IDL has errors".to_owned())),
        }
    }

    /// Makes the calls. Oneway calls have left when it returns; an exit that waited for anything else
    /// would hang while a broker accepts no messages.
    async fn call_and_flush(
        &self,
        proxy: &Proxy,
        target: &CallTarget<'_>,
        console: &mut Console,
    ) -> Result<ExitCode, CallError> {
        let code = self.call(proxy, target, console).await?;
        if self.oneway && code == ExitCode::SUCCESS {
            let limit = self.timeout;
            let flushed = tokio::time::timeout(limit, proxy.connection().flush()).await;
            flushed.map_err(|_| {
                let limit = humantime::format_duration(limit);
                CallError::Failed(format!("the calls have not left within {limit}"))
            })?;
        }
        Ok(code)
    }

    async fn call(
        &self,
        proxy: &Proxy,
        target: &CallTarget<'_>,
        console: &mut Console,
    ) -> Result<ExitCode, CallError> {
        if self.oneway && target.returns.is_some() {
            let text = format!(
                "{} has a result: only void operations can be called oneway",
                target.signature
            );
            return Err(CallError::Usage(text));
        }
        if let Some(data) = &self.data {
            return self.call_each(proxy, target, data, console).await;
        }
        let params = tce_dynamic::marshal_words(target, &self.arguments);
        let params = params.map_err(CallError::usage)?;
        if let Some(load) = self.load.load() {
            let summary = repeat::repeat(proxy, target, &params, load).await?;
            let text = match self.load.summary {
                SummaryFormat::Text => summary.to_string(),
                SummaryFormat::Json => summary.json(),
            };
            console.out.write_all(text.as_bytes())?;
            return Ok(exit_code(summary.failures == 0));
        }
        let succeeded = self.call_once(proxy, target, &params, console).await?;
        Ok(exit_code(succeeded))
    }

    /// Makes a call for each value of the data.
    async fn call_each(
        &self,
        proxy: &Proxy,
        target: &CallTarget<'_>,
        data: &str,
        console: &mut Console,
    ) -> Result<ExitCode, CallError> {
        let source = DataSource::new(data);
        let mut values = source
            .read()
            .map_err(|error| CallError::Usage(format!("can't read {}: {error}", source.name())))?;
        let mut all_succeeded = true;
        let mut calls = 0_u64;
        while let Some(value) = values.recv().await {
            let (line, value) = value.map_err(CallError::Usage)?;
            let params = tce_dynamic::marshal_value(target, &value)
                .map_err(|error| CallError::Usage(format!("line {line}: {error}")))?;
            all_succeeded &= self.call_once(proxy, target, &params, console).await?;
            calls += 1;
        }
        if calls > 0 {
            return Ok(exit_code(all_succeeded));
        }
        // An empty text is all arguments of an operation without parameters. An empty file, or a
        // pipe that closed at once, is more likely a mistake.
        if matches!(source, DataSource::Text(_)) && target.parameters.is_empty() {
            let succeeded = self.call_once(proxy, target, &[], console).await?;
            return Ok(exit_code(succeeded));
        }
        let text = format!("{} has no JSON value: nothing was called", source.name());
        Err(CallError::Usage(text))
    }

    /// Makes a call, and prints the result or the error. Returns whether the call succeeded.
    async fn call_once(
        &self,
        proxy: &Proxy,
        target: &CallTarget<'_>,
        params: &[u8],
        console: &mut Console,
    ) -> Result<bool, CallError> {
        let trace = self.verbose.then(CallTrace::begin);
        if let Some(trace) = &trace {
            trace.sent(target, params, &self.extra, self.oneway, console)?;
        }
        let params = Raw(params);
        let result = match self.oneway {
            true => proxy.oneway(&target.operation, params).await.map(|()| None),
            false => proxy
                .call::<_, UndecodedBytes>(&target.operation, params)
                .returned()
                .await
                .map(Some),
        };
        if let Some(trace) = &trace {
            trace.ended(&result, console)?;
        }
        match result {
            Ok(None) => Ok(true),
            Ok(Some(returned)) => {
                let UndecodedBytes(bytes) = returned.value;
                if let Some(ty) = target.returns {
                    let value = tce_dynamic::decode(target.model, ty, &mut Reader::new(&bytes));
                    let value = value.map_err(|error| {
                        CallError::Failed(format!(
                            "can't decode the result of {}: {error}",
                            target.signature
                        ))
                    })?;
                    writeln!(console.out, "{value}")?;
                }
                Ok(true)
            }
            Err(error) => {
                let mut text = with_advice(&error);
                if let Some(exception) = error::exception(&error, target.model) {
                    text += &format!("\nexception: {exception}");
                }
                if let (ErrorCode::Timeout | ErrorCode::InterfaceNotFound, Some(base)) =
                    (error.code(), &target.inherited_from)
                {
                    text.push_str(&format!(
                        "\nThe operation is inherited: an older TCE server answers it only with a \
                         servant of {base}"
                    ));
                }
                console.fail(text)?;
                Ok(false)
            }
        }
    }
}

/// The events of the proxy's connection from now on.
fn connection_events(proxy: &Proxy) -> mpsc::Receiver<ConnectionEvent> {
    let (sender, events) = mpsc::channel(EVENTS);
    // It fails where more events come than can be told, or none is told any longer.
    let listener = move |_: &_, event: &ConnectionEvent| drop(sender.try_send(event.clone()));
    proxy.connection().on_event(listener);
    events
}

/// Prints arguments of an operation to fill in.
fn print_template(target: &CallTarget<'_>, console: &mut Console) -> Result<ExitCode, CallError> {
    let arguments = template::of(target.model, target.parameters);
    writeln!(console.out, "{arguments:#}")?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the operations of all interfaces that calls reach.
fn list(interfaces: &ServerInterfaces, console: &mut Console) -> Result<ExitCode, CallError> {
    // Servants have bases in common.
    let mut listed = BTreeSet::new();
    for found in tce_dynamic::interfaces(&interfaces.models) {
        let interface = found.model.interface(found.id);
        let name = found.name();
        if !interfaces.is_reachable(interface.index)
            || !listed.insert((name.clone(), interface.index))
        {
            continue;
        }
        writeln!(console.out, "{name} ({})", interface.index)?;
        for operation in &interface.operations {
            let signature = found.model.signature(operation, interface.module);
            writeln!(console.out, "  {}  {signature}", operation.index)?;
        }
    }
    if let Some(undescribed) = interfaces.undescribed() {
        writeln!(console.err, "{undescribed}")?;
    }
    Ok(ExitCode::SUCCESS)
}
