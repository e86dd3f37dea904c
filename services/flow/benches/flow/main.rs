//! Measures the workflow server, and ecFlow beside it where it is installed:
//! `cargo bench -p tce-flow --bench flow`. It takes about two minutes, on a machine that does nothing else.
//!
//! ecFlow's one-connection rate is that of a client in Python, its fastest one: packages
//! `ecflow-server`, `ecflow-client` and `python3-ecflow`.

mod peer;
mod calls;
mod jobs;

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use peer::{Kind, Peer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many tasks are loaded.
const TASKS: usize = 10_000;
/// How long a rate is measured.
const SPAN: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let is_there = ["/usr/bin/ecflow_server", "/usr/sbin/ecflow_server"];
    let has_ecflow = is_there
        .iter()
        .any(|path| std::path::Path::new(path).exists());
    println!("{:<52}{:>14}{:>14}", "", "tce-flow", "ecFlow");
    println!("{:<52}{:>14.0}", "syncs of the disk a second", sync_rate()?);
    let mut kinds = vec![Kind::Tce];
    kinds.extend(has_ecflow.then_some(Kind::Ecflow));
    let trees = each(&kinds, tree)?;
    row("load and begin of 10,000 tasks, ms", &trees, |tree| {
        tree.load
    });
    row("get_state of them, ms", &trees, |tree| tree.get_state);
    row("restart with them, ms", &trees, |tree| tree.restart);
    row("memory a task, bytes", &trees, |tree| tree.memory);
    let rates = each(&kinds, |kind| calls::child_rate(kind, 1))?;
    row("child commands a second, 1 connection", &rates, |rate| {
        *rate
    });
    let rates = each(&kinds, |kind| calls::child_rate(kind, 64))?;
    row(
        "child commands a second, 64 (ecFlow: 4) connections",
        &rates,
        |rate| *rate,
    );
    let delays = each(&kinds, jobs::successor_delays)?;
    row(
        "complete answered to successor started, median ms",
        &delays,
        |delays| delays.median,
    );
    row(
        "complete answered to successor started, p99 ms",
        &delays,
        |delays| delays.p99,
    );
    let pushes = calls::pushes()?;
    println!(
        "{:<52}{:>14.1}",
        "a change to 50 watchers, p99 ms", pushes.p99
    );
    println!(
        "{:<52}{:>14.2}",
        "processor for 10,000 waits, % of a core",
        calls::cost_of_waits()?
    );
    Ok(())
}

fn each<T>(kinds: &[Kind], measure: impl Fn(Kind) -> Result<T>) -> Result<Vec<T>> {
    kinds.iter().map(|kind| measure(*kind)).collect()
}

fn row<T>(name: &str, values: &[T], value: impl Fn(&T) -> f64) {
    print!("{name:<52}");
    for one in values {
        print!("{:>14.1}", value(one));
    }
    println!();
}

/// How often the disk of the temporary folder syncs what was appended to a file.
fn sync_rate() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("file"))?;
    let start = Instant::now();
    let mut syncs = 0_u32;
    while start.elapsed() < SPAN / 2 {
        file.write_all(&[0; 512])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / start.elapsed().as_secs_f64())
}

/// What a tree of [`TASKS`] costs.
struct Tree {
    load: f64,
    get_state: f64,
    restart: f64,
    memory: f64,
}

fn tree(kind: Kind) -> Result<Tree> {
    let mut peer = Peer::start(kind)?;
    let mut definition = format!(
        "suite s\n edit ECF_HOME '{}'\n defstatus suspended\n",
        peer.home()
    );
    for family in 0..TASKS / 100 {
        definition += &format!(" family f{family}\n");
        for task in 0..100 {
            definition += &format!("  task t{task}\n   edit V {task}\n   event e\n");
            if task > 0 {
                definition += &format!("   trigger t{} == complete\n", task - 1);
            }
        }
        definition += " endfamily\n";
    }
    let before = peer.memory()?;
    let start = Instant::now();
    peer.load(&(definition + "endsuite\n"))?;
    peer.client(&["--begin=s"])?;
    let load = milliseconds(start);
    let memory = (peer.memory()? - before) / TASKS as f64;
    let start = Instant::now();
    peer.client(&["--get_state=/s"])?;
    let get_state = milliseconds(start);
    peer.client(&["--check_pt"])?;
    let start = Instant::now();
    peer.restart()?;
    peer.client(&["--query", "state", "/s"])?;
    let restart = milliseconds(start);
    Ok(Tree {
        load,
        get_state,
        restart,
        memory,
    })
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// The middle, and what all but a hundredth stay below, in ms.
struct Delays {
    median: f64,
    p99: f64,
}

impl Delays {
    fn new(mut delays: Vec<f64>) -> Result<Self> {
        delays.sort_by(f64::total_cmp);
        let at =
            |hundredths: usize| delays.get((delays.len() * hundredths / 100).min(delays.len() - 1));
        match (at(50), at(99)) {
            (Some(median), Some(p99)) => Ok(Self {
                median: *median,
                p99: *p99,
            }),
            _ => Err("nothing was measured".into()),
        }
    }
}
