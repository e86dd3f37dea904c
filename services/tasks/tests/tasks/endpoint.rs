//! Workers and senders in other processes than the queue.

use std::time::Duration;

use tce_tasks::{
    Filter, QueueError, ResultError, TaskCtl, Tasks, TasksConfig,
    model::{AbortAnswer, Status},
};

use super::{LONG, POLL, assert_status, finished, serve, start};

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
