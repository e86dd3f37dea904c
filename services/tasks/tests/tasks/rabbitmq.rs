//! Failures of RabbitMQ, of Redis and of workers.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tce_tasks::{
    AmqpConfig, QueueError, TaskClient, TaskCtl, Tasks, TasksConfig, Worker, WorkerError,
    model::{Backoff, Status},
};
use tce_test_rabbitmq::Node;
use tce_test_redis::RedisServer;

use super::{LONG, Setup, amqp, assert_status, finished, redis, runs, start};

/// Ends the test if a condition does not become true in time.
async fn until(mut is_true: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_true().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap();
}

async fn status(tasks: &Tasks, id: &str) -> Option<u8> {
    let record = tasks.record(id, Duration::ZERO, true).await;
    record.ok().map(|record| record.status)
}

async fn send_many(client: &TaskClient, group: &str, count: i32) -> Vec<String> {
    let sending = (0..count).map(|number| client.send(group, "add", (number, 1)));
    let sent = futures_util::future::join_all(sending).await;
    sent.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_retry_passes_the_same_delays_again() {
    let setup = Setup::rabbitmq("a_retry_passes_the_same_delays_again").await;
    let _worker = start(&setup.tasks, &setup.group).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("runs");
    let client = setup
        .client
        .set_task_ctl(TaskCtl::Backoff(Backoff::Fixed(Duration::from_millis(200))))
        .set_task_ctl(TaskCtl::RetryCount(5));
    let id = client.send(&setup.group, "flaky", (&key, 5)).await.unwrap();
    let result = finished(&client, &id).await;
    assert_status(&result, Status::Success);
    let runs = runs(&key);
    assert_eq!((result.retries(), runs.len()), (5, 6));
    assert!(
        runs.windows(2).all(|pair| pair[1] - pair[0] >= 200),
        "{runs:?}"
    );
}

#[tokio::test]
async fn tasks_whose_queue_is_gone_delay_no_others_and_can_be_requeued() {
    let setup = Setup::rabbitmq("others").await;
    let client = setup
        .client
        .set_task_ctl(TaskCtl::RunAfter(Duration::from_secs(1)));
    let lost = send_many(&client, "gone", 40).await;
    let ids = send_many(&client, &setup.group, 40).await;
    let channel = channel().await;
    let options = lapin::options::QueueDeleteOptions::default();
    let deleted = channel.queue_delete("tce.tasks.group.gone".into(), options);
    deleted.await.unwrap();
    let _worker = start(&setup.tasks, &setup.group).await;
    for id in &ids {
        assert_status(&finished(&client, id).await, Status::Success);
    }
    let mut requeued = 0;
    until(async || {
        requeued += setup.tasks.requeue_dead(&lost).await.unwrap();
        requeued == 40
    })
    .await;
    let _gone = start(&setup.tasks, "gone").await;
    for id in &lost {
        assert_status(&finished(&client, id).await, Status::Success);
    }
}

/// A channel of the test.
async fn channel() -> lapin::Channel {
    let (uri, options) = (amqp(), lapin::ConnectionProperties::default());
    let connection = lapin::Connection::connect(&uri, options).await.unwrap();
    connection.create_channel().await.unwrap()
}

/// What the process of a worker needs: broker, store and group.
const WORKER: &str = "TCE_TASKS_TEST_WORKER";

/// The process of a worker that the test kills. Without the variable this is no such process.
#[tokio::test]
async fn process_of_a_worker() {
    let Ok(place) = std::env::var(WORKER) else {
        return;
    };
    let mut words = place.split(' ');
    let mut word = || words.next().unwrap();
    let config = TasksConfig::amqp(word(), word());
    let tasks = Tasks::open(config).await.unwrap();
    let _worker = start(&tasks, word()).await;
    std::future::pending::<()>().await;
}

/// Starts the process of a worker.
fn spawn(group: &str) -> Child {
    // With this heartbeat the broker gives the tasks of a silent worker up after 2 s.
    let place = format!("{}?heartbeat=1 {} {group}", amqp(), redis());
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rabbitmq::process_of_a_worker"])
        .env(WORKER, place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_task_of_a_worker_that_is_killed_runs_elsewhere() {
    let setup = Setup::rabbitmq("killed").await;
    let mut child = spawn("killed");
    let id = setup.client.send("killed", "sleep", (500,)).await.unwrap();
    setup.client.get_result2(&id, LONG, LONG).await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let _worker = start(&setup.tasks, "killed").await;
    let result = finished(&setup.client, &id).await;
    assert_status(&result, Status::Success);
    assert_eq!(result.record().deaths, 1);
}

#[tokio::test]
async fn no_task_waits_behind_long_ones_of_a_busy_worker() {
    let setup = Setup::rabbitmq("busy").await;
    let mut child = spawn("busy");
    let mut ids = Vec::new();
    // 3 of them run, and the broker has delivered 3 more in advance.
    for _ in 0..6 {
        ids.push(setup.client.send("busy", "sleep", (6_000,)).await.unwrap());
    }
    for id in &ids[..3] {
        setup.client.get_result2(id, LONG, LONG).await.unwrap();
    }
    let _worker = start(&setup.tasks, "busy").await;
    let started = Instant::now();
    for id in &ids[3..] {
        setup.client.get_result2(id, LONG, LONG).await.unwrap();
    }
    let waited = started.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(waited < Duration::from_secs(4), "{waited:?}");
}

#[tokio::test]
async fn a_task_that_ends_its_worker_three_times_is_dead_until_it_is_requeued() {
    let setup = Setup::rabbitmq("poison").await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("runs");
    let id = setup.client.send("poison", "die", (&key,)).await.unwrap();
    let ids = std::slice::from_ref(&id);
    for round in 1..=3 {
        assert!(!spawn("poison").wait().unwrap().success());
        assert_eq!(runs(&key).len(), round);
    }
    // The fourth delivery finds that the third worker has died, too.
    let worker = start(&setup.tasks, "poison").await;
    let result = finished(&setup.client, &id).await;
    assert_status(&result, Status::Failure);
    let record = result.record();
    assert_eq!((result.error(), record.deaths), ("worker died 3 times", 3));
    assert!(record.dead && worker.shutdown(LONG).await);
    until(async || setup.tasks.requeue_dead(ids).await.unwrap() == 1).await;
    assert!(!spawn("poison").wait().unwrap().success());
    assert_eq!(runs(&key).len(), 4);
    assert_eq!(status(&setup.tasks, &id).await, Some(1));
}

#[tokio::test]
async fn a_worker_that_wakes_up_late_changes_no_outcome_and_goes_on() {
    let setup = Setup::rabbitmq("stopped").await;
    let mut child = spawn("stopped");
    let signal = |signal: &str| {
        let mut command = Command::new("kill");
        command
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
    };
    let id = setup
        .client
        .send("stopped", "sleep", (1000,))
        .await
        .unwrap();
    setup.client.get_result2(&id, LONG, LONG).await.unwrap();
    signal("-STOP");
    let worker = start(&setup.tasks, "stopped").await;
    let result = finished(&setup.client, &id).await;
    assert_status(&result, Status::Success);
    assert_eq!(result.record().deaths, 1);
    assert!(worker.shutdown(LONG).await);
    signal("-CONT");
    let next = setup.client.send("stopped", "add", (12, 33)).await.unwrap();
    assert_eq!(finished(&setup.client, &next).await.get_int64(0), Ok(45));
    // The attempt that was stopped has ended long before.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(finished(&setup.client, &id).await, result);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn no_task_is_lost_and_none_begins_too_early_when_the_broker_is_killed_or_hangs() {
    let mut node = Node::start();
    let uri = format!("amqp://127.0.0.1:{}/%2f?heartbeat=1", node.port());
    let tasks = Tasks::open(TasksConfig::amqp(&uri, redis())).await.unwrap();
    let client = tasks.client();
    let folder = tempfile::tempdir().unwrap();
    // Quorum queues that were just declared may come back without a leader: the first tasks declare
    // them, 3 s before the broker is killed.
    let delayed = client.set_task_ctl(TaskCtl::RunAfter(Duration::from_secs(8)));
    let key = |number: i32| folder.path().join(format!("runs{number}"));
    let sent = std::time::SystemTime::now();
    let mut ids = Vec::new();
    for number in 0..20 {
        let id = delayed
            .send("broker", "flaky", (key(number), 0))
            .await
            .unwrap();
        ids.push(id);
    }
    ids.extend(send_many(&client, "broker", 50).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let _worker = start(&tasks, "broker").await;
    node.kill();
    node.restart();
    ids.extend(send_many(&client, "broker", 5).await);
    // A broker that hangs: with heartbeats of 1 s its connections are lost after 2 s.
    node.pause();
    tokio::time::sleep(Duration::from_secs(4)).await;
    node.resume();
    ids.extend(send_many(&client, "broker", 5).await);
    for id in &ids {
        assert_status(&finished(&client, id).await, Status::Success);
    }
    let sent = sent
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    for number in 0..20 {
        assert!(runs(&key(number))[0] >= sent.as_millis() + 8000);
    }
}

#[tokio::test]
async fn tasks_run_while_redis_is_away_and_their_results_arrive_later() {
    let server = RedisServer::start();
    // The queue of outcomes belongs to one store.
    let config = AmqpConfig::new(amqp()).prefix("away.").store(server.url());
    let tasks = Tasks::open(TasksConfig::Amqp(config)).await.unwrap();
    let client = tasks.client();
    let folder = tempfile::tempdir().unwrap();
    let key = |number: usize| folder.path().join(format!("runs{number}"));
    let _worker = start(&tasks, "away").await;
    server.pause();
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(
            client
                .send("away", "flaky", (key(number), 0))
                .await
                .unwrap(),
        );
    }
    until(async || (0..20).all(|number| runs(&key(number)).len() == 1)).await;
    server.resume();
    for id in &ids {
        until(async || status(&tasks, id).await == Some(Status::Success.number())).await;
    }
    assert!((0..20).all(|number| runs(&key(number)).len() == 1));
}

#[tokio::test]
async fn readers_leave_no_subscription_at_redis() {
    let server = RedisServer::start();
    let config = AmqpConfig::new(amqp())
        .prefix("readers.")
        .store(server.url());
    let tasks = Tasks::open(TasksConfig::Amqp(config)).await.unwrap();
    let client = tasks.client();
    let _worker = start(&tasks, "readers").await;
    for id in send_many(&client, "readers", 10).await {
        assert_status(&finished(&client, &id).await, Status::Success);
    }
    let redis = redis::Client::open(server.url()).unwrap();
    let mut connection = redis.get_multiplexed_async_connection().await.unwrap();
    until(async || {
        let mut listing = redis::cmd("PUBSUB");
        let listing = listing
            .arg("CHANNELS")
            .query_async::<Vec<String>>(&mut connection);
        listing.await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_time_limit_above_the_consumer_timeout_is_refused() {
    let config = AmqpConfig::new(amqp()).broker_consumer_timeout(Duration::from_secs(5));
    let tasks = Tasks::open(TasksConfig::Amqp(config)).await.unwrap();
    let worker = |secs| Worker::new(&tasks).time_limit(Duration::from_secs(secs));
    let error = worker(20).start().await.unwrap_err();
    assert!(matches!(error, WorkerError::TimeLimit { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("20s") && text.contains("5s"), "{text}");
    assert!(worker(4).start().await.is_ok());
}

#[tokio::test]
async fn without_a_store_tasks_run_and_have_no_results() {
    let config = AmqpConfig::new(amqp());
    let tasks = Tasks::open(TasksConfig::Amqp(config)).await.unwrap();
    let _worker = start(&tasks, "storeless").await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("runs");
    let fast = TaskCtl::Backoff(Backoff::Fixed(Duration::from_millis(20)));
    let client = tasks.client().set_task_ctl(fast);
    let id = client.send("storeless", "flaky", (&key, 2)).await.unwrap();
    until(async || runs(&key).len() == 3).await;
    let error = tasks.record(&id, Duration::ZERO, true).await.unwrap_err();
    assert!(matches!(error, QueueError::NoStore), "{error}");
    assert!(matches!(client.abort(&id).await, Err(QueueError::NoStore)));
}

#[tokio::test]
async fn a_message_of_a_foreign_publisher_runs() {
    let setup = Setup::rabbitmq("foreign").await;
    let _worker = start(&setup.tasks, "foreign").await;
    let id = "01890a5d-ac96-774b-bcce-b302099a80f0";
    let properties = lapin::BasicProperties::default()
        .with_message_id(id.into())
        .with_type("add".into())
        .with_content_type("application/json".into());
    let channel = channel().await;
    let publish = async || {
        let options = lapin::options::BasicPublishOptions::default();
        let queue = "tce.tasks.group.foreign".into();
        let sent =
            channel.basic_publish("".into(), queue, options, b"[12, 33]", properties.clone());
        sent.await.unwrap().await.unwrap();
    };
    // Until the worker has declared the queue the broker drops the message.
    until(async || {
        publish().await;
        status(&setup.tasks, id).await == Some(Status::Success.number())
    })
    .await;
    assert_eq!(finished(&setup.client, id).await.get_int64(0), Ok(45));
}
