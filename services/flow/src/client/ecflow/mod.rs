//! `ecflow_client`: ecFlow's client.

mod specification;
mod arguments;
mod help;
mod census;
mod request;
mod execute;
mod child;

use std::io;
use std::time::{Duration, Instant};

use super::address::Address;
use super::child::ChildError;
use super::console::{Console, Environment, timestamp};
use super::link::{Caller, Link, LinkError};
use super::{FAILURE, SUCCESS};
use arguments::{Arguments, ParseError, split_group};
use child::{ChildFailure, ChildRequest};
use execute::{ExecuteError, Session, execute};
use request::{Action, Request};

/// How long a connection or a call may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The pause before the second and last attempt to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a command line has not succeeded.
#[derive(Debug)]
enum Failure {
    /// Shown in ecFlow's frame.
    Usage(String),
    /// Shown as it is.
    Text(String),
    /// The server has refused a request.
    Refused {
        shown: String,
        text: String,
    },
    /// There was no answer.
    Away {
        shown: String,
        server: String,
        error: LinkError,
    },
    /// A question was not answered with yes.
    Declined,
    Stream(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Malformed(text) => Self::Usage(text),
            ParseError::Unsupported(name) => {
                Self::Text(format!("Error: --{name} is not supported by this server"))
            }
        }
    }
}

/// Runs a command line, given behind the program's name. The exit code is 1 for every failure.
///
/// # Errors
/// A stream fails.
pub fn run(
    words: &[String],
    environment: &Environment,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    if environment.is_set("NO_ECF") {
        writeln!(console.out, "NO_ECF")?;
        return Ok(SUCCESS);
    }
    if words.is_empty() {
        writeln!(
            console.err,
            "ecflow_client: No options specified\n\
             Usage: ecflow_client [OPTION]...\n\
             Try 'ecflow_client --help' for list of options\n"
        )?;
        return Ok(FAILURE);
    }
    match run_line(words, environment, console) {
        Ok(()) => return Ok(SUCCESS),
        Err(Failure::Stream(error)) => return Err(error),
        Err(Failure::Declined) => {}
        Err(Failure::Usage(text)) => writeln!(
            console.err,
            "ecflow_client: Caught exception whilst parsing arguments:\n{text}\nargs: ecflow_client {} \n",
            words.join(" ")
        )?,
        Err(Failure::Text(text)) => writeln!(console.err, "{text}")?,
        Err(Failure::Refused { shown, text }) => writeln!(
            console.err,
            "Error: request( {shown} ) failed!  Server reply: {text}\n"
        )?,
        Err(Failure::Away {
            shown,
            server,
            error,
        }) => report_away(&shown, &server, &error, console)?,
    }
    Ok(FAILURE)
}

fn run_line(
    words: &[String],
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let arguments = Arguments::parse(words)?;
    let Some((name, values)) = arguments.command()? else {
        return Err(Failure::Usage(
            "ClientOptions::parse: Arguments did not match any commands.\nUse --help to see all the available commands\n".to_owned(),
        ));
    };
    match name {
        "help" => {
            let topic = values.first().map_or("", String::as_str);
            write!(console.out, "{}", help::help(topic))?;
            return Ok(());
        }
        "version" => {
            writeln!(console.out, "{}", help::version())?;
            return Ok(());
        }
        _ => {}
    }
    let (host, port) = (arguments.value("host"), arguments.value("port"));
    let address = Address::of_ecflow(environment, host, port);
    let is_debug = arguments.values("debug").is_some() || environment.is_set("ECF_DEBUG_CLIENT");
    if is_debug {
        describe(&address, environment, console)?;
    }
    let caller = Caller::new(environment, arguments.value("user"), "ecflow")
        .map_err(|error| Failure::Text(format!("Error: {error}")))?
        .with_tls(arguments.values("ssl").is_some());
    let child = ChildRequest::new(name, values, &arguments, environment);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if let Some(child) = child.map_err(Failure::Usage)? {
        let server = address.to_string();
        let sent = runtime.block_on(child.send(&caller, address, environment, console));
        return sent.map_err(|failure| child_failure(child.shown, server, failure));
    }
    let mut session = Session {
        is_group: name == "group",
        ..Session::default()
    };
    let requests = requests(name, values)?;
    runtime.block_on(async {
        let mut link = None;
        for request in &requests {
            order(request, &mut session, &mut link, &caller, &address, console).await?;
        }
        Ok(())
    })
}

fn child_failure(shown: String, server: String, failure: ChildFailure) -> Failure {
    match failure {
        ChildFailure::Stream(error) => Failure::Stream(error),
        ChildFailure::Child(ChildError::Refused(reply)) => Failure::Refused {
            shown,
            text: reply.text,
        },
        ChildFailure::Child(ChildError::Expired(error) | ChildError::Setup(error)) => {
            Failure::Away {
                shown,
                server,
                error,
            }
        }
        ChildFailure::Child(ChildError::Held(reason)) => Failure::Text(format!(
            "{} Request( {shown} ), gave up: {reason}\n",
            timestamp()
        )),
    }
}

/// The requests of a command, which are several for a group; all are checked before one is sent.
fn requests(name: &str, values: &[String]) -> Result<Vec<Request>, Failure> {
    if name != "group" {
        return Ok(vec![Request::new(name, values).map_err(Failure::Usage)?]);
    }
    let commands = split_group(values.first().map_or("", String::as_str));
    let requests = commands.iter().map(|words| {
        let arguments = Arguments::parse(words)?;
        match arguments.command()? {
            Some((name, values)) if name != "group" => {
                Request::new(name, values).map_err(Failure::Usage)
            }
            _ => {
                let text = format!("group: '{}' is no command", words.join(" "));
                Err(Failure::Usage(text))
            }
        }
    });
    requests.collect()
}

/// Confirms, connects where there is no connection yet, sends, and shows the answer.
async fn order(
    request: &Request,
    session: &mut Session,
    link: &mut Option<Link>,
    caller: &Caller,
    address: &Address,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    confirm(request, console)?;
    match &request.action {
        Action::Print(text) => return Ok(write!(console.out, "{text}")?),
        Action::Nothing => return Ok(()),
        _ => {}
    }
    let away = |error| Failure::Away {
        shown: request.shown.clone(),
        server: address.to_string(),
        error,
    };
    let began = Instant::now();
    let link = match link {
        Some(link) => link,
        None => link.insert(connect(caller, address).await.map_err(away)?),
    };
    let answer = execute(request, session, link, &address.to_string(), began).await;
    let answer = answer.map_err(|error| match error {
        ExecuteError::Refused(text) => Failure::Refused {
            shown: request.shown.clone(),
            text,
        },
        ExecuteError::Link(error) => away(error),
    })?;
    write!(console.out, "{}", answer.out)?;
    for note in answer.notes {
        writeln!(console.err, "{note}")?;
    }
    Ok(())
}

async fn connect(caller: &Caller, address: &Address) -> Result<Link, LinkError> {
    match caller.connect(address, LIMIT).await {
        Err(error) if error.is_unreachable() => {
            tokio::time::sleep(PAUSE).await;
            caller.connect(address, LIMIT).await
        }
        link => link,
    }
}

fn confirm(request: &Request, console: &mut Console<'_>) -> Result<(), Failure> {
    let question = match &request.action {
        Action::Delete {
            paths,
            is_confirmed: false,
            ..
        } if paths.iter().any(|path| path == "/") => {
            "Are you sure you want to delete all the suites ? ".to_owned()
        }
        Action::Delete {
            paths,
            is_confirmed: false,
            ..
        } => {
            let paths = paths.join("\n  ");
            format!("Are you sure want to delete nodes at paths:\n  {paths} ? ")
        }
        Action::State {
            wanted,
            is_confirmed: false,
        } => format!("Are you sure you want to {wanted} the server ? "),
        _ => return Ok(()),
    };
    if console.confirm(&question)? {
        Ok(())
    } else {
        Err(Failure::Declined)
    }
}

/// What `--debug` shows; passwords and tokens are not among it.
fn describe(
    address: &Address,
    environment: &Environment,
    console: &mut Console<'_>,
) -> io::Result<()> {
    writeln!(console.out, "{} {}", timestamp(), help::version())?;
    writeln!(console.out, "   ECF_HOST/ECF_PORT : {address}")?;
    for name in [
        "ECF_NAME",
        "ECF_RID",
        "ECF_TRYNO",
        "ECF_HOSTFILE",
        "ECF_TIMEOUT",
        "ECF_ZOMBIE_TIMEOUT",
        "ECF_DENIED",
        "ECF_SSL",
    ] {
        let value = environment.get(name).unwrap_or_default();
        writeln!(console.out, "   {name} = {value}")?;
    }
    Ok(())
}

fn report_away(
    shown: &str,
    server: &str,
    error: &LinkError,
    console: &mut Console<'_>,
) -> io::Result<()> {
    let time = timestamp();
    match error {
        LinkError::Unreachable(_) => writeln!(
            console.err,
            "{time} Request( {shown} ), Failed to connect to {server}. After 2 attempts. Is the server running ?\n"
        ),
        LinkError::Call(error) => writeln!(
            console.err,
            "{time} Request( {shown} ), No answer from {server}: {error}\n"
        ),
        error => writeln!(console.err, "Error: {error}"),
    }
}
