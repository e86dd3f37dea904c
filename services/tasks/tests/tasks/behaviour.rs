//! What holds of every queue. Each test runs with a queue in memory, over an endpoint, and with RabbitMQ
//! and Redis.

use std::time::{Duration, Instant, SystemTime};

use tce_tasks::{
    ResultError, SendError, TaskCtl, Worker,
    model::{AbortAnswer, Backoff, Priority, Status},
};
use tempfile::TempDir;

use super::{LONG, MathImpl, POLL, Setup, assert_status, finished, math::MathServant, runs, start};

/// A file that counts the runs of `flaky`.
fn key(folder: &TempDir) -> String {
    folder.path().join("runs").to_str().unwrap().to_owned()
}

pub(super) const FAST: TaskCtl = TaskCtl::Backoff(Backoff::Fixed(Duration::from_millis(20)));

for_each_queue! {
    a_result_is_read_by_index_or_as_a_tuple,
    a_failed_attempt_is_repeated,
    a_task_without_retries_left_fails_with_the_text_of_the_servant,
    a_short_delay_is_not_blocked_by_a_long_one,
    no_attempt_begins_after_the_expiry,
    an_aborted_task_never_runs_and_a_final_record_never_changes,
    an_abort_between_attempts_prevents_the_next_one,
    waiting_for_a_result_ends_in_time_and_says_why,
    what_can_never_succeed_fails_at_once,
    an_attempt_past_its_time_limit_has_failed,
    what_breaks_a_limit_is_refused_at_send,
    a_second_send_of_an_id_has_no_effect,
    a_record_ends_with_its_time,
    a_running_task_is_told_of_an_abort_and_shows_its_progress,
    an_attempt_that_does_not_end_in_time_is_handed_back_at_shutdown,
    a_result_that_is_not_kept_still_prevents_a_second_run,
    a_unique_key_is_held_by_one_task_until_it_ends,
    tasks_of_high_priority_are_taken_more_often,
    what_runs_at_a_shutdown_ends_and_what_waits_runs_elsewhere,
}

pub(super) async fn a_result_is_read_by_index_or_as_a_tuple(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let id = client.send(group, "add", (12, 33)).await.unwrap();
    let result = finished(client, &id).await;
    assert_status(&result, Status::Success);
    assert_eq!(result.get_int64(0), Ok(45));
    let error = result.get_bool(1).unwrap_err().to_string();
    assert_eq!(error, "the result, long, has no bool at index 1");

    let id = client
        .send(group, "math.Math.addOk", (12, 33))
        .await
        .unwrap();
    let result = finished(client, &id).await;
    assert_eq!(result.gets(), Ok((45_i64, true)));
    assert_eq!(result.type_name(), "struct Both");
}

pub(super) async fn a_failed_attempt_is_repeated(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let folder = tempfile::tempdir().unwrap();
    let client = client
        .set_task_ctl(FAST)
        .set_task_ctl(TaskCtl::RetryCount(5));
    let id = client
        .send(group, "flaky", (key(&folder), 2))
        .await
        .unwrap();
    let result = finished(&client, &id).await;
    assert_status(&result, Status::Success);
    assert_eq!((result.retries(), result.get_int64(0)), (2, Ok(3)));
}

pub(super) async fn a_task_without_retries_left_fails_with_the_text_of_the_servant(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let client = client.set_task_ctl(FAST);
    for (client, expected) in [
        (client.clone(), 4),
        (client.set_task_ctl(TaskCtl::RetryCount(0)), 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let id = client
            .send(group, "flaky", (key(&folder), 99))
            .await
            .unwrap();
        let result = finished(&client, &id).await;
        assert_status(&result, Status::Failure);
        assert_eq!(result.error(), "flaky failed");
        assert_eq!(runs(&folder.path().join("runs")).len(), expected);
    }
}

pub(super) async fn a_short_delay_is_not_blocked_by_a_long_one(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let after = |secs| client.set_task_ctl(TaskCtl::RunAfter(Duration::from_secs(secs)));
    let late = after(60).send(group, "add", (1, 2)).await.unwrap();
    let sent = Instant::now();
    let soon = after(1).send(group, "add", (1, 2)).await.unwrap();
    finished(client, &soon).await;
    let after = sent.elapsed();
    let bounds = Duration::from_millis(999)..Duration::from_millis(2500);
    assert!(bounds.contains(&after), "{after:?}");
    let error = client
        .get_result(&late, Duration::ZERO, POLL)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ResultError::Timeout(Status::Sent)),
        "{error}"
    );
    let past = SystemTime::now() - Duration::from_secs(60);
    let sent = Instant::now();
    let past = client.set_task_ctl(TaskCtl::RunAt(past));
    let at_once = past.send(group, "add", (1, 2)).await.unwrap();
    finished(client, &at_once).await;
    assert!(
        sent.elapsed() < Duration::from_millis(1500),
        "{:?}",
        sent.elapsed()
    );
}

pub(super) async fn no_attempt_begins_after_the_expiry(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let folder = tempfile::tempdir().unwrap();
    let expires = SystemTime::now() + Duration::from_millis(200);
    let client = client.set_task_ctl(TaskCtl::ExpireTime(expires));
    let id = client
        .send(group, "flaky", (key(&folder), 0))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _worker = start(tasks, group).await;
    assert_status(&finished(&client, &id).await, Status::Expired);
    assert_eq!(runs(&folder.path().join("runs")).len(), 0);

    let late = client.set_task_ctl(TaskCtl::RunAfter(Duration::from_secs(60)));
    let error = late.send(group, "add", (1, 2)).await.unwrap_err();
    assert!(
        error.to_string().contains("expected a time after `run_at`"),
        "{error}"
    );
}

pub(super) async fn an_aborted_task_never_runs_and_a_final_record_never_changes(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let id = client.send(group, "add", (1, 2)).await.unwrap();
    assert_eq!(client.abort(&id).await.unwrap(), AbortAnswer::Done);
    let _worker = start(tasks, group).await;
    assert_status(&finished(client, &id).await, Status::Aborted);

    let id = client.send(group, "add", (1, 2)).await.unwrap();
    let before = finished(client, &id).await;
    let answer = client.abort(&id).await.unwrap();
    assert_eq!(answer, AbortAnswer::Finished(Status::Success));
    assert_eq!(finished(client, &id).await, before);
}

pub(super) async fn an_abort_between_attempts_prevents_the_next_one(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let folder = tempfile::tempdir().unwrap();
    let pause = TaskCtl::Backoff(Backoff::Fixed(Duration::from_secs(1)));
    let client = client.set_task_ctl(pause);
    let id = client
        .send(group, "flaky", (key(&folder), 99))
        .await
        .unwrap();
    loop {
        let result = client.get_result2(&id, LONG, POLL).await.unwrap();
        if result.status() == Status::WaitingRetry {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.abort(&id).await.unwrap(), AbortAnswer::Requested);
    assert_status(&finished(&client, &id).await, Status::Aborted);
    assert_eq!(runs(&folder.path().join("runs")).len(), 1);
}

pub(super) async fn waiting_for_a_result_ends_in_time_and_says_why(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let id = client.send(group, "sleep", (5000,)).await.unwrap();
    let started = client.get_result2(&id, LONG, POLL).await.unwrap();
    assert_status(&started, Status::FirstRunning);
    let short = Duration::from_millis(200);
    let error = client.get_result(&id, short, POLL).await.unwrap_err();
    assert!(
        matches!(error, ResultError::Timeout(Status::FirstRunning)),
        "{error}"
    );
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8059";
    let error = client.get_result(unknown, short, POLL).await.unwrap_err();
    assert!(matches!(error, ResultError::NotFound(_)), "{error}");
}

pub(super) async fn what_can_never_succeed_fails_at_once(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let id = client.send(group, "subtract", (1, 2)).await.unwrap();
    let result = finished(client, &id).await;
    assert_status(&result, Status::Failure);
    assert!(
        result.error().contains("there is no operation `subtract`"),
        "{}",
        result.error()
    );
    let id = client.send(group, "add", ("x", 1)).await.unwrap();
    let result = finished(client, &id).await;
    assert!(
        result
            .error()
            .contains("expected an int (32 bits), got \"x\""),
        "{}",
        result.error()
    );
    assert_eq!(result.retries(), 0);
    // It is dead, and can be queued again.
    let ids = [id.clone()];
    assert_eq!(tasks.requeue_dead(&ids).await.unwrap(), 1);
    tokio::time::timeout(LONG, async {
        while tasks.drop_dead(&ids).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let error = client
        .get_result(&id, Duration::ZERO, POLL)
        .await
        .unwrap_err();
    assert!(matches!(error, ResultError::NotFound(_)), "{error}");
    // A servant may forbid the retry, too.
    let id = client.send(group, "sq", (i64::MAX,)).await.unwrap();
    let result = finished(client, &id).await;
    assert_eq!(
        (result.retries(), result.error()),
        (0, "the square overflows")
    );
}

pub(super) async fn an_attempt_past_its_time_limit_has_failed(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let client = client
        .set_task_ctl(TaskCtl::TimeLimit(Duration::from_millis(100)))
        .set_task_ctl(TaskCtl::RetryCount(0));
    let id = client.send(group, "sleep", (5000,)).await.unwrap();
    assert_status(&finished(&client, &id).await, Status::Failure);
}

pub(super) async fn what_breaks_a_limit_is_refused_at_send(setup: Setup) {
    let Setup { client, group, .. } = &setup;
    let large = "x".repeat(1 << 20);
    let error = client.send(group, "flaky", (large, 1)).await.unwrap_err();
    assert!(
        error.to_string().contains("the limit is 1048576"),
        "{error}"
    );
    let error = client.send(group, "add", 12).await.unwrap_err();
    assert!(matches!(error, SendError::NoTuple), "{error}");
    let error = client.send("", "add", (1, 2)).await.unwrap_err();
    assert!(
        error.to_string().contains("the name of the group"),
        "{error}"
    );
    let error = client
        .send_with_id("7", group, "add", ())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("expected a UUID"), "{error}");
}

pub(super) async fn a_second_send_of_an_id_has_no_effect(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let folder = tempfile::tempdir().unwrap();
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let arguments = (key(&folder), 0);
    client
        .send_with_id(id, group, "flaky", &arguments)
        .await
        .unwrap();
    client
        .send_with_id(id, group, "flaky", &arguments)
        .await
        .unwrap();
    let worker = start(tasks, group).await;
    finished(client, id).await;
    client
        .send_with_id(id, group, "flaky", &arguments)
        .await
        .unwrap();
    assert!(worker.shutdown(LONG).await);
    assert_eq!(runs(&folder.path().join("runs")).len(), 1);
    assert_eq!(tasks.stats(group).await.unwrap()["success"], 1);
}

pub(super) async fn a_record_ends_with_its_time(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let kept = |kept| client.set_task_ctl(TaskCtl::ResultExpires(kept));
    let short = kept(Some(Duration::from_millis(100)));
    let id = short.send(group, "add", (1, 2)).await.unwrap();
    let ever = kept(None).send(group, "add", (1, 2)).await.unwrap();
    finished(client, &ever).await;
    tokio::time::timeout(LONG, async {
        while tasks.record(&id, Duration::ZERO, true).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    assert_status(&finished(client, &ever).await, Status::Success);
}

pub(super) async fn a_running_task_is_told_of_an_abort_and_shows_its_progress(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let id = client.send(group, "sleep", (20_000,)).await.unwrap();
    tokio::time::timeout(LONG, async {
        loop {
            let result = client.get_result2(&id, LONG, POLL).await.unwrap();
            if (result.record().percent, result.record().note.as_str()) == (40, "sleeping") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(client.abort(&id).await.unwrap(), AbortAnswer::Requested);
    let requested = Instant::now();
    let result = finished(client, &id).await;
    assert_status(&result, Status::Aborted);
    assert_eq!(result.error(), "stopped itself");
    assert!(
        requested.elapsed() < Duration::from_secs(5),
        "{:?}",
        requested.elapsed()
    );
}

pub(super) async fn an_attempt_that_does_not_end_in_time_is_handed_back_at_shutdown(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let worker = start(tasks, group).await;
    let id = client.send(group, "sleep", (20_000,)).await.unwrap();
    client.get_result2(&id, LONG, POLL).await.unwrap();
    assert!(!worker.shutdown(Duration::from_millis(50)).await);
    let record = tasks.record(&id, Duration::ZERO, true).await.unwrap();
    assert_eq!((record.status, record.deaths), (Status::Sent.number(), 0));
    assert_eq!(client.abort(&id).await.unwrap(), AbortAnswer::Done);
}

pub(super) async fn a_result_that_is_not_kept_still_prevents_a_second_run(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let folder = tempfile::tempdir().unwrap();
    let client = client.set_task_ctl(TaskCtl::ResultExpires(Some(Duration::ZERO)));
    let worker = start(tasks, group).await;
    let id = "01890a5d-ac96-774b-bcce-b302099a8058";
    for _ in 0..2 {
        let sent = client.send_with_id(id, group, "flaky", (key(&folder), 0));
        sent.await.unwrap();
        let error = client.get_result(id, Duration::from_secs(1), POLL).await;
        assert!(matches!(error, Err(ResultError::NotFound(_))), "{error:?}");
    }
    assert!(worker.shutdown(LONG).await);
    assert_eq!(runs(&folder.path().join("runs")).len(), 1);
}

pub(super) async fn a_unique_key_is_held_by_one_task_until_it_ends(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let key = TaskCtl::Unique(group.clone());
    let unique = client.set_task_ctl(key.clone());
    let sending = (0..100).map(|number| unique.send(group, "add", (number, 0)));
    let sent = futures_util::future::join_all(sending).await;
    let first = sent[0].as_ref().unwrap();
    assert!(sent.iter().all(|id| id.as_ref().unwrap() == first));
    assert_eq!(tasks.stats(group).await.unwrap()["queued"], 1);
    // A task that is sent again holds its own key.
    let again = unique.send_with_id(first, group, "add", (0, 0)).await;
    assert_eq!(again.unwrap(), *first);
    assert_eq!(client.abort(first).await.unwrap(), AbortAnswer::Done);

    let _worker = start(tasks, group).await;
    let chain = client.workflow().send(group, "add", (1, 2));
    let chain = chain.set_task_ctl(key).send(group, "sq", ());
    let chain = chain.set_task_ctl(TaskCtl::RunAfter(Duration::from_secs(1)));
    let second = chain.done().await.unwrap();
    assert_ne!(second, *first);
    tokio::time::timeout(LONG, async {
        while !client
            .get_result2(&second, LONG, POLL)
            .await
            .is_ok_and(|result| result.steps()[0].status == "success")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    // The whole workflow holds the key.
    assert_eq!(unique.send(group, "add", (1, 2)).await.unwrap(), second);
    assert_eq!(finished(client, &second).await.get_int64(0), Ok(9));
    // Its result is kept, and its key is free. Sending it again does not take the key.
    unique
        .send_with_id(&second, group, "add", (1, 2))
        .await
        .unwrap();
    let third = unique.send(group, "add", (1, 2)).await.unwrap();
    assert_ne!(third, second);
    assert_eq!(finished(client, &third).await.get_int64(0), Ok(3));
}

pub(super) async fn tasks_of_high_priority_are_taken_more_often(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let folder = tempfile::tempdir().unwrap();
    let priorities = [Priority::Low, Priority::Normal, Priority::High];
    for priority in priorities {
        let client = client.set_task_ctl(TaskCtl::Priority(priority));
        let key = folder.path().join(priority.to_string());
        let sending = (0..30).map(|_| client.send(group, "flaky", (&key, 0)));
        for sent in futures_util::future::join_all(sending).await {
            sent.unwrap();
        }
    }
    let worker = Worker::new(tasks).group(group, |group| {
        group.concurrency(1).servant(MathServant::new(MathImpl))
    });
    let _worker = worker.start().await.unwrap();
    let ran = |priority: Priority| runs(&folder.path().join(priority.to_string()));
    tokio::time::timeout(LONG, async {
        while priorities.iter().any(|priority| ran(*priority).len() < 30) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let mut order: Vec<(u128, usize)> = Vec::new();
    for (index, priority) in priorities.into_iter().enumerate() {
        order.extend(ran(priority).into_iter().map(|at| (at, index)));
    }
    order.sort_unstable();
    let mut first = [0; 3];
    for (_, index) in &order[..36] {
        first[*index] += 1;
    }
    // 3, 9 and 24 in turn; where a broker delivers in advance the first ones are others.
    assert!((1..=6).contains(&first[0]) && first[2] >= 20, "{first:?}");
}

pub(super) async fn what_runs_at_a_shutdown_ends_and_what_waits_runs_elsewhere(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let worker = start(tasks, group).await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(client.send(group, "sleep", (800,)).await.unwrap());
    }
    client.get_result2(&ids[0], LONG, POLL).await.unwrap();
    assert!(worker.shutdown(LONG).await);
    let ended = tasks.stats(group).await.unwrap()["success"];
    assert!((1..=3).contains(&ended), "{ended}");
    let _worker = start(tasks, group).await;
    for id in &ids {
        let result = finished(client, id).await;
        assert_status(&result, Status::Success);
        let record = result.record();
        assert_eq!((record.deaths, record.retries), (0, 0));
    }
}
