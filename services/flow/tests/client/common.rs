//! One server for all tests, and clients that run in this process.

use std::collections::HashMap;
use std::io::BufRead;
use std::pin::Pin;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use tce_flow::client::console::{Console, Environment};
use tce_flow::client::{ecflow, takler};
use tce_flow::machine::Effect;
use tce_flow::runner::{Order, Runner, RunnerLink};
use tce_flow::server::{Server, ServerOptions};

/// How long a test waits for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The port of the server of all tests.
pub(crate) static PORT: LazyLock<String> = LazyLock::new(|| start("tcp://127.0.0.1:0"));

/// The passwords of the jobs that servers have started, by path.
static PASSWORDS: Mutex<Option<HashMap<String, String>>> = Mutex::new(None);

/// Keeps the passwords of jobs for the tests, which play them.
struct Stage;

impl Runner for Stage {
    fn run(self: Box<Self>, mut link: RunnerLink) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            while let Some(order) = link.orders.recv().await {
                if let Order::Effect(Effect::Submit { path, password, .. }) = order {
                    let mut passwords = PASSWORDS.lock().unwrap();
                    passwords
                        .get_or_insert_default()
                        .insert(path, password.into());
                }
            }
        })
    }
}

/// The password of the job of a task.
pub(crate) fn password(path: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let known = PASSWORDS
            .lock()
            .unwrap()
            .as_ref()
            .and_then(|all| all.get(path).cloned());
        if let Some(password) = known {
            return password;
        }
        assert!(Instant::now() < end, "{path} is not started");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a server that ends with the tests; gives its port.
pub(crate) fn start(endpoint: &str) -> String {
    let mut options = ServerOptions::new(&std::env::temp_dir(), endpoint);
    options.runner = Box::new(Stage);
    let (sender, port) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let server = Server::start(options).await.unwrap();
            sender.send(server.endpoints()[0].port.to_string()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    port.recv_timeout(PATIENCE).unwrap()
}

/// What a client has left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// A success that has written nothing to standard error; its standard output.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// A failure; its standard error.
    #[track_caller]
    pub(crate) fn error(self) -> String {
        assert_eq!(self.code, 1, "{}{}", self.out, self.err);
        self.err
    }
}

/// Runs `ecflow_client` with `variables` as its environment.
pub(crate) fn ecflow_in(variables: &[(&str, &str)], words: &[&str], input: &str) -> Run {
    let environment: Environment = variables.iter().copied().collect();
    client(ecflow::run, &environment, words, input)
}

/// Runs `ecflow_client` on the server of all tests.
pub(crate) fn ecflow(words: &[&str]) -> Run {
    ecflow_in(&[("ECF_PORT", PORT.as_str())], words, "")
}

/// Runs `takler_client` with `variables` as its environment.
pub(crate) fn takler_in(variables: &[(&str, &str)], words: &[&str]) -> Run {
    let environment: Environment = variables.iter().copied().collect();
    client(takler::run, &environment, words, "")
}

/// Runs `takler_client` on the server of all tests.
pub(crate) fn takler(words: &[&str]) -> Run {
    takler_in(&[("TAKLER_PORT", PORT.as_str())], words)
}

fn client(
    run: impl FnOnce(&[String], &Environment, &mut Console<'_>) -> std::io::Result<u8>,
    environment: &Environment,
    words: &[&str],
    input: &str,
) -> Run {
    let words: Vec<_> = words.iter().map(ToString::to_string).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut input = input.as_bytes();
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        input: &mut input as &mut dyn BufRead,
    };
    let code = run(&words, environment, &mut console).unwrap();
    Run {
        code,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// Loads and begins a definition.
pub(crate) fn begin(name: &str, definition: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.def");
    std::fs::write(&file, definition).unwrap();
    assert_eq!(ecflow(&["--load", file.to_str().unwrap()]).text(), "");
    assert_eq!(ecflow(&["--begin", name]).text(), "");
}

/// The value of a query.
pub(crate) fn query(kind: &str, path: &str) -> String {
    ecflow(&["--query", kind, path])
        .text()
        .trim_end()
        .to_owned()
}

/// Makes a text equal for all runs: the port, times and durations.
pub(crate) fn settled(text: &str) -> String {
    text.replace(PORT.as_str(), "PORT")
}
