//! Jobs as processes. The tests play the server, and end it at any moment.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tce_flow::machine::{Command, Effect, RequeueMode, RunnerEvent};
use tce_flow::runner::{JobRunner, Order, Report, Reports, Runner, RunnerLink, RunnerOptions};
use tce_flow::state::{Flag, State};
use tce_flow::template::Variables;
use tce_flow::tree::NodeId;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::common::Simulation;

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server whose clock and clients are the test.
struct Server {
    home: TempDir,
    simulation: Simulation,
    options: RunnerOptions,
    orders: mpsc::Sender<Order>,
    reports: mpsc::Receiver<Report>,
    runner: JoinHandle<()>,
}

impl Server {
    /// A server that begins a suite `s` with these lines, and scripts for its tasks.
    async fn begin(lines: &str, scripts: &[(&str, &str)]) -> Self {
        Self::begin_with(RunnerOptions::default(), lines, scripts).await
    }

    async fn begin_with(options: RunnerOptions, lines: &str, scripts: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().display().to_string();
        let definition = format!("suite s\n edit ECF_HOME '{folder}'\n{lines}\nendsuite");
        fs::create_dir(home.path().join("s")).unwrap();
        for (name, text) in scripts {
            let text = format!("#!/bin/sh\n{text}\n");
            fs::write(home.path().join("s").join(name).with_extension("ecf"), text).unwrap();
        }
        let (orders, reports, runner) = start(&options);
        let mut server = Self {
            home,
            simulation: Simulation::begun(&definition),
            options,
            orders,
            reports,
            runner,
        };
        server.send_effects().await;
        server
    }

    async fn send_effects(&mut self) {
        for effect in std::mem::take(&mut self.simulation.effects) {
            self.orders.send(Order::Effect(effect)).await.unwrap();
        }
    }

    async fn apply(&mut self, command: Command) {
        self.simulation.apply(command).unwrap();
        self.send_effects().await;
    }

    /// Answers the runner until it tells something, which the machine takes.
    async fn event(&mut self) -> RunnerEvent {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let report = tokio::time::timeout_at(deadline, self.reports.recv()).await;
            match report.unwrap().unwrap() {
                Report::Event(event, done) => {
                    self.simulation
                        .apply(Command::Runner(event.clone()))
                        .unwrap();
                    self.send_effects().await;
                    let _ = done.send(());
                    return event;
                }
                Report::Variables {
                    path,
                    password,
                    answer,
                } => {
                    let tree = self.simulation.machine.tree();
                    let found = tree.find(&path);
                    let job = found.and_then(|id| tree[id].job());
                    let is_present =
                        password.is_empty() || job.is_some_and(|job| job.password == password);
                    let id = found.unwrap_or(NodeId::ROOT);
                    let variables = is_present.then(|| Box::new(Variables::of(tree, id)));
                    let _ = answer.send(variables);
                }
            }
        }
    }

    /// Skips the news that a command runs.
    async fn end(&mut self) -> RunnerEvent {
        loop {
            let event = self.event().await;
            if !matches!(event, RunnerEvent::Started { .. }) {
                return event;
            }
        }
    }

    /// The process of the next job that starts.
    async fn started(&mut self) -> u32 {
        match self.event().await {
            RunnerEvent::Started { pid, .. } => pid,
            event => panic!("{event:?}"),
        }
    }

    /// The flag and reason of the next job that fails.
    async fn failure(&mut self) -> (Flag, String) {
        match self.end().await {
            RunnerEvent::Failed { flag, reason, .. } => (flag, reason.into()),
            event => panic!("{event:?}"),
        }
    }

    /// The server ends, without a word to the runner.
    async fn crash(&mut self) {
        self.runner.abort();
        let _ = (&mut self.runner).await;
    }

    /// Another runner takes over a task.
    async fn resume(&mut self, path: &str, is_started: bool) {
        (self.orders, self.reports, self.runner) = start(&self.options);
        self.order_resume(path, is_started).await;
    }

    async fn order_resume(&mut self, path: &str, is_started: bool) {
        let order = Order::Resume {
            path: path.to_owned(),
            password: self.simulation.job(path).password,
            is_started,
        };
        self.orders.send(order).await.unwrap();
    }

    fn file(&self, name: &str) -> String {
        let path = self.home.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Waits until a file has so many lines.
    async fn wait_for_lines(&self, name: &str, lines: usize) {
        let deadline = Instant::now() + PATIENCE;
        let count =
            || fs::read_to_string(self.home.path().join(name)).map(|text| text.lines().count());
        while count().unwrap_or(0) < lines {
            assert!(Instant::now() < deadline, "{name} has not {lines} lines");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn start(options: &RunnerOptions) -> (mpsc::Sender<Order>, mpsc::Receiver<Report>, JoinHandle<()>) {
    let (orders, received) = mpsc::channel(64);
    let (sender, reports) = mpsc::channel(64);
    let link = RunnerLink {
        orders: received,
        reports: Reports::new(sender),
    };
    let runner = Box::new(JobRunner::new(options.clone()));
    (orders, reports, tokio::spawn(runner.run(link)))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Appends a line to `ran`, so that runs are counted.
const RUN: &str = "echo run >> %ECF_HOME%/ran";

#[tokio::test]
async fn a_job_has_a_session_an_environment_and_files_of_its_own() {
    let script = "cut -d' ' -f6 /proc/$$/stat > %ECF_HOME%/session\nenv > %ECF_HOME%/env\nread line || echo end";
    let mut server = Server::begin("task t", &[("t", script)]).await;
    let job = server.simulation.job("/s/t");
    let pid = server.started().await;
    assert!(matches!(server.event().await, RunnerEvent::Ended { .. }));
    assert_eq!(server.file("session").trim(), pid.to_string());
    let environment = server.file("env");
    for (name, value) in [
        ("ECF_NAME", "/s/t"),
        ("ECF_PASS", &job.password),
        ("ECF_TRYNO", "1"),
        ("TAKLER_NAME", "/s/t"),
        ("TAKLER_PASS", &job.password),
        ("TAKLER_TRY_NO", "1"),
    ] {
        assert!(
            environment
                .lines()
                .any(|line| line == format!("{name}={value}")),
            "{name}"
        );
    }
    assert_eq!(server.file("s/t.1"), "end\n");
    let folder = server.home.path().join("s");
    assert_eq!(mode(&folder.join("t.job1")), 0o700);
    assert_eq!(mode(&folder.join("t.job1.pid")), 0o600);
    assert_eq!(mode(&folder.join("t.job1.exit")), 0o600);
    assert!(!folder.join("t.job1.cmd").exists());
    assert_eq!(server.simulation.state("/s/t"), State::Submitted);
}

#[tokio::test]
async fn the_output_goes_where_variables_say() {
    let lines = " edit ECF_OUT '%ECF_HOME%/%WHERE%/deep'\n edit WHERE out\n task t";
    let mut server = Server::begin(lines, &[("t", "echo here")]).await;
    assert!(matches!(server.end().await, RunnerEvent::Ended { .. }));
    assert_eq!(server.file("out/deep/s/t.1"), "here\n");
}

#[tokio::test]
async fn an_end_is_told_with_its_status_and_what_the_command_said() {
    for (command, end) in [
        (
            "echo first; echo last >&2; exit 3",
            "exited with status 3 [ echo first; echo last >&2; exit 3 ]: last",
        ),
        ("kill -9 $$", "died of signal 9 [ kill -9 $$ ]: Killed"),
        ("no-such-program", "exited with status 127"),
    ] {
        let lines = format!(" task t\n  edit ECF_JOB_CMD '{command}'\n  edit ECF_NO_SCRIPT ''");
        let mut server = Server::begin(&lines, &[]).await;
        let pid = server.started().await;
        let (flag, reason) = server.failure().await;
        assert_eq!(flag, Flag::JobCommandFailed);
        let expected = format!("ECF_JOB_CMD PID({pid}) path(/s/t) {end}");
        assert!(reason.starts_with(&expected), "{reason}");
        assert_eq!(server.simulation.state("/s/t"), State::Aborted);
    }
    let lines = " task t\n  edit ECF_NO_SCRIPT ''\n  edit ECF_JOB_CMD 'yes | head -c 200000; echo the end; exit 1'";
    let mut server = Server::begin(lines, &[]).await;
    assert!(server.failure().await.1.ends_with("]: the end"));
    assert_eq!(server.file("s/t.job1.cmd").len(), 64 << 10);
}

#[tokio::test]
async fn a_task_without_a_job_names_file_and_line() {
    let lines = " task missing\n task bad\n task circular\n task device\n  edit ECF_SCRIPT /dev/zero\n task ok";
    let scripts = [
        ("bad", "%NOPE%"),
        ("circular", "%include <circular.ecf>"),
        ("ok", "true"),
    ];
    let mut server = Server::begin(lines, &scripts).await;
    let home = server.home.path().display().to_string();
    fs::copy(
        server.home.path().join("s/circular.ecf"),
        server.home.path().join("circular.ecf"),
    )
    .unwrap();
    let mut failures = Vec::new();
    while failures.len() < 4 {
        if let RunnerEvent::Failed { flag, reason, .. } = server.event().await {
            failures.push((flag, reason.replace(&home, "")));
        }
    }
    failures.sort_by(|a, b| a.1.cmp(&b.1));
    let expected = [
        (
            Flag::EditFailed,
            "/circular.ecf:2: circular include: /s/circular.ecf includes /circular.ecf includes /circular.ecf",
        ),
        (
            Flag::EditFailed,
            "/dev/zero:1: can not read /dev/zero: not a regular file",
        ),
        (Flag::EditFailed, "/s/bad.ecf:2: there is no variable NOPE"),
        (
            Flag::NoScript,
            "no script; tried /s/missing.ecf, /missing.ecf",
        ),
    ];
    assert_eq!(
        failures,
        expected.map(|(flag, reason)| (flag, reason.to_owned()))
    );
    server.wait_for_lines("s/ok.job1.exit", 1).await;
}

#[tokio::test]
async fn a_job_that_lives_goes_on_over_a_restart() {
    let script = format!("{RUN}\nwhile [ ! -e %ECF_HOME%/go ]; do sleep 0.02; done\nexit 5");
    let mut server = Server::begin(" task t", &[("t", &script)]).await;
    let pid = server.started().await;
    server.wait_for_lines("ran", 1).await;
    server.crash().await;
    server.resume("/s/t", true).await;
    fs::write(server.home.path().join("go"), "").unwrap();
    let (flag, reason) = server.failure().await;
    assert_eq!(flag, Flag::JobCommandFailed);
    assert_eq!(
        reason,
        format!("ECF_JOB_CMD PID({pid}) path(/s/t) exited with status 5")
    );
    assert_eq!(server.file("ran"), "run\n");
}

#[tokio::test]
async fn a_job_that_ended_while_the_server_was_down_is_known_by_its_file() {
    let script = format!("{RUN}\nkill -9 $$");
    let mut server = Server::begin(" task t\n task u", &[("t", &script), ("u", RUN)]).await;
    server.started().await;
    server.started().await;
    server.crash().await;
    server.wait_for_lines("s/t.job1.exit", 1).await;
    server.wait_for_lines("s/u.job1.exit", 1).await;
    server.resume("/s/t", true).await;
    assert!(
        server
            .failure()
            .await
            .1
            .ends_with("path(/s/t) died of signal 9")
    );
    server.order_resume("/s/u", true).await;
    assert!(matches!(server.event().await, RunnerEvent::Ended { .. }));
    assert_eq!(server.file("ran"), "run\nrun\n");
}

#[tokio::test]
async fn a_start_that_was_journalled_and_not_done_is_done_once() {
    let mut server = Server::begin(" task t", &[("t", RUN)]).await;
    // The server ends before the runner has got the variables.
    server.crash().await;
    server.resume("/s/t", false).await;
    assert!(matches!(server.end().await, RunnerEvent::Ended { .. }));
    // It ends before the start is in the journal.
    server.crash().await;
    server.resume("/s/t", false).await;
    assert!(matches!(server.event().await, RunnerEvent::Ended { .. }));
    assert_eq!(server.file("ran"), "run\n");
}

#[tokio::test]
async fn a_try_runs_once_whatever_its_wrapper_has_written_at_a_crash() {
    for _ in 0..5 {
        let mut server = Server::begin(" task t", &[("t", RUN)]).await;
        // The wrapper is a process, which may not have come to its mark.
        server.started().await;
        server.crash().await;
        server.resume("/s/t", false).await;
        assert!(matches!(server.end().await, RunnerEvent::Ended { .. }));
        assert_eq!(server.file("ran"), "run\n");
    }
}

#[tokio::test]
async fn the_same_number_after_a_requeue_is_another_try() {
    let mut server = Server::begin(" task t", &[("t", RUN)]).await;
    for _ in 0..2 {
        assert!(matches!(server.end().await, RunnerEvent::Ended { .. }));
        let paths = vec!["/s/t".into()];
        let mode = RequeueMode::Force;
        server.apply(Command::Requeue { paths, mode }).await;
    }
    assert!(matches!(server.end().await, RunnerEvent::Ended { .. }));
    assert_eq!(server.file("ran"), "run\nrun\nrun\n");
    assert_eq!(server.simulation.tries("/s/t"), 1);
}

#[tokio::test]
async fn a_job_whose_end_is_not_known_has_failed_and_is_not_started_again() {
    let script = format!("{RUN}\nsleep 60");
    let mut server = Server::begin(" task t\n task u", &[("t", &script), ("u", RUN)]).await;
    let pids = [server.started().await, server.started().await];
    server.wait_for_lines("ran", 2).await;
    server.crash().await;
    // As at the end of the machine: the wrapper dies with the job.
    let group = format!("kill -9 -{}", pids[0]);
    let killed = std::process::Command::new("/bin/sh")
        .args(["-c", &group])
        .status();
    assert!(killed.unwrap().success());
    server.resume("/s/t", true).await;
    let (_, reason) = server.failure().await;
    assert!(reason.ends_with("its status is not known"), "{reason}");
    server.crash().await;
    server.wait_for_lines("s/u.job1.exit", 1).await;
    for ending in ["pid", "exit"] {
        fs::remove_file(
            server
                .home
                .path()
                .join("s/u.job1")
                .with_extension(format!("job1.{ending}")),
        )
        .unwrap();
    }
    server.resume("/s/u", true).await;
    let (_, reason) = server.failure().await;
    assert!(reason.ends_with("its status is not known"), "{reason}");
    assert_eq!(server.file("ran"), "run\nrun\n");
}

#[tokio::test]
async fn a_submitted_job_is_killed_with_its_process_group() {
    let script = "(sleep 60; true) &\necho > %ECF_HOME%/ready\nsleep 60\ntrue";
    let options = RunnerOptions {
        max_running: 1,
        ..RunnerOptions::default()
    };
    let lines = " task t\n task waiting";
    let mut server = Server::begin_with(options, lines, &[("t", script), ("waiting", RUN)]).await;
    let pid = server.started().await;
    server.apply(Command::Kill(vec!["/s/waiting".into()])).await;
    assert_eq!(server.failure().await.1, "killed before it was started");
    server.wait_for_lines("ready", 1).await;
    server.apply(Command::Kill(vec!["/s/t".into()])).await;
    let (_, reason) = server.failure().await;
    assert!(reason.contains("died of signal 15"), "{reason}");
    assert_eq!(server.simulation.state("/s/t"), State::Aborted);
    assert!(
        server.simulation.machine.tree()[server.simulation.id("/s/t")]
            .flags
            .has(Flag::Killed)
    );
    let deadline = Instant::now() + PATIENCE;
    while processes_of_group(pid) > 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!server.home.path().join("ran").exists());
}

/// How many processes of a group live.
fn processes_of_group(group: u32) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let stat = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let (state, own) = (fields.next()?, fields.nth(1)?);
        (state != "Z" && own == group.to_string()).then_some(())
    });
    processes.count()
}

#[tokio::test]
async fn kill_and_status_run_the_commands_of_the_task() {
    let lines = " edit ECF_NO_SCRIPT ''\n edit ECF_JOB_CMD 'sleep 60'\n edit ECF_KILL_CMD 'echo killing %ECF_RID%; exit 7'\n edit ECF_STATUS_CMD 'echo asked > %ECF_JOB%.stat'\n task t";
    let mut server = Server::begin(lines, &[]).await;
    server.started().await;
    server.simulation.start("/s/t");
    server.apply(Command::Kill(vec!["/s/t".into()])).await;
    let expected = RunnerEvent::CommandFailed {
        path: "/s/t".into(),
        flag: Flag::KillCommandFailed,
    };
    assert_eq!(server.event().await, expected);
    assert_eq!(server.file("s/t.job1.kill"), "killing 77\n");
    server.apply(Command::Status(vec!["/s/t".into()])).await;
    // Until the next event the test answers the questions of both.
    server.apply(Command::Kill(vec!["/s/t".into()])).await;
    assert_eq!(server.event().await, expected);
    server.wait_for_lines("s/t.job1.stat", 1).await;
    for rid in ["1; touch %ECF_HOME%/ran", "-1", "$(id)", "a b", "`id`"] {
        let effect = Effect::Kill {
            path: "/s/t".into(),
            password: "".into(),
            rid: rid.into(),
        };
        fs::remove_file(server.home.path().join("s/t.job1.kill")).unwrap_or_default();
        server.orders.send(Order::Effect(effect)).await.unwrap();
        assert_eq!(server.event().await, expected, "{rid}");
        assert!(!server.home.path().join("s/t.job1.kill").exists());
    }
    let password = server.simulation.job("/s/t").password;
    let effect = Effect::Kill {
        path: "/s/t".into(),
        password,
        rid: "".into(),
    };
    server.orders.send(Order::Effect(effect)).await.unwrap();
    assert!(server.failure().await.1.contains("died of signal 15"));
}

#[tokio::test]
async fn no_more_jobs_run_than_may_and_none_stays_as_a_zombie() {
    let options = RunnerOptions {
        max_running: 3,
        max_starting: 2,
        ..RunnerOptions::default()
    };
    let script = "mkdir -p %ECF_HOME%/now; : > %ECF_HOME%/now/$$\nls %ECF_HOME%/now | wc -l >> %ECF_HOME%/counts\nsleep 0.02; rm %ECF_HOME%/now/$$";
    let lines: String = (0..20)
        .map(|at| format!(" task t{at}\n  edit ECF_SCRIPT '%ECF_HOME%/s/t.ecf'\n"))
        .collect();
    let mut server = Server::begin_with(options, &lines, &[("t", script)]).await;
    let mut ended = 0;
    while ended < 20 {
        ended += usize::from(matches!(server.event().await, RunnerEvent::Ended { .. }));
    }
    let counts = server.file("counts");
    let most = counts
        .lines()
        .map(|count| count.trim().parse::<u32>().unwrap())
        .max();
    assert!(most.unwrap() <= 3, "{counts}");
    assert_eq!(zombie_children(), 0);
}

/// How many children of this process have ended and were not waited for.
fn zombie_children() -> usize {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let stat = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        (fields[0] == "Z" && fields[1] == own).then_some(())
    });
    processes.count()
}
