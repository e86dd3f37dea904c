//! A server in a separate process that a test can kill.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tce_runtime::{Adapter, IncomingCall, Servant};
use tce_test_rabbitmq::Node;
use tempfile::TempDir;

use crate::{common::watching::within, queues::Queues, recorder::RECORD};

/// The environment variable that makes this program a server: port, queues, log.
const SERVER: &str = "TCE_TEST_SERVER";
/// How long a call takes.
const WORK: Duration = Duration::from_millis(4);
/// The call during which a server is killed: it ends only when it is delivered
/// again.
pub(crate) const LONG: i32 = -1;

/// Writes `begin number redelivered` and `end number` for each call.
struct Logger(Arc<Mutex<File>>);

fn log(file: &Mutex<File>, line: &str) {
    file.lock()
        .unwrap()
        .write_all(line.as_bytes())
        .expect("the log is writable");
}

impl Servant for Logger {
    fn interfaces(&self) -> &[u16] {
        &[9]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        call.run(&self.0, |file, (number,): (i32,), ctx| async move {
            log(&file, &format!("begin {number} {}\n", ctx.is_redelivered()));
            if number == LONG && !ctx.is_redelivered() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(WORK).await;
            log(&file, &format!("end {number}\n"));
            (ctx, Ok(()))
        });
    }
}

/// Runs the server process until its standard input ends.
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

/// A server in a separate process.
pub(crate) struct Server {
    process: Child,
    log: PathBuf,
}

impl Server {
    pub(crate) fn start(queues: &Queues, folder: &Path, name: &str) -> Self {
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
            .args(["--exact", "process::a_separate_process_serves"])
            .env(SERVER, what)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("this program runs");
        Self { process, log }
    }

    /// Kills it without a shutdown.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        // The last line may be incomplete.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(Line::parse).collect()
    }

    pub(crate) fn has_begun(&self, number: i32) -> bool {
        self.lines().iter().any(|line| line.number == number)
    }

    pub(crate) fn executed(&self) -> usize {
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
pub(crate) struct Line {
    pub(crate) number: i32,
    pub(crate) is_end: bool,
    pub(crate) is_redelivered: bool,
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

#[test]
fn a_separate_process_serves() {
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
