//! Clients that code generation writes. Each test runs with a queue in memory, over an endpoint, and with
//! RabbitMQ and Redis.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use tce_runtime::{Context, Fault};
use tce_tasks::{
    SendError, TaskCtl, TaskError, TaskHandle, Worker,
    model::{AbortAnswer, Backoff, Priority, Status},
};

use self::values::{Base, Colour, Derived, DerivedServant, DerivedTasks, Everything};
use super::{LONG, Setup, finished, math::MathTasks, runs, start};

/// The IDL of the recorded clients, as it is recorded: so it compiles.
#[expect(
    dead_code,
    unreachable_pub,
    clippy::too_many_arguments,
    reason = "they depend on the IDL"
)]
#[path = "../../../../tce-codegen/tests/golden/tasks/tasks.rs"]
mod values;

for_each_queue! {
    a_typed_task_returns_the_result_of_its_operation,
    every_setting_of_a_typed_task_holds,
    the_end_of_a_typed_task_is_an_error_of_its_kind,
    values_at_their_limits_come_back,
    a_body_of_another_layout_fails_at_once,
    the_progress_of_a_typed_task_is_a_stream,
    the_steps_of_a_typed_chain_have_the_results_before_them,
    a_typed_task_with_a_key_that_is_taken_is_that_of_the_holder,
}

/// Sends back what it gets.
struct Echo;

impl Base for Echo {
    async fn add(&self, one: i32, two: i32, _: &Context) -> Result<i64, Fault> {
        Ok(i64::from(one) + i64::from(two))
    }

    async fn new_(&self, _: &Context) -> Result<(), Fault> {
        Ok(())
    }
}

impl Derived for Echo {
    async fn echo(
        &self,
        value: Everything,
        mut tree: Vec<Everything>,
        _: &Context,
    ) -> Result<Everything, Fault> {
        tree.push(value);
        Ok(tree.swap_remove(0))
    }

    async fn in_group(
        &self,
        group: String,
        data: Vec<u8>,
        ratios: Vec<(f64, i64)>,
        ctx: &Context,
    ) -> Result<String, Fault> {
        let user = ctx.extra().get("user").unwrap_or_default();
        Ok(format!("{group} {} {} {user}", data.len(), ratios.len()))
    }

    async fn mix(
        &self,
        one: Colour,
        _: Colour,
        _: BTreeMap<i32, String>,
        _: &Context,
    ) -> Result<Colour, Fault> {
        Ok(one)
    }
}

async fn start_echo(setup: &Setup) -> (tce_tasks::RunningWorker, DerivedTasks) {
    let worker = Worker::new(&setup.tasks).group(&setup.group, |group| {
        group.concurrency(3).servant(DerivedServant::new(Echo))
    });
    let client = DerivedTasks::new(&setup.tasks).in_group(&setup.group);
    (worker.start().await.unwrap(), client)
}

pub(super) async fn a_typed_task_returns_the_result_of_its_operation(setup: Setup) {
    let _worker = start(&setup.tasks, &setup.group).await;
    let math = MathTasks::new(&setup.tasks).in_group(&setup.group);
    let handle = math.add(12, 33).send().await.unwrap();
    assert_eq!(handle.result(LONG).await.unwrap(), 45);
    assert_eq!(handle.status().await.unwrap(), Status::Success);
    let both = math.add_ok(12, 33).send().await.unwrap();
    let both = both.result(LONG).await.unwrap();
    assert_eq!((both.sum, both.ok), (45, true));

    // A program that knows the id only, and one that asks for another type.
    let again = TaskHandle::<i64>::of(&setup.tasks, handle.id());
    assert_eq!(again.result(LONG).await.unwrap(), 45);
    let wrong = TaskHandle::<bool>::of(&setup.tasks, handle.id());
    let error = wrong.result(LONG).await.unwrap_err().to_string();
    assert_eq!(error, "the result of the task: expected a bool, got 45");
    // Dynamic clients and typed ones read the results of each other.
    let result = finished(&setup.client, handle.id()).await;
    assert_eq!(result.get_int64(0), Ok(45));
    let id = setup.client.send(&setup.group, "addOk", (1, 2)).await;
    let handle = TaskHandle::<super::math::Both>::of(&setup.tasks, id.unwrap());
    assert_eq!(handle.result(LONG).await.unwrap().sum, 3);
}

pub(super) async fn every_setting_of_a_typed_task_holds(setup: Setup) {
    let _worker = start(&setup.tasks, &setup.group).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runs");
    let math = MathTasks::new(&setup.tasks).in_group(&setup.group);
    let flaky = || {
        let flaky = math.flaky(file.to_str().unwrap(), 2).retry(5);
        flaky.backoff(Backoff::Fixed(Duration::from_millis(20)))
    };
    let sent = SystemTime::now();
    let delayed = flaky().run_after(Duration::from_millis(300));
    let handle = delayed.send().await.unwrap();
    assert_eq!(handle.result(LONG).await.unwrap(), 3);
    let first = runs(&file)[0];
    let due = sent
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis()
        + 300;
    assert!(first >= due, "{first} is before {due}");
    // A second send of the id runs nothing.
    let again = flaky().id(handle.id()).send().await.unwrap();
    assert_eq!(again.result(LONG).await.unwrap(), 3);
    assert_eq!(runs(&file).len(), 3);

    let past = SystemTime::now() - Duration::from_secs(60);
    let task = math.add(1, 2).run_at(SystemTime::now());
    let error = task.expires_at(past).send().await;
    assert!(matches!(error, Err(SendError::Queue(_))), "{error:?}");
}

pub(super) async fn the_end_of_a_typed_task_is_an_error_of_its_kind(setup: Setup) {
    let math = MathTasks::new(&setup.tasks).in_group(&setup.group);
    let aborted = math.add(1, 2).send().await.unwrap();
    let error = aborted.result(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, TaskError::Timeout(Status::Sent)), "{error}");
    assert_eq!(aborted.abort().await.unwrap(), AbortAnswer::Done);
    let error = aborted.result(LONG).await.unwrap_err();
    assert!(matches!(error, TaskError::Aborted(_)), "{error}");
    let soon = SystemTime::now() + Duration::from_millis(10);
    let expired = math.add(1, 2).expires_at(soon).send().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _worker = start(&setup.tasks, &setup.group).await;
    let error = expired.result(LONG).await.unwrap_err();
    assert!(matches!(error, TaskError::Expired), "{error}");
    let failed = math.sq(i64::MAX).send().await.unwrap();
    let error = failed.result(LONG).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the task has failed: the square overflows"
    );
    // No other test sends this id.
    let unknown = "01890a5d-ac96-774b-bcce-b302099a80f1";
    let unknown = TaskHandle::<i64>::of(&setup.tasks, unknown);
    let error = unknown.result(Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, TaskError::NotFound(_)), "{error}");
}

fn limits(bytes: usize) -> Everything {
    Everything {
        b: 255,
        flag: true,
        s: i16::MIN,
        i: i32::MIN,
        l: i64::MIN,
        f: f32::MAX,
        d: f64::MIN_POSITIVE,
        r#type: "ä\u{0}\n\"\u{1f980}".to_owned(),
        colour: Colour(12),
        bytes: vec![0xff; bytes],
        names: [(i32::MIN, String::new())].into(),
        children: vec![Everything::default()],
        ratios: vec![(0.1, i64::MAX), (f64::INFINITY, 0)],
    }
}

pub(super) async fn values_at_their_limits_come_back(setup: Setup) {
    let (_worker, echo) = start_echo(&setup).await;
    // 1 MiB is the limit of a body; the rest of it is the other values.
    let rest = 1000;
    let mut largest = limits((1 << 20) - rest);
    let handle = echo.echo(&largest, &[]).send().await.unwrap();
    assert!(handle.result(LONG).await.unwrap() == largest);
    largest.bytes.extend([0; 1000]);
    let error = echo.echo(&largest, &[]).send().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the limit is 1048576"), "{text}");

    let not_finite = Everything {
        f: f32::NEG_INFINITY,
        d: f64::NAN,
        ..limits(0)
    };
    let handle = echo.echo(&not_finite, &[]).send().await.unwrap();
    let result = handle.result(LONG).await.unwrap();
    assert_eq!(result.f, f32::NEG_INFINITY);
    assert!(result.d.is_nan());
    // A dynamic client reads it, too.
    let found = finished(&setup.client, handle.id()).await;
    assert!(found.get_float64(6).unwrap().is_nan());
    assert_eq!(found.get_int64(4), Ok(i64::MIN));

    let colour = echo.mix(Colour::GREEN, Colour::RED, &BTreeMap::new());
    let colour = colour.send().await.unwrap();
    assert_eq!(colour.result(LONG).await.unwrap(), Colour::GREEN);
    #[expect(deprecated, reason = "the name of a method of all clients")]
    let task = echo.in_group_("x", &[0; 3], &[(f64::NAN, 1)]);
    let task = task.extra("user", "Ann").send().await.unwrap();
    assert_eq!(task.result(LONG).await.unwrap(), "x 3 1 Ann");
    echo.new_()
        .send()
        .await
        .unwrap()
        .result(LONG)
        .await
        .unwrap();
}

pub(super) async fn a_body_of_another_layout_fails_at_once(setup: Setup) {
    let _worker = start(&setup.tasks, &setup.group).await;
    let sender = tce_tasks::codegen::TaskSender::new(&setup.tasks, &setup.group);
    // The operation had one parameter more when this sender was compiled.
    let earlier = sender.call::<i64>("math.Math.add", "long(int,int,int)", (1_i32, 2_i32, 3_i32));
    let handle = earlier.send().await.unwrap();
    let error = handle.result(LONG).await.unwrap_err().to_string();
    for part in [
        "add(int a, int b)",
        "`long(int,int,int)`",
        "`long(int,int)`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let state = handle.state().await.unwrap();
    assert_eq!((state.status(), state.retries()), (Status::Failure, 0));
    // It is kept with its arguments, for a worker that knows this layout.
    assert!(state.record().dead);
    // Too few bytes, by a sender that says the right layout.
    let broken = sender.call::<i64>("math.Math.add", "long(int,int)", 1_i32);
    let handle = broken.retry(5).send().await.unwrap();
    let error = handle.result(LONG).await.unwrap_err();
    assert!(matches!(error, TaskError::Failed(_)), "{error}");
    assert_eq!(handle.state().await.unwrap().retries(), 0);
}

pub(super) async fn the_steps_of_a_typed_chain_have_the_results_before_them(setup: Setup) {
    let _worker = start(&setup.tasks, &setup.group).await;
    let math = MathTasks::new(&setup.tasks).in_group(&setup.group);
    let chain = math
        .add(1, 2)
        .then(math.sq_step())
        .then(math.sq_step().retry(2));
    let handle = chain.send().await.unwrap();
    assert_eq!(handle.result(LONG).await.unwrap(), 81);
    // A step whose IDL has changed since.
    let sender = tce_tasks::codegen::TaskSender::new(&setup.tasks, &setup.group);
    let changed = sender.step::<(i64,), i64>("math.Math.sq", "long(long,long)");
    let handle = math.add(1, 2).then(changed).send().await.unwrap();
    let error = handle.result(LONG).await.unwrap_err().to_string();
    assert!(error.contains("`long(long,long)`"), "{error}");
}

pub(super) async fn a_typed_task_with_a_key_that_is_taken_is_that_of_the_holder(setup: Setup) {
    let math = MathTasks::new(&setup.tasks).in_group(&setup.group);
    let key = format!("{}-1", setup.group);
    let first = math.add(1, 2).unique(&key).priority(Priority::High);
    let first = first.send().await.unwrap();
    let second = math.add(3, 4).unique(&key).send().await.unwrap();
    assert_eq!((first.is_existing(), second.is_existing()), (false, true));
    assert_eq!(first.id(), second.id());
    let _worker = start(&setup.tasks, &setup.group).await;
    assert_eq!(second.result(LONG).await.unwrap(), 3);
}

pub(super) async fn the_progress_of_a_typed_task_is_a_stream(setup: Setup) {
    let math = MathTasks::new(&setup.tasks).in_group(&setup.group);
    let handle = math
        .sleep(20_000)
        .ctl(TaskCtl::RetryCount(0))
        .send()
        .await
        .unwrap();
    let mut progress = Box::pin(handle.progress());
    let first = progress.next().await.unwrap().unwrap();
    assert_eq!((first.status, first.percent), (Status::Sent, 0));
    let _worker = start(&setup.tasks, &setup.group).await;
    loop {
        let next = progress.next().await.unwrap().unwrap();
        if next.percent == 40 {
            assert_eq!(next.text, "sleeping");
            break;
        }
    }
    assert_eq!(handle.abort().await.unwrap(), AbortAnswer::Requested);
    let last = progress.next().await.unwrap().unwrap();
    assert_eq!(last.status, Status::Aborted);
    assert!(progress.next().await.is_none());
}
