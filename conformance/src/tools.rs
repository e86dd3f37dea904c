//! What testees need before they start: packages, bundles, certificates, a broker.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use tce_test_rabbitmq::Node;
use tempfile::TempDir;
use tokio::process::Command;

use crate::matrix::Peer;

/// The generated code of all languages, from `build.rs`.
const GENERATED: &str = env!("OUT_DIR");
const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// Where everything is that testees are made of.
pub(crate) struct Tools {
    root: PathBuf,
    python: PathBuf,
    bundles: PathBuf,
    /// PEM files of a certificate for `localhost`.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    broker: Option<Node>,
    folder: TempDir,
}

/// Why a tool is missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    #[error("{command}: {reason}")]
    Command { command: String, reason: String },
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error("no certificate can be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl Tools {
    /// Prepares what these languages need; packages are installed on first use.
    pub(crate) async fn prepare(languages: &[Peer], needs_mq: bool) -> Result<Self, ToolError> {
        let root = PathBuf::from(CRATE).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR");
        let target = target.map_or_else(|| root.join("target"), PathBuf::from);
        let folder = TempDir::new()?;
        let (certificate, key) = certificate(folder.path())?;
        let tools = Self {
            python: target.join("python-venv/bin/python"),
            bundles: target.join("conformance"),
            root,
            certificate,
            key,
            broker: None,
            folder,
        };
        let has = |language| languages.contains(&language);
        let broker = tokio::task::spawn_blocking(move || needs_mq.then(Node::start));
        copy_generated()?;
        if has(Peer::Python) {
            tools.install_python(&target).await?;
        }
        if has(Peer::TypeScript) || has(Peer::Browser) {
            tools.bundle_typescript().await?;
        }
        let broker = broker.await.map_err(std::io::Error::other)?;
        Ok(Self { broker, ..tools })
    }

    /// The command that starts a testee.
    pub(crate) fn testee(&self, peer: Peer) -> std::io::Result<Command> {
        let script = |name: &str| self.bundles.join(name);
        Ok(match peer {
            Peer::Rust | Peer::Wire => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("testee");
                command
            }
            Peer::Python => {
                let mut command = Command::new(&self.python);
                command.env("PYTHONPATH", self.root.join("runtimes/python/src"));
                command.arg(Path::new(CRATE).join("python/testee.py"));
                command
            }
            Peer::TypeScript => {
                let mut command = Command::new("node");
                command.arg(script("node.mjs"));
                command
            }
            Peer::Browser => {
                let mut command = Command::new("node");
                command.arg(script("browser.mjs"));
                command.arg(script("page.js"));
                command
            }
        })
    }

    /// The port of the broker on 127.0.0.1.
    pub(crate) fn broker_port(&self) -> u16 {
        self.broker.as_ref().map_or(0, Node::port)
    }

    /// A folder for the files of this run.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder whose packages the testee for TypeScript is made of.
    fn packages(&self) -> PathBuf {
        self.root.join("runtimes/typescript")
    }

    /// The virtual environment that `scripts/test.sh` makes as well.
    async fn install_python(&self, target: &Path) -> Result<(), ToolError> {
        // An installation that was interrupted is repeated.
        let mut check = Command::new(&self.python);
        check.args(["-c", "import aio_pika, websockets, yaml"]);
        if run(&mut check).await.is_ok() {
            return Ok(());
        }
        let environment = target.join("python-venv");
        let mut make = Command::new("python3");
        run(make.args(["-m", "venv"]).arg(&environment)).await?;
        let mut install = Command::new(environment.join("bin/pip"));
        let lock = self.root.join("runtimes/python/test-requirements.txt");
        install.args(["install", "--quiet", "--require-hashes", "--requirement"]);
        run(install.arg(lock)).await
    }

    async fn bundle_typescript(&self) -> Result<(), ToolError> {
        let packages = self.packages();
        // npm writes it at the end.
        if !packages.join("node_modules/.package-lock.json").exists() {
            let mut install = Command::new("npm");
            install.args(["ci", "--no-audit", "--no-fund"]);
            run(install.current_dir(&packages)).await?;
        }
        let sources = Path::new(CRATE).join("typescript");
        // From where the bundles import what can't be bundled.
        fs::create_dir_all(&self.bundles)?;
        let link = self.bundles.join("node_modules");
        if !link.exists() {
            std::os::unix::fs::symlink(packages.join("node_modules").canonicalize()?, link)?;
        }
        let bundle = |inputs: &[&str], more: &[&str]| {
            let mut command = Command::new(packages.join("node_modules/.bin/esbuild"));
            command.current_dir(&sources).args(inputs).args(more);
            command.args(["--bundle", "--format=esm", "--log-level=warning"]);
            let mut outdir = std::ffi::OsString::from("--outdir=");
            outdir.push(&self.bundles);
            command.arg(outdir);
            command
        };
        let for_node = [
            "--platform=node",
            "--out-extension:.js=.mjs",
            "--external:playwright-core",
            "--external:ws",
        ];
        run(&mut bundle(&["node.ts", "browser.ts"], &for_node)).await?;
        run(&mut bundle(&["page.ts"], &["--platform=browser"])).await
    }
}

/// The testees import the generated modules from beside them.
fn copy_generated() -> std::io::Result<()> {
    for language in ["python", "typescript"] {
        let to = Path::new(CRATE).join(language).join("gen");
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(Path::new(GENERATED).join(language).join("gen"))? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf), ToolError> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((certificate, key))
}

/// Runs a command to its end.
async fn run(command: &mut Command) -> Result<(), ToolError> {
    let name = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let error = |reason: String| ToolError::Command {
        command: name.clone(),
        reason,
    };
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.map_err(|cause| error(cause.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(error(format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )))
}
