//! `tce ping`: whether a server is there.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tce_runtime::{
    Communicator, ConnectionEvent, ErrorCode, Proxy, RpcError,
    config::{ConnectionLimits, Options},
};

use crate::console::Console;

/// How long the connection may take, and then the call.
const PATIENCE: Duration = Duration::from_millis(2500);

/// See whether a server is there, and how long it takes to answer
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce ping
  tce ping --host example.org --port 12002
  TCE_HOST=example.org tce ping

A flag counts more than its variable. It takes less than 6 s, whatever happens.
Exit status: 0 the server has answered, 1 it has not, 2 the command line or a
variable is wrong.")]
pub(crate) struct Args {
    /// The server's host name or address
    #[arg(long, env = "TCE_HOST", default_value = "localhost", value_parser = host)]
    host: String,

    /// The server's port
    #[arg(long, env = "TCE_PORT", default_value = "12002", value_parser = port)]
    port: u16,
}

fn host(text: &str) -> Result<String, &'static str> {
    // An IPv6 address has two colons at least: a single one stands before a port.
    if text.is_empty() || text.contains('/') || text.matches(':').count() == 1 {
        return Err(
            "--host and TCE_HOST take a name or an address alone, such as `localhost`; the port goes into --port or TCE_PORT",
        );
    }
    Ok(text.to_owned())
}

fn port(text: &str) -> Result<u16, &'static str> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("--port and TCE_PORT take a number from 1 to 65535"),
    }
}

pub(crate) fn run(args: &Args, console: &mut Console) -> io::Result<ExitCode> {
    let address = match &args.host {
        ipv6 if ipv6.contains(':') => format!("[{ipv6}]:{}", args.port),
        host => format!("{host}:{}", args.port),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let pinged = runtime.block_on(ping(&format!("tcp://{address}")));
    // A host name that is still being looked up keeps nobody waiting.
    runtime.shutdown_background();
    match pinged {
        Ok(time) => {
            writeln!(console.out, "ping server ({address}) succeeded in {time:?}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(Unreached { reason, advice }) => {
            writeln!(console.err, "ping server ({address}) failed: {reason}")?;
            writeln!(console.err, "Try this: {advice}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Why there was no answer, and what to do.
struct Unreached {
    reason: String,
    advice: &'static str,
}

/// Makes a connection, and takes the time of one call on it.
async fn ping(endpoint: &str) -> Result<Duration, Unreached> {
    let communicator = Communicator::with_options(Options {
        timeout: PATIENCE,
        connection: ConnectionLimits {
            connect_time: PATIENCE,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    });
    let proxy = Proxy::connect(&communicator, endpoint)
        .await
        .map_err(|error| no_connection(&error))?;
    let ended = Arc::new(OnceLock::new());
    let first = Arc::clone(&ended);
    proxy.connection().on_event(move |_, event| {
        if let ConnectionEvent::Disconnected { reason } = event {
            first.get_or_init(|| reason.clone());
        }
    });
    let start = Instant::now();
    let answered = proxy.ping().await;
    let time = start.elapsed();
    answered.map_err(|error| no_answer(&error, ended.get()))?;
    Ok(time)
}

fn no_connection(error: &RpcError) -> Unreached {
    let cause = std::error::Error::source(error).and_then(|error| error.downcast_ref());
    let (what, advice) = match (error.code(), cause.map(io::Error::kind)) {
        (_, Some(io::ErrorKind::ConnectionRefused)) => (
            "nothing listens there",
            "start the server, or say where it is with --host and --port (or TCE_HOST and TCE_PORT)",
        ),
        (_, Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)) => (
            "there is no way to this host",
            "see that the network is up and that --host (or TCE_HOST) is right",
        ),
        (ErrorCode::ConnectUnreachable, _) => (
            "the host is unknown",
            "see that --host (or TCE_HOST) is spelt right and that its name can be looked up",
        ),
        _ => (
            "the host does not take the connection",
            "see that the server runs and that no firewall is in the way",
        ),
    };
    Unreached {
        reason: format!("{what} ({})", error.text()),
        advice,
    }
}

fn no_answer(error: &RpcError, ended: Option<&String>) -> Unreached {
    let text = ended.map_or(error.text(), String::as_str);
    match error.code() {
        ErrorCode::Timeout => Unreached {
            reason: format!("something listens there, but does not answer ({text})"),
            advice: "see that the port is that of a tcp:// endpoint, and that the server is not stuck",
        },
        ErrorCode::ConnectionLost => Unreached {
            reason: format!("something listens there, but does not speak TCE ({text})"),
            advice: "see that the port is that of a tcp:// endpoint: ssl:// and ws:// ones don't answer this",
        },
        ErrorCode::InterfaceNotFound => Unreached {
            reason: format!(
                "a TCE server is there, but none of ours: it has no built-in interface to ping ({})",
                error.code()
            ),
            advice: "it is reachable; call one of its own operations to see whether it is well",
        },
        _ => Unreached {
            reason: error.to_string(),
            advice: error.advice(),
        },
    }
}
