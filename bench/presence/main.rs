//! Whether 100 users are on line: asked of a gateway that shares the presence of many
//! users, beside `HMGET` and `MGET` of as many keys at the same Redis server.

use std::{
    process::{Child, Command, ExitCode},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use hdrhistogram::Histogram;
use redis::aio::MultiplexedConnection;
use tce_gateway::{ErrorFormat, GatewayCommand, idl::gateway::IGatewayControlPrx};
use tce_runtime::{Adapter, Communicator, Connection, ConnectionEvent, TypedProxy};
use tce_test_redis::RedisServer;
use tokio::{sync::watch, time::timeout};

/// The users of one question.
const ASKED: usize = 100;
/// The users of one `HSET` while the data is made.
const BATCH: usize = 1000;
/// How long the gateway may take to start.
const START_TIME: Duration = Duration::from_secs(20);

/// Measures lookups of presence
#[derive(Debug, Parser)]
struct Cli {
    /// Users who are on line, at another gateway
    #[arg(long, default_value_t = 100_000)]
    users: usize,
    /// Questions of each kind, one after the other
    #[arg(long, default_value_t = 5000)]
    questions: usize,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The process that a run starts.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Gateway {
        #[command(flatten)]
        command: GatewayCommand,
    },
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(Role::Gateway { command }) = cli.role {
        return Ok(command.run(ErrorFormat::Text));
    }
    ensure!(cli.users >= ASKED, "--users is at least {ASKED}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&cli))?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(cli: &Cli) -> Result<()> {
    let redis = RedisServer::start();
    let mut connection = redis::Client::open(redis.url())?
        .get_multiplexed_async_connection()
        .await?;
    fill(&mut connection, cli.users).await?;
    let (gateway, control) = start_gateway(&redis).await?;
    println!(
        "{} users, {ASKED} of them in each question, times in µs",
        cli.users
    );
    println!("{:<24} {:>8} {:>8}", "", "p50", "p99");

    let mut picked = Picked::new(cli.users);
    let flat = async || {
        let keys: Vec<_> = picked
            .next()
            .iter()
            .map(|user| format!("flat:{user}"))
            .collect();
        let found: Vec<Option<String>> = redis::cmd("MGET")
            .arg(keys)
            .query_async(&mut connection)
            .await?;
        Ok(found.iter().flatten().count())
    };
    report("Redis MGET", cli.questions, flat).await?;
    let hashed = async || {
        let mut asking = redis::cmd("HMGET");
        asking.arg(KEY).arg(picked.next());
        let found: Vec<Option<String>> = asking.query_async(&mut connection).await?;
        Ok(found.iter().flatten().count())
    };
    report("Redis HMGET", cli.questions, hashed).await?;
    let asked = async || {
        let on_line = control.is_online(&picked.next()).await?;
        Ok(on_line.iter().filter(|is_on_line| **is_on_line).count())
    };
    report("IGatewayControl.isOnline", cli.questions, asked).await?;
    drop(gateway);
    Ok(())
}

/// Asks, and prints how long the answers took.
async fn report(
    name: &str,
    questions: usize,
    mut ask: impl AsyncFnMut() -> Result<usize>,
) -> Result<()> {
    let mut times = Histogram::<u64>::new(3)?;
    for question in 0..questions + questions / 10 {
        let began = Instant::now();
        ensure!(ask().await? == ASKED, "{name}: all are on line");
        // The first ones warm caches up.
        if question >= questions / 10 {
            times.record(u64::try_from(began.elapsed().as_nanos())?)?;
        }
    }
    let micros = |quantile: f64| times.value_at_quantile(quantile) / 1000;
    println!("{name:<24} {:>8} {:>8}", micros(0.5), micros(0.99));
    Ok(())
}

/// Chooses the users of questions, at random.
struct Picked {
    users: usize,
    random: fastrand::Rng,
}

impl Picked {
    fn new(users: usize) -> Self {
        Self {
            users,
            random: fastrand::Rng::with_seed(1),
        }
    }

    fn next(&mut self) -> Vec<String> {
        let numbers = (0..ASKED).map(|_| self.random.usize(..self.users));
        numbers.map(user).collect()
    }
}

fn user(number: usize) -> String {
    format!("user{number:06}")
}

/// The key of a gateway that does not run.
const KEY: &str = "tce:gateway:other:0000000000000001";

/// Writes what a gateway with these users would, and a key for each user.
async fn fill(connection: &mut MultiplexedConnection, users: usize) -> Result<()> {
    let record = r#"{"name":"other","queue":"","users":0,"sessions":0}"#;
    let mut gateway = redis::pipe();
    gateway.cmd("HSET").arg(KEY).arg("").arg(record).ignore();
    let list = gateway.cmd("SADD").arg("tce:gateways");
    list.arg("other:0000000000000001").ignore();
    gateway.exec_async(connection).await?;
    for first in (0..users).step_by(BATCH) {
        let mut batch = redis::pipe();
        for number in first..users.min(first + BATCH) {
            let user = user(number);
            let session = format!(
                r#"[{{"c":"other-0000000000000001-{number}","a":"10.0.0.1:40000","e":"clients","s":1700000000000}}]"#
            );
            batch.cmd("HSET").arg(KEY).arg(&user).arg(&session).ignore();
            batch
                .cmd("SET")
                .arg(format!("flat:{user}"))
                .arg(&session)
                .ignore();
        }
        batch.exec_async(connection).await?;
    }
    Ok(())
}

/// A process that is killed when this value is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a gateway that connects to a server in this process. Returns the server's proxy
/// to it, once it knows the users in Redis.
async fn start_gateway(redis: &RedisServer) -> Result<(Running, IGatewayControlPrx)> {
    let communicator = Communicator::new();
    let adapter = Adapter::listen(&communicator, "tcp://127.0.0.1:0").await?;
    let (connected, mut gateways) = watch::channel(None::<Connection>);
    let connected = Arc::new(connected);
    adapter.on_event(move |connection, event| {
        if *event == ConnectionEvent::Connected {
            connected.send_replace(Some(connection.clone()));
        }
    });
    adapter.start();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("services.xml");
    std::fs::write(&file, services(adapter.endpoint().port, &redis.url()))?;
    let gateway = Command::new(std::env::current_exe()?)
        .arg("gateway")
        .arg(&file)
        .arg("gw")
        .spawn()?;
    let gateway = Running(gateway);
    let waiting = timeout(START_TIME, gateways.wait_for(Option::is_some)).await;
    let connection = waiting.context("the gateway connects")??.clone();
    let connection = connection.context("the gateway is connected")?;
    let control = IGatewayControlPrx::new(&connection);
    let began = Instant::now();
    while control
        .is_online(&[user(0)])
        .await
        .map_or(true, |it| !it[0])
    {
        ensure!(began.elapsed() < START_TIME, "the gateway reaches Redis");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((gateway, control))
}

fn services(port: u16, redis: &str) -> String {
    format!(
        r#"<SNS>
    <InterfaceDef><if id="2" name="test.Server"/></InterfaceDef>
    <EndPoints>
        <ep name="clients" type="socket" host="127.0.0.1" port="0"/>
        <ep name="server" type="socket" host="127.0.0.1" port="{port}"/>
    </EndPoints>
    <servers><server name="gw">
        <route if="test.Server"><call in="clients" out="server"/></route>
        <properties>
            <property name="listen" value="clients"/>
            <property name="presence" value="redis"/>
            <property name="redis" value="{redis}"/>
            <property name="log" value="error"/>
        </properties>
    </server></servers>
</SNS>
"#
    )
}
