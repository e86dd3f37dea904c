//! Calls of jobs, and what the server tells.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tce_flow::idl::flow::{FlowJobsPrx, FlowQueryPrx, FlowWatcher, FlowWatcherServant, Job, Row};
use tce_runtime::{Communicator, Context, Fault, TypedProxy};
use tokio::sync::mpsc;

use super::peer::{Kind, Peer};
use super::{Delays, Result, SPAN};

const WATCHERS: usize = 50;
const CHANGES: i32 = 60;
const WAIT_CONNECTIONS: usize = 50;
const WAITS: usize = 10_000;

/// A server with an active task `/s/t`, whose meter `m` goes to a million; and its job.
fn active_task(kind: Kind) -> Result<(Peer, Job)> {
    let peer = Peer::start(kind)?;
    peer.write("s/t.ecf", "%ECF_PASS%\n")?;
    let home = peer.home();
    peer.load(&format!(
        "suite s\n edit ECF_HOME '{home}'\n edit ECF_JOB_CMD true\n task t\n  meter m 0 1000000\nendsuite\n"
    ))?;
    peer.client(&["--begin=s"])?;
    let job = Job {
        path: "/s/t".to_owned(),
        password: peer
            .read("s/t.job1", 1)
            .or_else(|_| peer.read("s/t.job1", 0))?
            .trim()
            .to_owned(),
        rid: "7".to_owned(),
        try_no: 1,
        host: "here".to_owned(),
    };
    Ok((peer, job))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

async fn jobs(communicator: &Communicator, peer: &Peer) -> Result<FlowJobsPrx> {
    let endpoint = format!("tcp://127.0.0.1:{}", peer.port());
    Ok(FlowJobsPrx::connect(communicator, &endpoint).await?)
}

/// Child commands a second, each of which changes a meter.
pub(crate) fn child_rate(kind: Kind, connections: usize) -> Result<f64> {
    let (peer, job) = active_task(kind)?;
    match kind {
        Kind::Tce => runtime()?.block_on(own_rate(&peer, &job, connections)),
        Kind::Ecflow => ecflow_rate(&peer, &job, connections.min(4)),
    }
}

async fn own_rate(peer: &Peer, job: &Job, connections: usize) -> Result<f64> {
    let communicator = Communicator::new();
    let first = jobs(&communicator, peer).await?;
    first.started(job, &[]).await?;
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        // Each has a communicator, and so a connection, of its own.
        let communicator = Communicator::new();
        let proxy = jobs(&communicator, peer).await?;
        let job = job.clone();
        tasks.spawn(async move {
            let _communicator = communicator;
            let mut calls = 0_u32;
            while start.elapsed() < SPAN {
                let value = i32::try_from(calls % 1_000_000).unwrap_or(0);
                let reply = proxy.set_meter(&job, "m", value).await;
                if reply.is_ok_and(|reply| reply.code == 0) {
                    calls += 1;
                }
            }
            calls
        });
    }
    let mut calls = 0;
    while let Some(count) = tasks.join_next().await {
        calls += count?;
    }
    Ok(f64::from(calls) / start.elapsed().as_secs_f64())
}

/// The same with as many clients in Python.
fn ecflow_rate(peer: &Peer, job: &Job, clients: usize) -> Result<f64> {
    let program = format!(
        "import ecflow, time
c = ecflow.Client('localhost', '{}')
c.set_child_path('{}'); c.set_child_password('{}'); c.set_child_pid('7'); c.set_child_try_no(1)
c.child_init()
n, end = 0, time.time() + {}
while time.time() < end:
    c.child_meter('m', n % 1000000); n += 1
print(n)",
        peer.port(),
        job.path,
        job.password,
        SPAN.as_secs()
    );
    let clients: std::io::Result<Vec<_>> = (0..clients)
        .map(|_| {
            let mut client = Command::new("/usr/bin/python3");
            client.args(["-c", &program]).stdout(Stdio::piped()).spawn()
        })
        .collect();
    let mut calls = 0.0;
    for client in clients? {
        let output = client.wait_with_output()?;
        let count = String::from_utf8(output.stdout)?;
        calls += count
            .trim()
            .parse::<f64>()
            .map_err(|_| "python3-ecflow is missing")?;
    }
    Ok(calls / SPAN.as_secs_f64())
}

struct Watch(mpsc::Sender<()>);

impl FlowWatcher for Watch {
    async fn on_change(&self, _: Vec<Row>, _: i64, _: &Context) -> std::result::Result<(), Fault> {
        // The measurement has ended.
        let _ = self.0.send(()).await;
        Ok(())
    }

    async fn on_reset(&self, _: i64, _: &Context) -> std::result::Result<(), Fault> {
        Ok(())
    }
}

/// From the call that changes a meter to the news of it at each of [`WATCHERS`] clients.
pub(crate) fn pushes() -> Result<Delays> {
    let (peer, job) = active_task(Kind::Tce)?;
    runtime()?.block_on(async {
        let communicator = Communicator::new();
        let proxy = jobs(&communicator, &peer).await?;
        proxy.started(&job, &[]).await?;
        let (sender, mut news) = mpsc::channel(WATCHERS);
        let endpoint = format!("tcp://127.0.0.1:{}", peer.port());
        let mut watchers = Vec::new();
        for _ in 0..WATCHERS {
            let communicator = Communicator::new();
            let query = FlowQueryPrx::connect(&communicator, &endpoint).await?;
            let servant = FlowWatcherServant::new(Watch(sender.clone()));
            query.connection().add_servant(servant);
            query.watch("/s", -1).await?;
            watchers.push((communicator, query));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        while news.try_recv().is_ok() {}
        let mut delays = Vec::new();
        for value in 0..CHANGES {
            let start = Instant::now();
            proxy.set_meter(&job, "m", value + 1).await?;
            for _ in 0..WATCHERS {
                let told = tokio::time::timeout(Duration::from_secs(5), news.recv()).await?;
                told.ok_or("no watcher")?;
                delays.push(start.elapsed().as_secs_f64() * 1000.0);
            }
        }
        Delays::new(delays)
    })
}

/// What [`WAITS`] calls of `wait` that are not true cost the server, in percent of a core.
pub(crate) fn cost_of_waits() -> Result<f64> {
    let (peer, job) = active_task(Kind::Tce)?;
    runtime()?.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..WAIT_CONNECTIONS {
            let communicator = Communicator::new();
            let proxy = jobs(&communicator, &peer).await?;
            proxy.started(&job, &[]).await?;
            for _ in 0..WAITS / WAIT_CONNECTIONS {
                let (proxy, job) = (proxy.clone(), job.clone());
                let communicator = communicator.clone();
                tasks.spawn(async move {
                    let _communicator = communicator;
                    proxy.wait_for(&job, "/s/t == complete").await
                });
            }
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        let (before, start) = (peer.processor()?, Instant::now());
        tokio::time::sleep(Duration::from_secs(10)).await;
        let used = peer.processor()? - before;
        if tasks.try_join_next().is_some() {
            return Err("a wait has ended".into());
        }
        Ok(used / start.elapsed().as_secs_f64() * 100.0)
    })
}
