//! Jobs that wait, and clients that watch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tce_flow::idl::flow::{FlowQueryPrx, FlowWatcher, FlowWatcherServant, Row};
use tce_runtime::{Communicator, Context, Fault, TypedProxy};
use tokio::sync::Notify;

use super::common::{Fixture, PATIENCE, text};

/// What a watcher was told.
#[derive(Default)]
struct Told {
    rows: Mutex<Vec<Row>>,
    version: Mutex<i64>,
    resets: Mutex<Vec<i64>>,
    woken: Notify,
    /// Whether it keeps the server waiting.
    is_slow: Mutex<bool>,
}

struct Listener(Arc<Told>);

impl FlowWatcher for Listener {
    async fn on_change(&self, changed: Vec<Row>, version: i64, _: &Context) -> Result<(), Fault> {
        while *self.0.is_slow.lock() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.0.rows.lock().extend(changed);
        *self.0.version.lock() = version;
        self.0.woken.notify_one();
        Ok(())
    }

    async fn on_reset(&self, version: i64, _: &Context) -> Result<(), Fault> {
        self.0.resets.lock().push(version);
        self.0.woken.notify_one();
        Ok(())
    }
}

impl Told {
    async fn wait_until(&self, is_enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_enough(self) {
            assert!(Instant::now() < deadline, "the watcher was not told");
            let _ = tokio::time::timeout(Duration::from_millis(100), self.woken.notified()).await;
        }
    }
}

/// A client of its own that watches.
async fn watch(fixture: &Fixture, path: &str, since: i64) -> (FlowQueryPrx, Arc<Told>, i64) {
    let endpoint = fixture.server.endpoints()[0].to_string();
    let query = FlowQueryPrx::connect(&Communicator::new(), &endpoint).await;
    let query = query.unwrap();
    let told = Arc::new(Told::default());
    let servant = FlowWatcherServant::new(Listener(Arc::clone(&told)));
    query.connection().add_servant(servant);
    let version = query.watch(path, since).await.unwrap();
    (query, told, version)
}

async fn tree(query: &FlowQueryPrx, path: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let after = rows.last().map_or(-1, |row| row.id);
        let page = query.tree(path, -1, after).await.unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

#[tokio::test]
async fn a_wait_ends_when_its_expression_comes_true() {
    let mut fixture = Fixture::new().await;
    let definition = "suite s\n task t1\n  event 1 half\n task t2\n";
    fixture.begin(definition).await;
    let first = fixture.next_job().await;
    let second = fixture.next_job().await;
    for job in [&first, &second] {
        text(fixture.jobs.started(job, &[]).await.unwrap());
    }
    let wrong = fixture.jobs.wait_for(&second, "t1 ==").await.unwrap();
    assert_eq!(wrong.code, 20, "{}", wrong.text);
    let waiting = fixture.jobs.wait_for(&second, "t1:half");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    text(fixture.jobs.set_event(&first, "half", true).await.unwrap());
    text(waiting.await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(1));
    // A job that is no longer that of its task does not go on waiting.
    let waiting = fixture.jobs.wait_for(&second, "t1 == aborted");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let paths = ["/s/t2".to_owned()];
    fixture.control.requeue(&paths, "force").await.unwrap();
    assert_eq!(waiting.await.unwrap().code, 61);
}

#[tokio::test]
async fn a_watcher_sees_each_change_and_can_come_back() {
    let mut fixture = Fixture::new().await;
    fixture.begin("suite s\n family f\n  task t1\n  endfamily\nendsuite\nsuite other\n task x\nendsuite\n").await;
    let job = loop {
        let job = fixture.next_job().await;
        if job.path == "/s/f/t1" {
            break job;
        }
    };
    let (query, told, since) = watch(&fixture, "/s", -1).await;
    let rows = tree(&query, "/s").await;
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["s", "f", "t1"]);
    let task = rows[2].id;
    text(fixture.jobs.started(&job, &[]).await.unwrap());
    let elsewhere = ["/other/x".to_owned()];
    fixture.control.suspend(&elsewhere).await.unwrap();
    let is_active = |told: &Told| {
        let rows = told.rows.lock();
        rows.iter().any(|row| row.id == task && row.state == 5)
    };
    told.wait_until(is_active).await;
    assert!(told.rows.lock().iter().all(|row| row.name != "x"));
    let versions: Vec<_> = told.rows.lock().iter().map(|row| row.version).collect();
    assert!(versions.is_sorted(), "{versions:?}");
    drop(query);
    // What happens while it is away is told when it comes back.
    text(fixture.jobs.completed(&job, &[]).await.unwrap());
    let paths = ["/s/f".to_owned()];
    fixture.control.remove(&paths, false).await.unwrap();
    let (_query, told, _) = watch(&fixture, "/s", since).await;
    told.wait_until(|told| {
        told.rows
            .lock()
            .iter()
            .any(|row| row.id == task && row.gone)
    })
    .await;
    assert!(told.resets.lock().is_empty());
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_told_to_start_anew() {
    let fixture = Fixture::new().await;
    let (_query, told, _) = watch(&fixture, "/", -1).await;
    *told.is_slow.lock() = true;
    fixture
        .begin("suite s\n task t\n  defstatus complete\n")
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let tasks: String = (0..10_100).map(|at| format!(" task t{at}\n")).collect();
    let definition = format!("suite large\n{tasks}");
    text(
        fixture
            .control
            .load(&definition, "def", false)
            .await
            .unwrap(),
    );
    *told.is_slow.lock() = false;
    told.wait_until(|told| !told.resets.lock().is_empty()).await;
    let (query, late, _) = watch(&fixture, "/", 1).await;
    late.wait_until(|told| !told.resets.lock().is_empty()).await;
    assert_eq!(late.rows.lock().len(), 0);
    assert_eq!(tree(&query, "/large").await.len(), 10_101);
}
