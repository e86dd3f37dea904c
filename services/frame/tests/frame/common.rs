//! Agents as processes on one machine, their packages, and a client.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rmpv::Value;
use tce_frame::idl::frame::{FunctionsPrx, ManagementMulti};
use tce_runtime::{
    Communicator, Replies, RpcError, TypedMulti as _, TypedProxy as _,
    config::{MqConfig, Options},
};
use tce_test_rabbitmq::Node;

pub(crate) const SETTING: &str = "type: service
service_base_name: calculate
version: 1.0
publish:
 - add
 - minus
 - slow
 - fail
idempotent: [minus]
";
pub(crate) const CODE: &str = "import os, time

VERSION = 1

def add(a, b):
    return a + b

def minus(a, b):
    time.sleep(0.3)
    return a - b

def slow(path, seconds):
    with open(path, 'a') as file:
        file.write('begun\\n')
    time.sleep(seconds)
    return VERSION

def fail(kind):
    if kind == 'die':
        os._exit(3)
    if kind == 'set':
        return {1}
    return 1 / 0
";

/// A namespace with its folders; each agent has a machine of its own there.
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) root: tempfile::TempDir,
    pub(crate) uri: String,
}

pub(crate) fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

impl Namespace {
    pub(crate) fn new(name: &str) -> Self {
        Self::at(Node::shared(), name)
    }

    pub(crate) fn at(node: &Node, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            root: tempfile::tempdir().expect("a folder"),
            uri: format!("amqp://guest:guest@127.0.0.1:{}/%2f", node.port()),
        }
    }

    /// A machine with the package `calculate`.
    pub(crate) fn machine(&self, name: &str) -> PathBuf {
        let folder = self.root.path().join(name);
        write(&folder, "calculate_service/setting.yaml", SETTING);
        write(&folder, "calculate_service/__init__.py", CODE);
        write(
            &folder,
            "frame.yaml",
            "# packages\npath:\n  - ./calculate_service  # the only one\n",
        );
        folder
    }

    /// Starts the agent of a machine, and returns once it is ready.
    pub(crate) fn start(&self, machine: &Path) -> AgentProcess {
        let log = machine.join("agent.log");
        let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../runtimes/python/src");
        let child = Command::new(env!("CARGO_BIN_EXE_tce-frame"))
            .args(["agent", "--namespace", &self.name, "--conf"])
            .arg(machine.join("frame.yaml"))
            .env("TCE_FRAME_AMQP", &self.uri)
            .env("PYTHONPATH", python)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stderr(File::create(&log).expect("a log"))
            .stdout(Stdio::null())
            .spawn()
            .expect("the agent starts");
        let mut agent = AgentProcess {
            child,
            log,
            id: String::new(),
        };
        let ready = agent.wait_for("the agent is ready");
        let id = ready.rsplit_once("agent=").expect("an id").1;
        agent.id = id.trim().trim_matches('"').to_owned();
        agent
    }

    pub(crate) async fn client(&self) -> Client {
        let port = self
            .uri
            .split(':')
            .nth(3)
            .and_then(|rest| rest.split('/').next());
        let port = port.expect("a port");
        let name = &self.name;
        let login = self.uri.trim_start_matches("amqp://").split('@').next();
        let (user, password) = login
            .and_then(|login| login.split_once(':'))
            .expect("a login");
        let config = format!(
            "
client:
  endpoints:
    - {{name: commands, host: 127.0.0.1, port: {port}, address: 'tce.frame.{name}.commands;{{create:always,node:{{type:topic,durable:true}}}}', type: qpid, user: {user}, password: {password}, af_mode: AF_WRITE}}
    - {{name: calculate, host: 127.0.0.1, port: {port}, address: 'tce.frame.{name}.service.calculate', type: qpid, user: {user}, password: {password}, af_mode: AF_WRITE}}
"
        );
        let config = MqConfig::parse(&config, "client", "client").expect("a configuration");
        let options = Options {
            names_broker_user: true,
            ..Options::default()
        };
        let communicator = Communicator::with_options(options);
        communicator.open_mq(config).await.expect("the broker");
        Client {
            all: ManagementMulti::connect(&communicator, "mq:commands")
                .await
                .expect("the topic"),
            functions: FunctionsPrx::connect(&communicator, "mq:calculate")
                .await
                .expect("the queue"),
            _communicator: communicator,
        }
    }
}

/// A running agent; killed when it is dropped.
pub(crate) struct AgentProcess {
    pub(crate) child: Child,
    log: PathBuf,
    pub(crate) id: String,
}

impl AgentProcess {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }

    /// The first line of the log with a text.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let ended = self.child.try_wait().expect("a status");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "no `{text}` ({ended:?}) in:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        let status = self.child.wait().expect("a status");
        assert!(status.success(), "{status}: {}", self.log());
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log());
        }
    }
}

pub(crate) struct Client {
    pub(crate) all: ManagementMulti,
    pub(crate) functions: FunctionsPrx,
    _communicator: Communicator,
}

pub(crate) fn packed(args: Vec<Value>, kwargs: Vec<(Value, Value)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let value = Value::Array(vec![Value::Array(args), Value::Map(kwargs)]);
    rmpv::encode::write_value(&mut bytes, &value).expect("packed");
    bytes
}

impl Client {
    pub(crate) async fn call(
        &self,
        name: &str,
        args: Vec<Value>,
        seconds: u64,
    ) -> Result<Value, RpcError> {
        let functions = self.functions.with_timeout(Duration::from_secs(seconds));
        let result = functions.call(name, &packed(args, Vec::new())).await?;
        Ok(rmpv::decode::read_value(&mut result.as_slice()).expect("MessagePack"))
    }

    pub(crate) fn wait(&self, seconds: u64) -> ManagementMulti {
        self.all.with_timeout(Duration::from_secs(seconds))
    }
}

/// The values of all agents, all of which have to answer.
pub(crate) fn values<T: std::fmt::Debug>(
    replies: Result<Replies<T>, RpcError>,
) -> std::collections::BTreeMap<String, T> {
    let replies = replies.expect("replies");
    assert!(
        replies.failures.is_empty() && replies.missing.is_empty(),
        "{replies:?}"
    );
    replies.values
}
