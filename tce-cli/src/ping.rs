//! `tce ping`: checks that a server answers.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tce_runtime::{
    ConnectionEvent, ErrorCode, RpcError,
    config::{
        ConnectionLimits, Options,
        host::{join_host_port, parse_host},
    },
};

use crate::{
    connect::{ConnectArgs, ConnectError},
    console::{CommandError, Console},
    environment, runtime,
};

/// Time limit of the connection, and of the call after it.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// Check that a server answers, and measure how long it takes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce ping
  tce ping --host example.org --port 12002
  TCE_HOST=example.org tce ping
  tce ping wss://example.org/rpc
  tce ping ssl://localhost:12003 --ca server.pem
  tce ping mq:mq_server --mq-config config.yml --process client

Options take precedence over environment variables. The command takes less than 6 s.
Exit status: 0 the server answered, 1 it did not, 2 the command line or a variable is
wrong.")]
pub(crate) struct Args {
    /// Endpoint of the server: tcp://host:port, ssl://…, ws://…, wss://… or mq:name [default:
    /// tcp:// with the host and port]
    #[arg(conflicts_with_all = ["host", "port"])]
    endpoint: Option<String>,

    /// Host name or address of the server [env: TCE_HOST] [default: localhost]
    #[arg(long, value_parser = host)]
    host: Option<String>,

    /// Port of the server [env: TCE_PORT] [default: 12002]
    #[arg(long, value_parser = port)]
    port: Option<u16>,

    #[command(flatten)]
    connect: ConnectArgs,
}

const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORT: u16 = 12_002;

fn host(text: &str) -> Result<String, String> {
    let host = parse_host(text).map_err(|error| {
        format!("{error}; expected a host name or address such as `localhost`, and the port in --port or TCE_PORT")
    })?;
    Ok(host.to_owned())
}

fn port(text: &str) -> Result<u16, &'static str> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("expected a port from 1 to 65535"),
    }
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    // What a script that reads the output expects beside the host and port.
    let (name, endpoint) = match &args.endpoint {
        Some(endpoint) => (endpoint.clone(), endpoint.clone()),
        None => {
            let address = address(args, console)?;
            (address.clone(), format!("tcp://{address}"))
        }
    };
    match runtime::block_on(ping(args, &endpoint))? {
        Ok(time) => {
            writeln!(console.out, "ping server ({name}) succeeded in {time:?}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(PingError::Usage(error)) => Err(console.usage_error(error)),
        Err(PingError::Failed { reason, advice }) => {
            writeln!(console.err, "ping server ({name}) failed: {reason}")?;
            if let Some(advice) = advice {
                writeln!(console.err, "Try this: {advice}")?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The host and port of the command line, else of the environment.
fn address(args: &Args, console: &mut Console) -> Result<String, CommandError> {
    let host = match &args.host {
        Some(host) => host.clone(),
        None => environment::variable("TCE_HOST", host, console)?
            .unwrap_or_else(|| DEFAULT_HOST.to_owned()),
    };
    let port = match args.port {
        Some(port) => port,
        None => environment::variable("TCE_PORT", port, console)?.unwrap_or(DEFAULT_PORT),
    };
    Ok(join_host_port(&host, port))
}

/// Why there was no ping.
enum PingError {
    /// The command line is wrong.
    Usage(ConnectError),
    /// The server did not answer.
    Failed {
        reason: String,
        advice: Option<String>,
    },
}

impl From<ConnectError> for PingError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Rpc(error) => no_connection(&error),
            ConnectError::Config(_) | ConnectError::Broker(_) => Self::Failed {
                reason: error.to_string(),
                advice: None,
            },
            error => Self::Usage(error),
        }
    }
}

/// Connects, and measures one call.
async fn ping(args: &Args, endpoint: &str) -> Result<Duration, PingError> {
    let options = Options {
        timeout: TIMEOUT,
        connection: ConnectionLimits {
            connect_time: TIMEOUT,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let proxy = args.connect.connect(endpoint, options).await?;
    let close_reason = Arc::new(OnceLock::new());
    let first = Arc::clone(&close_reason);
    proxy.connection().on_event(move |_, event| {
        if let ConnectionEvent::Disconnected { reason } = event {
            first.get_or_init(|| reason.clone());
        }
    });
    let start = Instant::now();
    let answered = proxy.ping().await;
    let time = start.elapsed();
    answered.map_err(|error| no_answer(endpoint, &error, close_reason.get()))?;
    Ok(time)
}

fn no_connection(error: &RpcError) -> PingError {
    let cause = std::error::Error::source(error).and_then(|error| error.downcast_ref());
    let (what, advice) = match (error.code(), cause.map(io::Error::kind)) {
        (_, Some(io::ErrorKind::ConnectionRefused)) => (
            "nothing listens on this port",
            "start the server, or name its endpoint, or --host and --port (or TCE_HOST and TCE_PORT)",
        ),
        (_, Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)) => (
            "the host is unreachable",
            "check the network and the address",
        ),
        (ErrorCode::ConnectUnreachable, _) => (
            "the host is unknown",
            "check the spelling of the host, and that its name resolves",
        ),
        _ => ("the host does not accept the connection", error.advice()),
    };
    PingError::Failed {
        reason: format!("{what} ({})", error.text()),
        advice: Some(advice.to_owned()),
    }
}

fn no_answer(endpoint: &str, error: &RpcError, close_reason: Option<&String>) -> PingError {
    let text = close_reason.map_or(error.text(), String::as_str);
    let (reason, advice) = match error.code() {
        // Original TCE servers in Python never answer calls of an interface that they do not have.
        ErrorCode::Timeout => (
            format!("the peer accepts the connection but does not answer ({text})"),
            format!(
                "check the scheme of the endpoint (tcp://, ssl:// or ws://), and that the server is not \
                 blocked; an older TCE program answers no ping: call one of its own operations, \
                 `tce call {endpoint} OPERATION --idl FILE`"
            ),
        ),
        ErrorCode::ConnectionLost => (
            format!("the peer does not speak TCE ({text})"),
            "check the scheme: the port may belong to an endpoint of tcp://, ssl:// or ws://"
                .to_owned(),
        ),
        ErrorCode::InterfaceNotFound => (
            format!(
                "the server speaks TCE but does not use tce-runtime, and has no built-in ping \
                 operation ({})",
                error.code()
            ),
            format!(
                "the server is reachable; call one of its own operations to check it, \
                 `tce call {endpoint} OPERATION --idl FILE`"
            ),
        ),
        _ => (error.to_string(), error.advice().to_owned()),
    };
    PingError::Failed {
        reason,
        advice: Some(advice),
    }
}
