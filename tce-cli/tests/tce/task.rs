//! `tce task`, with a queue in a file and over an endpoint.

use std::{
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use tce_runtime::{Adapter, Communicator, Context, ErrorCode, Fault};
use tce_tasks::{Tasks, TasksConfig, Worker, no_retry};

use super::{
    json_lines, tce,
    test::{BaseServer, Server, ServerServant},
};

#[test]
fn a_task_is_sent_listed_and_aborted_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tasks.redb");
    let file = file.to_str().unwrap();
    let id = tce(&["task", "--tasks", file, "send", "group1", "add", "12", "33"]).exits(0);
    let id = id.out.trim();
    tce(&["task", "--tasks", file, "list", "--group", "group1"])
        .exits(0)
        .prints(&format!(
            r#"{{"id":"{id}","group":"group1","operation":"add","status":"sent""#
        ));
    tce(&["task", "--tasks", file, "stats"])
        .exits(0)
        .prints("queued: 1");
    tce(&["task", "--tasks", file, "dead", "list"]).exits(0);
    tce(&["task", "--tasks", file, "dead", "requeue", id])
        .exits(1)
        .prints("requeued: 0");
    tce(&["task", "--tasks", file, "dead", "drop", "--all"])
        .exits(0)
        .prints("dropped: 0");
    tce(&["task", "--tasks", file, "result", id])
        .exits(1)
        .complains("has not ended: sent");
    tce(&["task", "--tasks", file, "abort", id])
        .exits(0)
        .prints("aborted");
    tce(&["task", "--tasks", file, "abort", id])
        .exits(1)
        .prints("has ended before: abort");
    tce(&["task", "--tasks", file, "result", id])
        .exits(1)
        .complains("the task has ended with the status abort");
    tce(&["task", "--tasks", file, "list", "--status", "sent"]).exits(0);
}

/// A queue in memory, and where it is served.
async fn serve() -> (Tasks, Communicator, String) {
    let tasks = Tasks::open(TasksConfig::in_memory()).await.unwrap();
    let communicator = Communicator::new();
    let adapter = Adapter::listen(&communicator, "tcp://127.0.0.1:0")
        .await
        .unwrap();
    adapter.add_servant(tasks.queue_servant().unwrap()).start();
    let endpoint = adapter.endpoint().to_string();
    (tasks, communicator, endpoint)
}

/// Fails the first `failures` times.
#[derive(Default)]
struct Flaky {
    runs: AtomicI32,
}

impl BaseServer for Flaky {
    async fn datetime(&self, _: &Context) -> Result<String, Fault> {
        Err(no_retry("there is no clock"))
    }
}

impl Server for Flaky {
    async fn echo(&self, text: String, _: &Context) -> Result<String, Fault> {
        Ok(text)
    }

    async fn timeout(&self, failures: i32, _: &Context) -> Result<(), Fault> {
        match self.runs.fetch_add(1, Ordering::Relaxed) < failures {
            true => Err(Fault::new(ErrorCode::RemoteException, "flaky")),
            false => Ok(()),
        }
    }

    async fn heartbeat(&self, text: String, _: &Context) -> Result<(), Fault> {
        Err(Fault::new(ErrorCode::RemoteException, text))
    }

    async fn bidirection(&self, _: &Context) -> Result<(), Fault> {
        Ok(())
    }
}

/// The sum of the values of a metric whose line has all parts.
fn metric(rendered: &str, name: &str, parts: &[&str]) -> i64 {
    let lines = rendered.lines().filter(|line| {
        line.split(['{', ' ']).next() == Some(name) && parts.iter().all(|it| line.contains(it))
    });
    let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap());
    values.sum()
}

#[test]
fn what_the_queue_knows_agrees_with_the_metrics_of_its_worker() {
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (tasks, _communicator, endpoint) = runtime.block_on(serve());
    let worker = runtime.block_on(async {
        let worker = Worker::new(&tasks).group("agreeing", |group| {
            group
                .concurrency(3)
                .servant(ServerServant::new(Flaky::default()))
        });
        worker.start().await.unwrap()
    });
    let task = |arguments: &[&str]| tce(&[&["task", "--tasks", &endpoint], arguments].concat());
    let send = |operation: &str, argument: &[&str]| {
        let sent = [
            "send",
            "agreeing",
            operation,
            "--backoff",
            "fixed 1",
            "--wait=30s",
        ];
        task(&[&sent, argument].concat())
    };
    send("echo", &["hello"]).exits(0).prints("\"hello\"");
    send("timeout", &["2", "--retry", "5"]).exits(0);
    send("heartbeat", &["no heart"])
        .exits(1)
        .complains("no heart");
    send("datetime", &[])
        .exits(1)
        .complains("there is no clock");
    send("echo", &["1", "2"])
        .exits(1)
        .complains("takes one argument");

    let rendered = metrics.render();
    let counted = |name: &str, parts: &[&str]| {
        let parts = [&["group=\"agreeing\""], parts].concat();
        metric(&rendered, &format!("tce_tasks_{name}"), &parts)
    };
    let stats = task(&["stats", "--group", "agreeing", "--format", "json"]).exits(0);
    let stats: Value = serde_json::from_str(&stats.out).unwrap();
    let known = |state: &str| stats[state].as_i64().unwrap_or(0);
    assert_eq!(counted("finished_total", &["status=\"success\""]), 2);
    assert_eq!(
        (known("success"), known("failure"), known("dead")),
        (2, 1, 2)
    );
    assert_eq!(counted("finished_total", &["status=\"failure\""]), 3);
    assert_eq!(
        counted("dead_total", &["reason=\"permanent\""]),
        known("dead")
    );
    assert_eq!(counted("running", &[]), known("running"));

    let listed = json_lines(&task(&["list", "--group", "agreeing"]).exits(0).out);
    let retries = listed.iter().map(|line| line["retries"].as_i64().unwrap());
    assert_eq!(counted("retries_total", &[]), retries.sum::<i64>());
    assert_eq!(listed.len(), 5);
    let dead = task(&["dead", "list", "--group", "agreeing"]).exits(0);
    assert_eq!(json_lines(&dead.out).len(), 2);
    task(&["stats", "--group", "agreeing"])
        .exits(0)
        .prints("dead: 2");
    assert!(runtime.block_on(worker.shutdown(Duration::from_secs(10))));
}

#[test]
fn a_task_is_sent_over_an_endpoint() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (tasks, _communicator, endpoint) = runtime.block_on(serve());
    let id = tce(&[
        "task", "--tasks", &endpoint, "send", "group1", "add", "1", "-2",
    ])
    .exits(0);
    let id = id.out.trim();
    tce(&["task", "--tasks", &endpoint, "result", id, "--wait=10ms"])
        .exits(1)
        .complains("has not ended: sent");

    let chain = tasks.client().workflow().send("group2", "add", (1, 2));
    let chain = chain.send("group2", "sq", ()).done();
    let id = runtime.block_on(chain).unwrap();
    tce(&["task", "--tasks", &endpoint, "result", &id])
        .exits(1)
        .complains("has not ended: sent; steps: add waiting, sq waiting");
    tce(&["task", "--tasks", &endpoint, "list", "--group", "group2"])
        .exits(0)
        .prints(r#""steps":[{"group":"group2","operation":"add","status":"waiting"}"#);
    let unique = ["--unique", "key", "--priority", "low"];
    let send = ["task", "--tasks", &endpoint, "send", "group1", "add", "1"];
    let unique = [&send[..], &unique[..]].concat();
    let first = tce(&unique).exits(0);
    tce(&unique).exits(0).prints(first.out.trim());
}

#[test]
fn mistakes_are_explained() {
    tce(&["task", "list"]).exits(2).complains("TCE_TASKS");
    tce(&["task", "--tasks", "x.redb", "list", "--status", "done"])
        .exits(2)
        .complains("expected one of: sent, first running");
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tasks.redb");
    let file = file.to_str().unwrap();
    tce(&["task", "--tasks", file, "abort", unknown])
        .exits(1)
        .complains("there is no task");
    tce(&["task", "--tasks", file, "result", "7"])
        .exits(1)
        .complains("expected a UUID");
}
