//! Oneway calls at a steady rate from two senders to two servers, while the
//! broker, a server and a sender's connection die. What was accepted is
//! executed.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use tce_runtime::{Adapter, IncomingCall, Proxy, Servant};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{common::watching::within, node::Node, queues::Queues, recorder::RECORD, wire::Wire};

/// What tells a process that it is a server: its queue, its port, its log.
const SERVER: &str = "TCE_TEST_SERVER";
/// How often a sender calls.
const PACE: Duration = Duration::from_millis(5);
/// How long a call takes.
const WORK: Duration = Duration::from_millis(4);
/// How many calls are to be executed between two misfortunes.
const ROUND: usize = 200;

/// Writes `begin number redelivered` and `end number` for each call.
struct Logger(Arc<Mutex<File>>);

fn log(file: &Mutex<File>, line: &str) {
    file.lock()
        .unwrap()
        .write_all(line.as_bytes())
        .expect("the log is writable");
}

impl Servant for Logger {
    fn interfaces(&self) -> &'static [u16] {
        &[9]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        call.run(&self.0, |file, (number,): (i32,), ctx| async move {
            log(&file, &format!("begin {number} {}\n", ctx.is_redelivered()));
            tokio::time::sleep(WORK).await;
            log(&file, &format!("end {number}\n"));
            (ctx, Ok(()))
        });
    }
}

/// What the server process does until its standard input ends.
fn serve(what: &str) {
    let words: Vec<_> = what.split(' ').collect();
    let [port, calls, replies, path] = words[..] else {
        panic!("{what}");
    };
    let queues = Queues {
        calls: calls.to_owned(),
        replies: replies.to_owned(),
        ..Queues::at(port.parse().unwrap())
    };
    let log = OpenOptions::new().append(true).open(path).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _adapter = runtime.block_on(async {
        let communicator = queues.open("reader").await;
        let adapter = Adapter::listen(&communicator, &queues.endpoint()).await;
        let adapter = adapter.unwrap();
        adapter
            .add_servant(Logger(Arc::new(Mutex::new(log))))
            .start();
        adapter
    });
    let _ = std::io::stdin().read(&mut [0]);
}

/// A server in a process of its own.
struct Server {
    process: Child,
    log: PathBuf,
}

impl Server {
    fn start(queues: &Queues, folder: &Path, name: &str) -> Self {
        let log = folder.join(name);
        File::create(&log).unwrap();
        let Queues {
            port,
            calls,
            replies,
            ..
        } = queues;
        let what = format!("{port} {calls} {replies} {}", log.display());
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "steady::a_process_of_its_own_serves"])
            .env(SERVER, what)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("this program runs");
        Self { process, log }
    }

    /// Ends it as a power failure would.
    fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        // The last line may be written just now.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(Line::parse).collect()
    }

    fn executed(&self) -> usize {
        let lines = self.lines();
        lines.iter().filter(|line| line.is_end).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Debug, Clone, Copy)]
struct Line {
    number: i32,
    is_end: bool,
    is_redelivered: bool,
}

impl Line {
    fn parse(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        Self {
            number: words[1].parse().unwrap(),
            is_end: words[0] == "end",
            is_redelivered: words.get(2) == Some(&"true"),
        }
    }
}

/// Waits until the servers have executed so many calls more.
async fn progress(servers: &[&Server]) {
    let executed = || -> usize { servers.iter().map(|server| server.executed()).sum() };
    let goal = executed() + ROUND;
    within(async {
        while executed() < goal {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A call that was accepted, and when it was under way.
#[derive(Debug, Clone, Copy)]
struct Accepted {
    number: i32,
    from: Instant,
    to: Instant,
}

/// Calls until it is told to stop; returns what was accepted.
async fn send(proxy: Proxy, next: Arc<AtomicI32>, stop: Arc<AtomicBool>) -> Vec<Accepted> {
    let mut calls = JoinSet::new();
    let mut pace = tokio::time::interval(PACE);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let proxy = proxy.clone();
        calls.spawn(async move {
            let from = Instant::now();
            let result = proxy.oneway(&RECORD, (number,)).await;
            let to = Instant::now();
            result.is_ok().then_some(Accepted { number, from, to })
        });
    }
    within(calls.join_all())
        .await
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn a_process_of_its_own_serves() {
    if let Ok(what) = std::env::var(SERVER) {
        return serve(&what);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let queues = Queues::at(Node::shared().port());
        let folder = TempDir::new().unwrap();
        let server = Server::start(&queues, folder.path(), "log");
        let client = queues.open("writer").await;
        let proxy = queues.proxy(&client).await;
        within(proxy.call::<_, ()>(&RECORD, (7,))).await.unwrap();
        assert_eq!(server.executed(), 1);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_call_is_executed_whoever_dies() {
    let mut node = Node::start();
    let folder = TempDir::new().unwrap();
    let queues = Queues::at(node.port());
    let wire = Wire::to(node.port()).await;
    let by_wire = Queues {
        port: wire.port(),
        ..queues.clone()
    };
    let mut first = Server::start(&queues, folder.path(), "first");
    let second = Server::start(&queues, folder.path(), "second");
    let (next, stop) = (Arc::default(), Arc::<AtomicBool>::default());
    let mut senders = JoinSet::new();
    for queues in [&queues, &by_wire] {
        let client = queues.open("writer").await;
        let proxy = queues.proxy(&client).await;
        senders.spawn(send(proxy, Arc::clone(&next), Arc::clone(&stop)));
    }

    progress(&[&first, &second]).await;
    first.kill();
    let third = Server::start(&queues, folder.path(), "third");
    progress(&[&second, &third]).await;
    let mut outages = vec![(Instant::now(), Instant::now())];
    wire.cut().await;
    wire.connections(2).await;
    progress(&[&second, &third]).await;
    let down = Instant::now();
    let node = tokio::task::spawn_blocking(move || {
        node.kill();
        node.restart();
        node
    });
    let node = node.await.unwrap();
    outages.push((down, Instant::now()));
    progress(&[&second, &third]).await;
    stop.store(true, Ordering::Relaxed);
    let accepted = senders.join_all().await.concat();

    let executed = || {
        let servers = [&first, &second, &third];
        let lines = servers.into_iter().flat_map(Server::lines);
        let mut executed: BTreeMap<i32, Vec<Line>> = BTreeMap::new();
        for line in lines {
            executed.entry(line.number).or_default().push(line);
        }
        executed
    };
    let is_executed = |executed: &BTreeMap<i32, Vec<Line>>, number: i32| {
        let lines = executed.get(&number);
        lines.is_some_and(|lines| lines.iter().any(|line| line.is_end))
    };
    within(async {
        loop {
            let executed = executed();
            let mut numbers = accepted.iter().map(|call| call.number);
            if numbers.all(|number| is_executed(&executed, number)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(accepted.len() > 4 * ROUND, "{}", accepted.len());

    // A call that was begun twice is marked, or was under way when the way to
    // the broker was lost, and sent again since nobody knew.
    let calls: BTreeMap<_, _> = accepted.iter().map(|call| (call.number, call)).collect();
    let mut again = 0;
    for (number, lines) in executed() {
        let begun: Vec<_> = lines.into_iter().filter(|line| !line.is_end).collect();
        let unmarked = begun.iter().filter(|line| !line.is_redelivered).count();
        again += begun.len() - unmarked;
        if unmarked > 1 {
            let call = calls[&number];
            let hit = |(from, to): &(Instant, Instant)| call.from <= *to && call.to >= *from;
            assert!(outages.iter().any(hit), "{number}: {begun:?}");
        }
    }
    // The first server was killed in the middle of calls.
    let lines = first.lines();
    let cut_short = lines.iter().filter(|begin| {
        let is_ended = |end: &Line| end.is_end && end.number == begin.number;
        !begin.is_end && !lines.iter().any(is_ended)
    });
    assert!(
        cut_short.count() > 0,
        "it was killed in the middle of a call"
    );
    assert!(again > 0, "and what it had begun was marked");
    drop(node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_outlive_the_broker() {
    let mut node = Node::start();
    let queues = Queues::at(node.port());
    let _server = queues.serve("server").await;
    let client = queues.open("client").await;
    let proxy = queues.proxy(&client).await;
    crate::common::probe::works(&proxy).await;
    let node = tokio::task::spawn_blocking(move || {
        node.kill();
        node.restart();
        node
    });
    let mut failed = 0;
    let hasty = proxy.with_timeout(Duration::from_secs(2));
    let start = Instant::now();
    loop {
        let begun = Instant::now();
        let echo = &crate::common::probe::ECHO;
        let answer: Result<String, _> = hasty.call(echo, ("still there",)).await;
        match answer {
            Ok(_) if failed > 0 => break,
            Ok(_) => {}
            Err(error) => {
                failed += 1;
                assert!(error.can_retry(), "{error}");
                assert!(begun.elapsed() < Duration::from_secs(3));
            }
        }
        assert!(start.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(node.await.unwrap());
}
