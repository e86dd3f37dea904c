//! `tce new`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use super::{CommandOutput, folder, ran, tce_in};

/// The repository root, which has the crates that a project depends on.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().unwrap()
}

/// Cargo with the target folder and profile of these tests, so that most crates are built already.
fn cargo(project: &Path, args: &[&str]) -> Command {
    let built = Path::new(env!("CARGO_BIN_EXE_tce")).parent().unwrap();
    let mut cargo = Command::new("cargo");
    cargo
        .args(args)
        .current_dir(project)
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", built.parent().unwrap())
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        .env("CARGO_PROFILE_TEST_DEBUG", "line-tables-only");
    cargo
}

fn run_cargo(project: &Path, args: &[&str]) -> CommandOutput {
    ran(&mut cargo(project, args))
}

/// The server of a project, killed on drop.
struct ProjectServer(Child);

impl ProjectServer {
    /// Starts the server, and returns its endpoint too.
    fn start(project: &Path) -> (Self, String) {
        // Built and started separately, so that `kill` ends the server and not cargo.
        let args = ["build", "--bin", "server", "--message-format", "json"];
        let built = run_cargo(project, &args).exits(0);
        let program = built.out.lines().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).unwrap();
            message["executable"].as_str().map(str::to_owned)
        });
        Self::spawn(Command::new(program.unwrap()).arg("tcp://127.0.0.1:0"))
    }

    /// Starts a server that prints where it listens.
    fn spawn(command: &mut Command) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let out: ChildStdout = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let endpoint = line.trim_end().strip_prefix("listening on ").unwrap();
        (Self(child), endpoint.to_owned())
    }
}

impl Drop for ProjectServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_new_project_passes_all_checks_and_runs() {
    let folder = folder(&[]);
    tce_in(folder.path(), &["new", "hello-world"])
        .exits(0)
        .prints("created hello-world: a server, a client")
        .prints("cargo run --bin server");
    let project = folder.path().join("hello-world");
    fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();

    run_cargo(&project, &["fmt", "--check"]).exits(0);
    let clippy = ["clippy", "--all-targets", "--", "-D", "warnings"];
    run_cargo(&project, &clippy).exits(0);
    run_cargo(&project, &["test"]).exits(0);
    tce_in(&project, &["fmt", "--check", "idl"]).exits(0);
    let ran = tce_in(&project, &["lint", "idl"]).exits(0);
    assert_eq!(ran.err, "no errors in 1 file\n");

    let (_server, endpoint) = ProjectServer::start(&project);
    let ran = run_cargo(&project, &["run", "--bin", "client", "--", &endpoint]).exits(0);
    assert_eq!(ran.out, "Ann was greeted\nHello, Ann!\n");
    let readme = fs::read_to_string(project.join("README.md")).unwrap();
    assert!(readme.contains(&ran.out), "{readme}");
    let guide = fs::read_to_string(root().join("docs/getting-started.md")).unwrap();
    let client = format!("cargo run --bin client\n```\n\n```\n{}```\n", ran.out);
    assert!(guide.contains(&client), "{guide}");
    let ran = tce_in(&project, &["call", &endpoint, "Greeter.greet", "Bob"]).exits(0);
    assert_eq!(ran.out, "\"Hello, Bob!\"\n");
    let call = format!("Greeter.greet Bob\n```\n\n```\n{}```\n", ran.out);
    assert!(guide.contains(&call), "{guide}");
}

#[test]
fn a_new_python_project_passes_its_tests_and_runs() {
    let folder = folder(&[]);
    tce_in(folder.path(), &["new", "hello-py", "--lang", "python"])
        .exits(0)
        .prints("  tce compile\n");
    let project = folder.path().join("hello-py");
    tce_in(&project, &["compile"])
        .exits(0)
        .prints("wrote gen/hello_py.py\n");
    let requirements = fs::read_to_string(project.join("requirements.txt")).unwrap();
    let package = root().join("runtimes/python");
    let named = requirements.lines().last().unwrap();
    assert!(named.starts_with("../"), "{requirements}");
    let named = project.join(named).canonicalize().unwrap();
    assert_eq!(named, package.canonicalize().unwrap());

    // What pip installs from there, without pip.
    let python = |args: &[&str]| {
        let mut python = Command::new("python3");
        python.args(args).current_dir(&project);
        python.env("PYTHONPATH", package.join("src"));
        python
    };
    ran(&mut python(&["-m", "unittest", "discover", "tests"])).exits(0);
    let mut server = python(&["server.py", "tcp://127.0.0.1:0"]);
    let (_server, endpoint) = ProjectServer::spawn(&mut server);
    let ran = ran(&mut python(&["client.py", &endpoint])).exits(0);
    assert_eq!(ran.out, "Ann was greeted\nHello, Ann!\n");
    let readme = fs::read_to_string(project.join("README.md")).unwrap();
    assert!(readme.contains(&ran.out), "{readme}");
    tce_in(&project, &["fmt", "--check", "idl"]).exits(0);
    tce_in(folder.path(), &["new", "lambda", "--lang", "python"])
        .exits(2)
        .complains("it is a Python keyword");
}

#[test]
fn the_crates_come_from_the_given_source() {
    let folder = folder(&[]);
    let manifest = |name: &str| {
        let path = folder.path().join(name).join("Cargo.toml");
        fs::read_to_string(path).unwrap()
    };
    let root = root();
    let root = root.to_str().unwrap();
    tce_in(folder.path(), &["new", "one", "--tce", root]).exits(0);
    let path = format!("tce-runtime = {{ path = \"{root}/tce-runtime\" }}");
    assert!(manifest("one").contains(&path), "{}", manifest("one"));

    // Another machine has another path.
    tce_in(folder.path(), &["new", "four"])
        .exits(0)
        .prints("for others, name its git repository");
    let path = "tce-runtime = { path = \"../";
    assert!(manifest("four").contains(path), "{}", manifest("four"));
    assert!(!manifest("four").contains("path = \"/"));

    let url = "https://git.example.org/tce.git";
    tce_in(folder.path(), &["new", "two", "--tce", url]).exits(0);
    let git = format!("tce-codegen = {{ git = \"{url}\" }}");
    assert!(manifest("two").contains(&git), "{}", manifest("two"));

    tce_in(folder.path(), &["new", "three", "--tce", "one"])
        .exits(2)
        .complains("`one` is not a checkout of tce: it has no tce-runtime/Cargo.toml");
    assert!(!folder.path().join("three").exists());
}

#[test]
fn a_project_inside_a_workspace_is_its_own_workspace() {
    let folder = folder(&[("Cargo.toml", "[workspace]\nmembers = []\n")]);
    tce_in(folder.path(), &["new", "apps/hello"]).exits(0);
    let metadata = ["metadata", "--no-deps", "--format-version", "1"];
    run_cargo(&folder.path().join("apps/hello"), &metadata).exits(0);
}

#[test]
fn nothing_is_overwritten_and_names_are_checked() {
    let folder = folder(&[("there/file", "")]);
    tce_in(folder.path(), &["new", "there"])
        .exits(2)
        .complains("error: `there` already exists");
    for (name, complaint) in [
        ("Hello", "lower case letters"),
        ("fn", "a Rust keyword"),
        ("sequence", "an IDL keyword"),
        ("tokio", "a crate that every project uses"),
        ("..", "the project needs a name"),
    ] {
        tce_in(folder.path(), &["new", name])
            .exits(2)
            .complains(complaint);
    }
    tce_in(folder.path(), &["new", "there/file/hello"])
        .exits(1)
        .complains("can't write");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_project_in_typescript_needs_a_checkout() {
    let folder = folder(&[]);
    let url = "https://git.example.org/tce.git";
    tce_in(
        folder.path(),
        &["new", "hello", "--lang", "typescript", "--tce", url],
    )
    .exits(2)
    .complains("npm installs no folder of a git repository")
    .complains("`--tce PATH`");
    assert!(!folder.path().join("hello").exists());

    tce_in(folder.path(), &["new", "hello", "--lang", "typescript"])
        .exits(0)
        .prints("created hello: a server, a client")
        .prints("npm run server");
    let project = folder.path().join("hello");
    let package = fs::read_to_string(project.join("package.json")).unwrap();
    let package: serde_json::Value = serde_json::from_str(&package).unwrap();
    let named = package["dependencies"]["tce"].as_str().unwrap();
    let named = named.strip_prefix("file:").unwrap();
    assert!(named.starts_with("../"), "{named}");
    let named = project.join(named).canonicalize().unwrap();
    assert_eq!(named, root().join("runtimes/typescript"));
    tce_in(&project, &["fmt", "--check", "idl"]).exits(0);
}
