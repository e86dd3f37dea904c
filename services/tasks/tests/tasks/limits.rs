//! Limits of groups and operations. Each test runs with each queue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use tce_runtime::{Context, Fault};
use tce_tasks::{Rate, Tasks, TasksConfig, Worker, WorkerError};

use super::{
    MathImpl, Setup, finished,
    math::{Both, MathServant, Steps, StepsServant},
    start,
};

for_each_queue! {
    no_more_tasks_run_at_once_than_the_limits_admit,
    a_task_above_the_rate_of_its_operation_holds_no_slot,
}

/// Counts what runs at once.
#[derive(Default)]
struct Peak {
    running: AtomicI32,
    peak: AtomicI32,
}

impl Peak {
    async fn run(&self) {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(150)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    fn get(&self) -> i32 {
        self.peak.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
struct Counting {
    checked: Peak,
    sum_of: Peak,
}

impl Steps for Arc<Counting> {
    async fn checked(&self, sum: i64, _: bool, _: &Context) -> Result<i64, Fault> {
        self.checked.run().await;
        Ok(sum)
    }

    async fn sum_of(&self, both: Both, _: &Context) -> Result<i64, Fault> {
        self.sum_of.run().await;
        Ok(both.sum)
    }
}

pub(super) async fn no_more_tasks_run_at_once_than_the_limits_admit(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let other = format!("{group}2");
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(match number % 2 {
            0 => client.send(group, "checked", (number, true)).await.unwrap(),
            _ => {
                let both = serde_json::json!({"sum": number, "ok": true});
                client.send(group, "sumOf", (both,)).await.unwrap()
            }
        });
    }
    let counting = Arc::new(Counting::default());
    let worker = Worker::new(tasks).group(group, |group| {
        let servant = StepsServant::new(Arc::clone(&counting));
        group
            .concurrency(3)
            .servant(servant)
            .limit("Steps.sumOf", 1)
    });
    let _workers = (worker.start().await.unwrap(), start(tasks, &other).await);
    let unhindered = client.send(&other, "add", (1, 2)).await.unwrap();
    assert_eq!(finished(client, &unhindered).await.get_int64(0), Ok(3));
    for id in &ids {
        let result = finished(client, id).await;
        assert!(result.is_success(), "{:?}", result.record());
        assert_eq!((result.record().deaths, result.retries()), (0, 0));
    }
    assert_eq!(counting.sum_of.get(), 1);
    assert!((2..=3).contains(&counting.checked.get()));
}

pub(super) async fn a_task_above_the_rate_of_its_operation_holds_no_slot(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let mut limited = Vec::new();
    for _ in 0..2 {
        limited.push(client.send(group, "add", (1, 2)).await.unwrap());
    }
    let free = client.send(group, "sq", (3,)).await.unwrap();
    let mut paced = Vec::new();
    for _ in 0..10 {
        paced.push(client.send(group, "addOk", (1, 2)).await.unwrap());
    }
    let worker = Worker::new(tasks).group(group, |group| {
        let group = group.concurrency(1).servant(MathServant::new(MathImpl));
        let group = group.rate("add", Rate::new(1, Duration::from_secs(2)));
        group.rate("addOk", Rate::per_second(20))
    });
    let started = Instant::now();
    let _worker = worker.start().await.unwrap();
    finished(client, &free).await;
    assert!(!finished(client, &limited[0]).await.is_failure());
    let error = client
        .get_result(&limited[1], Duration::ZERO, Duration::ZERO)
        .await;
    assert!(error.is_err(), "{error:?}");
    for id in &paced {
        finished(client, id).await;
    }
    // 9 intervals of 50 ms, less the 250 ms that may be made up for.
    assert!(
        started.elapsed() >= Duration::from_millis(200),
        "{:?}",
        started.elapsed()
    );
    finished(client, &limited[1]).await;
    assert!(
        started.elapsed() >= Duration::from_millis(1750),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_limit_of_an_unknown_operation_is_refused() {
    let tasks = Tasks::open(TasksConfig::in_memory()).await.unwrap();
    let worker = Worker::new(&tasks).group("group1", |group| {
        group.servant(MathServant::new(MathImpl)).limit("ad", 1)
    });
    let error = worker.start().await.unwrap_err();
    assert!(matches!(error, WorkerError::Limit(..)), "{error}");
    assert!(error.to_string().contains("did you mean"), "{error}");
}
