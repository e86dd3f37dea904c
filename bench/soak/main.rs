//! Mixed load through gateway, RabbitMQ and sockets for an hour, with faults at random. Every call is
//! accounted for, and memory, descriptors and tasks of the gateway must stay as they are.

mod child;
mod clients;
mod faults;
mod ledger;
mod server;

#[expect(unreachable_pub, reason = "generated code is made for public modules")]
mod generated {
    tce_runtime::include_idl!(soak);
}

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use tce_gateway::Gateway;
use tce_test_faults::FaultProxy;
use tce_test_rabbitmq::{Node, free_port};
use tokio::{runtime, sync::watch};

use child::{ChildProcess, Usage, usage_of};
use clients::{TIMEOUT, Target};
use faults::{Fault, Scene};
use generated::soak;
use ledger::Ledger;

/// The age at which a call is judged: its timeout, and the longest silence of the broker, have passed.
const SETTLE_TIME: Duration = Duration::from_secs(120);
/// The time without faults at the end, so that every call can settle.
const QUIET_TIME: Duration = Duration::from_secs(130);
/// How much the gateway's memory may grow after the first third, in KiB.
const MEMORY_GROWTH: u64 = 16 << 10;
/// How many descriptors and tasks the gateway may have more than after the first third.
const COUNT_GROWTH: usize = 30;

/// Soaks gateway, runtime and RabbitMQ in mixed load with faults.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit status: 0 if every call is accounted for and nothing has grown, 1 otherwise."
)]
struct Cli {
    /// The time with faults; two minutes without follow
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Calls a second of all clients
    #[arg(long, default_value_t = 1500)]
    rate: u32,
    /// Seconds from the end of a fault to the next, on average
    #[arg(long, default_value_t = 8)]
    pause: u64,
    /// Repeats the faults of a run with the same seed
    #[arg(long)]
    seed: Option<u64>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The processes that a run starts.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Gateway { file: PathBuf },
    #[command(hide = true)]
    Server { config: PathBuf, port: u16 },
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let mut builder = match cli.role {
        Some(_) => runtime::Builder::new_current_thread(),
        None => runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build()?;
    match &cli.role {
        Some(Role::Gateway { file }) => runtime.block_on(serve_gateway(file))?,
        Some(Role::Server { config, port }) => runtime.block_on(server::serve(config, *port))?,
        None => return run(&cli, &runtime),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve_gateway(file: &Path) -> Result<()> {
    let running = Gateway::load(file, "gateway", &[])?.start().await?;
    tokio::select! {
        result = running.wait_for_shutdown() => drop(result?),
        result = server::report_tasks() => result?,
    }
    Ok(())
}

/// The listeners of the gateway, and the path of a call behind each.
const FRONTS: [(&str, &str, ledger::Path); 4] = [
    ("queue_tcp", "socket", ledger::Path::Queue),
    ("queue_ws", "websocket", ledger::Path::Queue),
    ("direct_tcp", "socket", ledger::Path::Stream),
    ("direct_ws", "websocket", ledger::Path::Stream),
];
const SERVERS: usize = 2;
/// Clients at each listener, at the queue itself, and at a server itself.
const CLIENTS: i32 = 8;

fn run(cli: &Cli, runtime: &runtime::Runtime) -> Result<ExitCode> {
    let seed = cli.seed.unwrap_or_else(|| fastrand::u64(..));
    println!(
        "seed {seed}, {} minutes, {} calls a second",
        cli.minutes, cli.rate
    );
    let ledger = Arc::new(Ledger::default());
    let folder = tempfile::tempdir()?;
    let (mut scene, targets) = set_up(folder.path(), &ledger)?;
    let pushes = Arc::new(AtomicU64::new(0));
    let (over, is_over) = watch::channel(false);

    let clients = targets
        .iter()
        .flat_map(|target| (0..CLIENTS).map(move |_| target));
    let rate = f64::from(cli.rate) / f64::from(CLIENTS) / f64::from(u32::try_from(targets.len())?);
    let mut running = Vec::new();
    for (number, target) in (0..).zip(clients) {
        let (ledger, pushes) = (Arc::clone(&ledger), Arc::clone(&pushes));
        let client = clients::run(
            number,
            target.clone(),
            rate,
            ledger,
            pushes,
            is_over.clone(),
        );
        running.push(runtime.spawn(client));
    }

    fastrand::seed(seed);
    let start = Instant::now();
    let end = start + Duration::from_secs(cli.minutes * 60);
    let first_third = start + Duration::from_secs(cli.minutes * 20);
    let mut report = Report::new(&ledger, &pushes, runtime, start);
    let mut after_first_third = None;
    while Instant::now() < end {
        let is_in_first_third = Instant::now() < first_third;
        let fault = Fault::random(is_in_first_third);
        println!(
            "{:6.0} s  {}",
            start.elapsed().as_secs_f32(),
            fault.happen(&mut scene)?
        );
        thread::sleep(Duration::from_secs_f32(
            cli.pause as f32 * 2.0 * fastrand::f32(),
        ));
        if !is_in_first_third && after_first_third.is_none() {
            after_first_third = Some(scene.gateway.usage()?);
        }
        report.print_each_minute(&scene)?;
    }
    println!("no more faults");
    let _ = over.send(true);
    for client in running {
        runtime.block_on(async { tokio::time::timeout(TIMEOUT * 4, client).await })???;
    }
    thread::sleep(QUIET_TIME);
    report.print(&scene)?;
    let after = scene.gateway.usage()?;
    let before = after_first_third.unwrap_or(after);
    Ok(conclude(&ledger, before, after))
}

/// Prints the result.
fn conclude(ledger: &Ledger, before: Usage, after: Usage) -> ExitCode {
    let totals = ledger.totals();
    println!(
        "\n{} calls, {} succeeded, {} second deliveries",
        totals.made, totals.succeeded, totals.repeated
    );
    for ((target, code), count) in &totals.failed {
        println!("  {target}: {code}: {count}");
    }
    println!("gateway after the first third: {before:?}\ngateway at the end: {after:?}");
    for example in ledger.examples() {
        println!("{example}");
    }
    for (violation, count) in &totals.violations {
        println!("{count} calls: {violation}");
    }
    let is_flat = after.memory <= before.memory + MEMORY_GROWTH
        && after.descriptors <= before.descriptors + COUNT_GROWTH
        && after.tasks <= before.tasks + COUNT_GROWTH;
    if totals.violations.is_empty() && is_flat {
        println!("every call is accounted for, and nothing has grown");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Starts broker, servers, gateway and the proxies between them.
fn set_up(folder: &Path, ledger: &Arc<Ledger>) -> Result<(Scene, Vec<Target>)> {
    let broker = Node::start();
    let mut proxies = Vec::new();
    let mut proxy = |name: &'static str, port: u16| {
        let proxy = FaultProxy::start(format!("127.0.0.1:{port}"));
        let port = proxy.port();
        proxies.push((name, proxy));
        port
    };
    let of_gateway = proxy("broker, of the gateway", broker.port());
    let of_servers = proxy("broker, of the servers", broker.port());
    let of_clients = proxy("broker, of the clients", broker.port());
    let server_config = folder.join("server.yml");
    let client_config = folder.join("client.yml");
    write(&server_config, &config(of_servers))?;
    write(&client_config, &config(of_clients))?;

    let mut servers = Vec::new();
    let mut hosts = Vec::new();
    for _ in 0..SERVERS {
        let port = free_port().context("no port is free")?;
        let role = ["server".to_owned(), path(&server_config), port.to_string()];
        servers.push(ChildProcess::start(&role, ledger)?);
        hosts.push(("server, of the gateway", port));
    }
    let straight = proxy("server, of clients", hosts[0].1);
    let hosts: Vec<_> = hosts
        .into_iter()
        .map(|(name, port)| format!("127.0.0.1:{}", proxy(name, port)))
        .collect();

    let mut targets = Vec::new();
    let mut listeners = String::new();
    for (name, kind, path) in FRONTS {
        let port = free_port().context("no port is free")?;
        listeners +=
            &format!("<ep name=\"{name}\" type=\"{kind}\" host=\"127.0.0.1\" port=\"{port}\"/>\n");
        let scheme = if kind == "socket" { "tcp" } else { "ws" };
        targets.push(Target {
            name,
            endpoint: format!("{scheme}://127.0.0.1:{}", proxy(name, port)),
            path,
            can_be_asked: false,
            config: None,
        });
    }
    targets.push(Target {
        name: "server",
        endpoint: format!("tcp://127.0.0.1:{straight}"),
        path: ledger::Path::Stream,
        can_be_asked: true,
        config: None,
    });
    targets.push(Target {
        name: "queue",
        endpoint: "mq:calls".to_owned(),
        path: ledger::Path::Queue,
        can_be_asked: false,
        config: Some(client_config),
    });
    let services = folder.join("services.xml");
    write(
        &services,
        &services_xml(&listeners, of_gateway, &hosts.join(",")),
    )?;
    let role = ["gateway".to_owned(), path(&services)];
    let gateway = ChildProcess::start(&role, ledger)?;
    let scene = Scene {
        proxies,
        servers,
        gateway,
        broker,
    };
    Ok((scene, targets))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn config(port: u16) -> String {
    let queue = |name: &str| {
        format!(
            "    - {{name: {name}, host: 127.0.0.1, port: {port}, type: qpid, \
             address: '{name};{{create:always,node:{{type:queue,durable:true}}}}'}}\n"
        )
    };
    format!(
        "common_defs:\n  endpoints:\n{}{}\
         server:\n  endpoints:\n    - {{name: calls, af_mode: AF_READ}}\n    - {{name: returns, af_mode: AF_WRITE}}\n\
         client:\n  endpoints:\n    - {{name: calls, af_mode: AF_WRITE}}\n",
        queue("calls"),
        queue("returns"),
    )
}

fn services_xml(listeners: &str, broker: u16, hosts: &str) -> String {
    let queue = |name: &str| {
        format!(
            "<ep name=\"{name}\" type=\"qpid\" host=\"127.0.0.1\" port=\"{broker}\" \
             address=\"{name};{{create:always,node:{{type:queue,durable:true}}}}\"/>\n"
        )
    };
    let mut rows = String::new();
    for (front, ..) in FRONTS {
        let out = if front.starts_with("queue") {
            "calls"
        } else {
            "direct"
        };
        rows += &format!("<call in=\"{front}\" out=\"{out}\"/>\n");
    }
    format!(
        "<SNS><InterfaceDef><if id=\"10\" name=\"soak.Client\"/><if id=\"11\" name=\"soak.Server\"/></InterfaceDef>\n\
         <EndPoints>{listeners}{}{}<ep name=\"direct\" type=\"socket\" host=\"{hosts}\"/></EndPoints>\n\
         <servers><server name=\"gateway\" type=\"socket server\">\n\
         <route if=\"soak.Server\">{rows}<return in=\"returns\" out=\"queue_tcp\"/>\
         <return in=\"direct\" out=\"direct_tcp\"/></route>\n\
         <route if=\"soak.Client\"><call in=\"returns\" out=\"queue_tcp\"/>\
         <call in=\"direct\" out=\"direct_tcp\"/></route>\n\
         <properties><property name=\"listen\" value=\"queue_tcp,queue_ws,direct_tcp,direct_ws,returns\"/>\
         <property name=\"loopback\" value=\"calls#returns\"/>\
         <property name=\"userid_check\" value=\"true\"/><property name=\"auth\" value=\"token\"/>\
         <property name=\"shutdown_time\" value=\"10\"/></properties></server></servers></SNS>",
        queue("calls"),
        queue("returns"),
    )
}

/// The progress, a line each minute.
struct Report<'a> {
    ledger: &'a Ledger,
    pushes: &'a AtomicU64,
    runtime: &'a runtime::Runtime,
    start: Instant,
    next: Instant,
    made: u64,
}

impl<'a> Report<'a> {
    fn new(
        ledger: &'a Ledger,
        pushes: &'a AtomicU64,
        runtime: &'a runtime::Runtime,
        start: Instant,
    ) -> Self {
        Self {
            ledger,
            pushes,
            runtime,
            start,
            next: start + Duration::from_secs(60),
            made: 0,
        }
    }

    fn print_each_minute(&mut self, scene: &Scene) -> Result<()> {
        if Instant::now() >= self.next {
            self.next += Duration::from_secs(60);
            self.print(scene)?;
        }
        Ok(())
    }

    fn print(&mut self, scene: &Scene) -> Result<()> {
        self.ledger.settle(SETTLE_TIME);
        let totals = self.ledger.totals();
        let failed: u64 = totals.failed.values().sum();
        let violations: u64 = totals.violations.values().sum();
        println!(
            "minute {:.0}: {} calls ({} new), {} succeeded, {failed} failed, {} pushes, {violations} violations",
            self.start.elapsed().as_secs_f32() / 60.0,
            totals.made,
            totals.made - self.made,
            totals.succeeded,
            self.pushes.load(Ordering::Relaxed),
        );
        self.made = totals.made;
        let tasks = self.runtime.metrics().num_alive_tasks();
        let own = Usage {
            tasks,
            ..usage_of("self")?
        };
        println!("  gateway {:?}\n  clients {own:?}", scene.gateway.usage()?);
        for server in &scene.servers {
            println!("  server  {:?}", server.usage()?);
        }
        ensure!(totals.succeeded > 0, "no call has succeeded");
        Ok(())
    }
}
