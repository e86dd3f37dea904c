//! `kill -9` of the process of an embedded queue.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tce_tasks::{
    TaskCtl, Tasks, TasksConfig,
    model::{Backoff, Status},
};

use super::{LONG, assert_status, finished, runs, start};

/// The folder of the process that the test kills.
const FOLDER: &str = "TCE_TASKS_TEST_FOLDER";
/// The folder of the process that is killed in a pause of its task.
const PAUSES: &str = "TCE_TASKS_TEST_PAUSES";
/// The folder of the process that a task ends.
const DEATHS: &str = "TCE_TASKS_TEST_DEATHS";
const TASKS: usize = 200;

/// What the process that is killed does: it sends tasks, writes the ids that it was told are safe, and
/// runs them. Without the variable this is no such process.
#[tokio::test]
async fn process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let tasks = Tasks::open(TasksConfig::embedded(folder.join("tasks.redb")))
        .await
        .unwrap();
    let client = tasks
        .client()
        .set_task_ctl(TaskCtl::RunAfter(Duration::from_millis(300)));
    let _worker = start(&tasks, "group1").await;
    for number in 0..TASKS {
        let key = folder.join(format!("runs{number}"));
        let id = client.send("group1", "flaky", (key, 0)).await.unwrap();
        let mut ids = std::fs::OpenOptions::new();
        let mut ids = ids
            .create(true)
            .append(true)
            .open(folder.join("ids"))
            .unwrap();
        std::io::Write::write_all(&mut ids, format!("{id}\n").as_bytes()).unwrap();
    }
    std::future::pending::<()>().await;
}

/// Runs one of the tests above as a process of its own.
fn spawn(folder: &Path, test: &str, variable: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(variable, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn ids(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("ids")).unwrap_or_default();
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    complete.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn no_task_that_was_sent_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for round in 1..=2 {
        let mut child = spawn(folder, "crash::process_that_is_killed", FOLDER);
        let waited = tokio::time::timeout(LONG, async {
            while ids(folder).len() < 40 * round {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let tasks = Tasks::open(TasksConfig::embedded(folder.join("tasks.redb")))
        .await
        .unwrap();
    let client = tasks.client();
    let _worker = start(&tasks, "group1").await;
    let ids = ids(folder);
    assert!(ids.len() >= 80, "{}", ids.len());
    for id in &ids {
        assert_status(&finished(&client, id).await, Status::Success);
    }
    assert!(!runs(&folder.join("runs0")).is_empty());
}

/// The process that is killed in a pause: it tells when its task waits for a retry or for its second
/// step.
#[tokio::test]
async fn process_that_is_killed_in_a_pause() {
    let Some(folder) = std::env::var_os(PAUSES) else {
        return;
    };
    let folder = Path::new(&folder);
    let tasks = reopen(&folder.join("tasks.redb")).await;
    let client = tasks.client();
    let id = std::fs::read_to_string(folder.join("id")).unwrap();
    let _worker = start(&tasks, "group1").await;
    loop {
        let result = client.get_result2(&id, LONG, LONG).await.unwrap();
        if result.status() == Status::WaitingRetry {
            std::fs::write(folder.join("retry"), "").unwrap();
        } else if result.steps()[0].status == "success" {
            std::fs::write(folder.join("step"), "").unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_process_that_is_killed_between_attempts_or_steps_repeats_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = folder.join("tasks.redb");
    let key = folder.join("runs");
    let pause = Duration::from_millis(700);
    {
        let tasks = Tasks::open(TasksConfig::embedded(&file)).await.unwrap();
        let chain = tasks.client().workflow().send("group1", "flaky", (&key, 1));
        let chain = chain.set_task_ctl(TaskCtl::Backoff(Backoff::Fixed(pause)));
        let chain = chain.send("group1", "sq", ());
        let id = chain.set_task_ctl(TaskCtl::RunAfter(pause)).done().await;
        std::fs::write(folder.join("id"), id.unwrap()).unwrap();
    }
    for sign in ["retry", "step"] {
        let mut child = spawn(folder, "crash::process_that_is_killed_in_a_pause", PAUSES);
        let waited = tokio::time::timeout(LONG, async {
            while !folder.join(sign).exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let tasks = reopen(&file).await;
    let id = std::fs::read_to_string(folder.join("id")).unwrap();
    let record = tasks.record(&id, Duration::ZERO, true).await.unwrap();
    assert_eq!(record.status, Status::Running.number());
    let _worker = start(&tasks, "group1").await;
    let result = finished(&tasks.client(), &id).await;
    assert_eq!((result.get_int64(0), result.record().deaths), (Ok(4), 0));
    assert_eq!(runs(&key).len(), 2);
}

/// The process that `die` ends, again and again.
#[tokio::test]
async fn process_that_dies() {
    let Some(folder) = std::env::var_os(DEATHS) else {
        return;
    };
    let tasks = reopen(&Path::new(&folder).join("tasks.redb")).await;
    let _worker = start(&tasks, "group1").await;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_task_that_ends_its_process_three_times_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = folder.join("tasks.redb");
    let key = folder.join("runs");
    let id;
    {
        let tasks = Tasks::open(TasksConfig::embedded(&file)).await.unwrap();
        let client = tasks.client();
        id = client.send("group1", "die", (&key,)).await.unwrap();
    }
    for expected in 1..=3 {
        let mut child = spawn(folder, "crash::process_that_dies", DEATHS);
        assert!(!child.wait().unwrap().success());
        assert_eq!(runs(&key).len(), expected);
    }
    let tasks = reopen(&file).await;
    let result = finished(&tasks.client(), &id).await;
    assert_status(&result, Status::Failure);
    assert_eq!(
        (result.error(), result.record().deaths),
        ("worker died 3 times", 3)
    );
    assert_eq!(
        tasks.requeue_dead(std::slice::from_ref(&id)).await.unwrap(),
        1
    );
    let record = tasks.record(&id, Duration::ZERO, true).await.unwrap();
    assert_eq!((record.status, record.deaths), (Status::Sent.number(), 0));
}

/// Opens a file whose last user has just gone: its thread may still be in its last commit.
async fn reopen(file: &Path) -> Tasks {
    let tasks = tokio::time::timeout(LONG, async {
        loop {
            match Tasks::open(TasksConfig::embedded(file)).await {
                Ok(tasks) => break tasks,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    });
    tasks.await.unwrap()
}

#[tokio::test]
async fn a_task_outlives_the_queue_that_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tasks.redb");
    let id;
    {
        let tasks = Tasks::open(TasksConfig::embedded(&file)).await.unwrap();
        id = tasks.client().send("group1", "add", (1, 2)).await.unwrap();
    }
    let tasks = reopen(&file).await;
    let _worker = start(&tasks, "group1").await;
    assert_eq!(finished(&tasks.client(), &id).await.get_int64(0), Ok(3));
}
