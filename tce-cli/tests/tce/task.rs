//! `tce task`, with a queue in a file and over an endpoint.

use tce_runtime::{Adapter, Communicator};
use tce_tasks::{Tasks, TasksConfig};

use super::tce;

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

#[test]
fn a_task_is_sent_over_an_endpoint() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_tasks, _communicator, endpoint) = runtime.block_on(async {
        let tasks = Tasks::open(TasksConfig::in_memory()).await.unwrap();
        let communicator = Communicator::new();
        let adapter = Adapter::listen(&communicator, "tcp://127.0.0.1:0")
            .await
            .unwrap();
        adapter.add_servant(tasks.queue_servant().unwrap()).start();
        let endpoint = adapter.endpoint().to_string();
        (tasks, communicator, endpoint)
    });
    let id = tce(&[
        "task", "--tasks", &endpoint, "send", "group1", "add", "1", "-2",
    ])
    .exits(0);
    let id = id.out.trim();
    tce(&["task", "--tasks", &endpoint, "result", id, "--wait=10ms"])
        .exits(1)
        .complains("has not ended: sent");
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
