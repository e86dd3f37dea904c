//! Workers and senders in other processes than the queue.

use std::{sync::mpsc, time::Duration};

use metrics_exporter_prometheus::PrometheusBuilder;
use tce_runtime::{Context, Fault};
use tce_tasks::{
    Filter, QueueError, ResultError, TaskCtl, Tasks, TasksConfig, Worker,
    model::{AbortAnswer, Status},
};

use super::{
    LONG, POLL, assert_status, finished,
    math::{Both, Steps, StepsServant},
    serve, serve_with_lease, start,
};

async fn connect(endpoint: &str) -> Tasks {
    Tasks::open(TasksConfig::endpoint(endpoint)).await.unwrap()
}

#[tokio::test]
async fn a_worker_and_a_sender_use_the_queue_of_another_process() {
    let queue = Tasks::open(TasksConfig::in_memory()).await.unwrap();
    let (_communicator, endpoint) = serve(&queue).await;
    let (worker, sender) = (connect(&endpoint).await, connect(&endpoint).await);
    assert!(sender.queue_servant().is_none());
    let client = sender.client();
    let id = client.send("group1", "add", (12, 33)).await.unwrap();
    let delayed = client.set_task_ctl(TaskCtl::RunAfter(Duration::from_secs(60)));
    let aborted = delayed.send("group1", "add", (1, 2)).await.unwrap();
    assert_eq!(client.abort(&aborted).await.unwrap(), AbortAnswer::Done);
    let running = start(&worker, "group1").await;
    assert_eq!(finished(&client, &id).await.get_int64(0), Ok(45));
    assert_status(&finished(&client, &aborted).await, Status::Aborted);
    let answer = client.abort(&id).await.unwrap();
    assert_eq!(answer, AbortAnswer::Finished(Status::Success));

    let filter = Filter {
        group: "group1".to_owned(),
        limit: 10,
        ..Filter::default()
    };
    let listed = sender.list(filter.clone()).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids, [id.as_str(), aborted.as_str()]);
    let page = Filter {
        status: Some(Status::Aborted.number()),
        after: id.clone(),
        ..filter
    };
    let page = sender.list(page).await.unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(sender.stats("group1").await.unwrap()["success"], 1);
    assert!(running.shutdown(LONG).await);
}

#[tokio::test]
async fn errors_of_the_queue_reach_the_client() {
    let queue = Tasks::open(TasksConfig::in_memory()).await.unwrap();
    let (_communicator, endpoint) = serve(&queue).await;
    let client = connect(&endpoint).await.client();
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    let error = client
        .get_result(unknown, Duration::ZERO, POLL)
        .await
        .unwrap_err();
    assert!(matches!(error, ResultError::NotFound(_)), "{error}");
    let error = client.abort(unknown).await.unwrap_err();
    assert!(matches!(error, QueueError::NotFound(_)), "{error}");
    let error = client.send("", "add", ()).await.unwrap_err();
    assert!(
        error.to_string().contains("the name of the group"),
        "{error}"
    );
}

/// Blocks its thread, so that its worker extends no lease.
struct Blocking {
    entered: mpsc::SyncSender<()>,
    resume: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl Steps for Blocking {
    async fn checked(&self, sum: i64, _: bool, _: &Context) -> Result<i64, Fault> {
        self.entered.send(()).unwrap();
        self.resume.lock().unwrap().recv_timeout(LONG).unwrap();
        Ok(-sum)
    }

    async fn sum_of(&self, both: Both, _: &Context) -> Result<i64, Fault> {
        Ok(both.sum)
    }
}

/// A worker on a thread of its own; it ends when `end` is dropped.
fn worker_that_hangs(endpoint: &str, servant: Blocking, end: &mpsc::Receiver<()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let _worker = runtime.block_on(async {
        let tasks = connect(endpoint).await;
        let worker = Worker::new(&tasks).group("group1", |group| {
            group.concurrency(1).servant(StepsServant::new(servant))
        });
        worker.start().await.unwrap()
    });
    runtime.block_on(async {
        while end.try_recv() == Err(mpsc::TryRecvError::Empty) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_hangs_loses_its_task_and_changes_no_outcome() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    let queue = Tasks::open(TasksConfig::in_memory()).await.unwrap();
    let (_communicator, endpoint) = serve_with_lease(&queue, Duration::from_secs(1)).await;
    let client = queue.client();
    let id = client.send("group1", "checked", (7, true)).await.unwrap();
    let (entered, has_entered) = mpsc::sync_channel(2);
    let (resume, resumed) = mpsc::sync_channel(2);
    let (end, ended) = mpsc::sync_channel::<()>(1);
    let servant = Blocking {
        entered,
        resume: std::sync::Mutex::new(resumed),
    };
    let thread = std::thread::spawn({
        let endpoint = endpoint.clone();
        move || worker_that_hangs(&endpoint, servant, &ended)
    });
    tokio::task::block_in_place(|| has_entered.recv_timeout(LONG).unwrap());
    let worker = start(&connect(&endpoint).await, "group1").await;
    let result = finished(&client, &id).await;
    assert_eq!((result.get_int64(0), result.record().deaths), (Ok(7), 1));
    assert!(worker.shutdown(LONG).await);
    // The first worker returns -7, which is stale, and goes on.
    resume.send(()).unwrap();
    resume.send(()).unwrap();
    let next = client.send("group1", "checked", (8, true)).await.unwrap();
    assert_eq!(finished(&client, &next).await.get_int64(0), Ok(-8));
    assert_eq!(finished(&client, &id).await, result);
    drop(end);
    thread.join().unwrap();
    let stale =
        "tce_tasks_stale_outcomes_total{group=\"group1\",operation=\"math::Steps::checked\"} 1";
    let rendered = metrics.render();
    assert!(rendered.contains(stale), "{rendered}");
}

#[tokio::test]
async fn a_task_longer_than_its_lease_runs_once() {
    let queue = Tasks::open(TasksConfig::in_memory()).await.unwrap();
    let (_communicator, endpoint) = serve_with_lease(&queue, Duration::from_secs(1)).await;
    let tasks = connect(&endpoint).await;
    let _worker = start(&tasks, "group1").await;
    let id = tasks
        .client()
        .send("group1", "sleep", (2500,))
        .await
        .unwrap();
    let result = finished(&tasks.client(), &id).await;
    assert_status(&result, Status::Success);
    assert_eq!(result.record().deaths, 0);
}
