//! Workflows: chains of operations under one id. Each test runs with each queue.

use std::time::{Duration, Instant, SystemTime};

use tce_tasks::{SendError, TaskCtl, TaskResult, model::Status};

use super::{LONG, POLL, Setup, assert_status, behaviour::FAST, finished, start};

for_each_queue! {
    the_result_of_a_step_is_the_argument_of_the_next_one,
    a_struct_is_one_argument_or_its_members,
    each_step_has_its_own_settings,
    the_steps_show_how_far_a_workflow_is,
    what_a_step_can_not_have_is_refused_at_send,
}

/// The statuses of the steps.
fn steps(result: &TaskResult) -> Vec<&str> {
    let steps = result.steps().iter();
    steps.map(|step| step.status.as_str()).collect()
}

pub(super) async fn the_result_of_a_step_is_the_argument_of_the_next_one(setup: Setup) {
    let Setup { tasks, client, .. } = &setup;
    let (group, other) = (&setup.group, &format!("{}2", setup.group));
    let _workers = (start(tasks, group).await, start(tasks, other).await);
    let chain = client.workflow().send(group, "add", (1, 2));
    let id = chain.send(other, "sq", ()).done().await.unwrap();
    let result = finished(client, &id).await;
    assert_status(&result, Status::Success);
    assert_eq!(
        (result.get_int64(0), steps(&result)),
        (Ok(9), vec!["success"; 2])
    );
    assert_eq!(
        (
            result.steps()[0].group.as_str(),
            result.steps()[1].operation.as_str()
        ),
        (group.as_str(), "sq")
    );

    // Steps are told apart by their position.
    let chain = client.workflow().send(group, "sq", (3,));
    let id = chain.send(group, "sq", ()).done().await.unwrap();
    assert_eq!(finished(client, &id).await.get_int64(0), Ok(81));
    // A workflow of one step is a task.
    let id = client
        .workflow()
        .send(group, "add", (1, 2))
        .done()
        .await
        .unwrap();
    let result = finished(client, &id).await;
    assert_eq!((result.get_int64(0), result.steps().len()), (Ok(3), 0));
}

pub(super) async fn a_struct_is_one_argument_or_its_members(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    for operation in ["checked", "sumOf"] {
        let chain = client.workflow().send(group, "addOk", (12, 33));
        let id = chain.send(group, operation, ()).done().await.unwrap();
        assert_eq!(
            finished(client, &id).await.get_int64(0),
            Ok(45),
            "{operation}"
        );
    }
    // A result that is no argument of the next step.
    let chain = client.workflow().send(group, "addOk", (12, 33));
    let id = chain.send(group, "add", ()).done().await.unwrap();
    let result = finished(client, &id).await;
    assert_eq!(steps(&result), ["success", "failure"]);
    assert!(
        result.error().contains("expected an int"),
        "{}",
        result.error()
    );
}

pub(super) async fn each_step_has_its_own_settings(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let _worker = start(tasks, group).await;
    let sent = Instant::now();
    let pause = |ms| TaskCtl::RunAfter(Duration::from_millis(ms));
    let id = client
        .workflow()
        .send(group, "add", (i32::MAX - 1, 0))
        .set_task_ctl(pause(300))
        .set_task_ctl(TaskCtl::RetryCount(0))
        .send(group, "sq", ())
        .set_task_ctl(pause(300))
        .done()
        .await
        .unwrap();
    finished(client, &id).await;
    assert!(
        sent.elapsed() >= Duration::from_millis(599),
        "{:?}",
        sent.elapsed()
    );

    let id = client
        .workflow()
        .send(group, "addOk", (i32::MAX, 1))
        .set_task_ctl(TaskCtl::RetryCount(0))
        .send(group, "checked", ())
        .set_task_ctl(FAST)
        .done()
        .await
        .unwrap();
    let result = finished(client, &id).await;
    assert_status(&result, Status::Failure);
    assert_eq!((result.retries(), result.error()), (3, "not ok"));
    assert_eq!(steps(&result), ["success", "failure"]);
}

pub(super) async fn the_steps_show_how_far_a_workflow_is(setup: Setup) {
    let Setup {
        tasks,
        client,
        group,
        ..
    } = &setup;
    let chain = client.workflow().send(group, "add", (10_000, 10_000));
    let id = chain.send(group, "sleep", ()).done().await.unwrap();
    let record = tasks.record(&id, Duration::ZERO, true).await.unwrap();
    assert_eq!(record.steps[0].status, "waiting");
    let _worker = start(tasks, group).await;
    let running = async {
        loop {
            let result = client.get_result2(&id, LONG, POLL).await.unwrap();
            if steps(&result) == ["success", "running"] && result.record().percent == 40 {
                return result;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let result = tokio::time::timeout(LONG, running).await.unwrap();
    assert_status(&result, Status::Running);
    client.abort(&id).await.unwrap();
    let result = finished(client, &id).await;
    assert_status(&result, Status::Aborted);
    assert_eq!(steps(&result), ["success", "abort"]);

    let chain = client.workflow().send(group, "sq", (3_000_000_000_i64,));
    let chain = chain.send(group, "sq", ()).send(group, "sq", ());
    let id = chain.done().await.unwrap();
    let result = finished(client, &id).await;
    assert_status(&result, Status::Failure);
    assert_eq!(steps(&result), ["success", "failure", "waiting"]);
    // A dead workflow goes on with the step that failed.
    let ids = [id.clone()];
    assert_eq!(tasks.requeue_dead(&ids).await.unwrap(), 1);
    let again = finished(client, &id).await;
    assert_eq!(
        (again.error(), steps(&again)),
        (result.error(), steps(&result))
    );
}

pub(super) async fn what_a_step_can_not_have_is_refused_at_send(setup: Setup) {
    let Setup { client, group, .. } = &setup;
    let chain = || client.workflow().send(group, "add", (1, 2));
    let later = |ctl| chain().send(group, "sq", ()).set_task_ctl(ctl);
    let workflows = [
        (
            later(TaskCtl::RunAt(SystemTime::now())),
            "step 2 (`sq`): `RunAt` is for the first",
        ),
        (
            later(TaskCtl::Unique("key".to_owned())),
            "step 2 (`sq`): `Unique` is for the first",
        ),
        (
            chain().send(group, "sq", (3,)),
            "step 2 (`sq`): its argument is the result",
        ),
        (client.workflow(), "no step"),
        (
            client.workflow().set_task_ctl(FAST).send(group, "sq", (3,)),
            "comes after the `send`",
        ),
        (
            client.set_task_ctl(FAST).workflow().send(group, "sq", (3,)),
            "comes after the `send`",
        ),
    ];
    for (workflow, expected) in workflows {
        let error = workflow.done().await.unwrap_err();
        assert!(matches!(error, SendError::Workflow(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let long = (0..100).fold(chain(), |chain, _| chain.send(group, "sq", ()));
    let error = long.done().await.unwrap_err().to_string();
    assert!(error.contains("101 steps"), "{error}");
}
