//! The resident memory of idle connections: of a gateway, or of a server without one.

mod clients;
mod process;
mod target;

#[expect(unreachable_pub, reason = "generated code is made for public modules")]
mod generated {
    tce_runtime::include_idl!(bench);
}

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tce_gateway::{ErrorFormat, GatewayCommand};

use generated::bench;
use process::RoleProcess;
use target::Target;

/// Connections before the first measurement, which allocate what all connections share.
const WARM_UP: usize = 200;
/// The open files of a process beside its connections.
const OTHER_FILES: u64 = 200;
/// The calls at the end, on connections chosen at random.
const SAMPLES: usize = 100;

/// Measures the resident memory of idle connections
#[derive(Debug, Parser)]
struct Cli {
    /// Idle connections, of all processes together
    #[arg(long, default_value_t = 10_000, value_parser = at_least_one)]
    connections: usize,
    /// What the connections use
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    transport: Transport,
    /// What they are connected to, and what is measured
    #[arg(long, value_enum, default_value_t = Through::Gateway)]
    through: Through,
    /// Gateways or servers that share the connections, each with a client process of its own
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    processes: usize,
    /// Seconds of silence before the last measurement
    #[arg(long, default_value_t = 5)]
    idle: u64,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The processes that a run starts.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Gateway {
        #[command(flatten)]
        command: Box<GatewayCommand>,
    },
    #[command(hide = true)]
    Server { endpoint: String },
    #[command(hide = true)]
    Clients { endpoint: String },
}

/// How a connection carries its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    Tcp,
    Ws,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Through {
    Gateway,
    Server,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err("must be a whole number, at least 1".to_owned()),
    }
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    match &cli.role {
        Some(Role::Gateway { command }) => return Ok(command.run(ErrorFormat::Text)),
        Some(Role::Server { endpoint }) => target::serve(endpoint)?,
        Some(Role::Clients { endpoint }) => clients::run(endpoint)?,
        None => measure(&cli)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A gateway or server, and the clients that connect to it.
struct Pair {
    target: Target,
    clients: RoleProcess,
    connections: usize,
    /// The resident memory of the target after the warm-up, in bytes.
    before: usize,
}

fn measure(cli: &Cli) -> Result<()> {
    let each = cli.connections.div_ceil(cli.processes);
    raise_file_limit(each, cli)?;
    let mut pairs = Vec::new();
    for _ in 0..cli.processes {
        let target = Target::start(cli, each + WARM_UP)?;
        let mut clients = RoleProcess::start(&["clients", &target.endpoint])?;
        clients.ask(&format!("connect {WARM_UP}"))?;
        clients.ask("call")?;
        pairs.push(Pair {
            target,
            clients,
            connections: each,
            before: 0,
        });
    }
    thread::sleep(Duration::from_secs(cli.idle));
    for pair in &mut pairs {
        pair.before = pair.target.process.resident()?;
    }

    let (transport, through) = (name(&cli.transport), name(&cli.through));
    let count = each * cli.processes;
    println!(
        "{count} connections, {transport}, {through}, {} process(es)",
        cli.processes
    );
    let began = Instant::now();
    ask_all(&mut pairs, |pair| format!("connect {}", pair.connections))?;
    print(&pairs, &format!("connected in {:.1?}", began.elapsed()))?;
    let began = Instant::now();
    ask_all(&mut pairs, |_| "call".to_owned())?;
    print(&pairs, &format!("one call each in {:.1?}", began.elapsed()))?;
    thread::sleep(Duration::from_secs(cli.idle));
    print(&pairs, &format!("idle for {} s", cli.idle))?;
    for pair in &mut pairs {
        let answer = pair.clients.ask(&format!("sample {SAMPLES}"))?;
        println!("{SAMPLES} calls on connections at random: {answer}");
    }
    Ok(())
}

fn name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Lets all client processes do something at the same time.
fn ask_all(pairs: &mut [Pair], question: impl Fn(&Pair) -> String) -> Result<()> {
    for pair in &mut *pairs {
        let question = question(pair);
        pair.clients.send(&question)?;
    }
    for pair in pairs {
        pair.clients.answer()?;
    }
    Ok(())
}

/// Prints the memory of all gateways or servers, and that of a connection.
fn print(pairs: &[Pair], phase: &str) -> Result<()> {
    let (mut resident, mut grown, mut connections) = (0, 0, 0);
    for pair in pairs {
        let now = pair.target.process.resident()?;
        resident += now;
        grown += now.saturating_sub(pair.before);
        connections += pair.connections;
    }
    let (mib, each) = (resident >> 20, grown / connections);
    println!("{phase:<32} {mib:>6} MiB resident, {each:>6} bytes a connection");
    Ok(())
}

/// Raises the limit of open files of this process, which the others inherit, to what a process with
/// so many connections needs.
fn raise_file_limit(connections: usize, cli: &Cli) -> Result<()> {
    let needed = (connections + WARM_UP) as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if is_enough(limit.current) {
        return Ok(());
    }
    let maximum = if is_enough(limit.maximum) {
        limit.maximum
    } else {
        Some(needed)
    };
    let raised = Rlimit {
        current: Some(needed),
        maximum,
    };
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let usable = hard.saturating_sub(WARM_UP as u64 + OTHER_FILES).max(1);
    let processes = (cli.connections as u64).div_ceil(usable);
    ensure!(
        setrlimit(Resource::Nofile, raised).is_ok(),
        "a process with {connections} connections opens {needed} files, and the hard limit is {hard}: \
         raise it with `ulimit -Hn {needed}` as root, or share the connections with \
         `--processes {processes}`"
    );
    Ok(())
}
