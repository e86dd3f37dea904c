//! What RabbitMQ does with the queue of a lease, and what agents make of it.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tce_frame::idl::frame::Crontab;
use tce_runtime::TypedMulti as _;
use tce_test_rabbitmq::Node;
use tokio::time::timeout;

use crate::common::{AgentProcess, Client, Namespace, values, write};

async fn consumer(port: u16, queue: &str) -> (Connection, Channel, lapin::Consumer) {
    let uri = format!("amqp://127.0.0.1:{port}/%2f?heartbeat=3");
    let connection = Connection::connect(&uri, ConnectionProperties::default())
        .await
        .expect("connected");
    let channel = connection.create_channel().await.expect("a channel");
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(1_000_000));
    let declared = channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments)
        .await;
    declared.expect("declared");
    channel
        .basic_qos(5000, BasicQosOptions::default())
        .await
        .expect("a prefetch");
    let consuming = channel.basic_consume(
        queue.into(),
        "c".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let consumer = consuming.await.expect("a consumer");
    (connection, channel, consumer)
}

async fn publish(channel: &Channel, queue: &str, body: &[u8]) {
    let sent = channel.basic_publish(
        "".into(),
        queue.into(),
        BasicPublishOptions::default(),
        body,
        BasicProperties::default(),
    );
    sent.await.expect("sent").await.expect("confirmed");
}

/// The bodies that a consumer gets within half a second.
async fn bodies(consumer: &mut lapin::Consumer) -> Vec<String> {
    let mut bodies = Vec::new();
    while let Ok(Some(Ok(delivery))) = timeout(Duration::from_millis(500), consumer.next()).await {
        bodies.push(String::from_utf8(delivery.data).expect("UTF-8"));
    }
    bodies
}

#[tokio::test]
async fn the_broker_names_one_consumer_and_hands_it_what_the_last_one_held() {
    let port = Node::shared().port();
    let (first, channel, mut active) = consumer(port, "sac").await;
    let (_second, _other, mut standby) = consumer(port, "sac").await;
    for body in ["a", "b"] {
        publish(&channel, "sac", body.as_bytes()).await;
    }
    assert_eq!(bodies(&mut active).await, ["a", "b"]);
    assert_eq!(bodies(&mut standby).await, Vec::<String>::new());
    // What comes after a message that was held is delivered after it.
    publish(&channel, "sac", b"c").await;
    first.close(200, "gone".into()).await.expect("closed");
    let began = Instant::now();
    let delivery = timeout(Duration::from_secs(5), standby.next())
        .await
        .expect("in time");
    let delivery = delivery.expect("a consumer").expect("a delivery");
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(delivery.data, b"a");
    assert_eq!(bodies(&mut standby).await, ["b", "c"]);
    delivery
        .acker
        .ack(BasicAckOptions::default())
        .await
        .expect("acknowledged");
}

const SETTING: &str = "type: crontab
crontab_name: print
version: 1.0
publish:
   - ['* * * * *', \"echo $TCE_FRAME_TICK $TCE_FRAME_EPOCH >> ../../journal; echo out; sleep 2\"]
";

impl Namespace {
    /// A machine with the crontab alone. All write to one journal.
    fn cron_machine(&self, name: &str, more: &str) -> std::path::PathBuf {
        let folder = self.root.path().join(name);
        write(&folder, "frame.yaml", "path: [cron]\n");
        write(&folder, "cron/setting.yaml", &format!("{SETTING}{more}"));
        folder
    }

    fn journal(&self) -> Vec<(i64, u64)> {
        let text = fs::read_to_string(self.root.path().join("journal")).unwrap_or_default();
        let row = |line: &str| {
            let (tick, epoch) = line.split_once(' ').expect("two columns");
            (
                tick.parse().expect("a tick"),
                epoch.parse().expect("an epoch"),
            )
        };
        text.lines().map(row).collect()
    }
}

async fn crontabs(client: &Client) -> BTreeMap<String, Crontab> {
    let replies = client
        .wait(2)
        .crontabs("")
        .collect()
        .await
        .expect("replies");
    replies
        .values
        .into_iter()
        .map(|(id, mut crontabs)| (id, crontabs.remove(0)))
        .collect()
}

/// Waits until one of the agents, and no other one, is the holder.
async fn holder(client: &Client, agents: &[&AgentProcess], limit: Duration) -> (String, i64) {
    let began = Instant::now();
    loop {
        let active: Vec<_> = crontabs(client)
            .await
            .into_iter()
            .filter(|(_, crontab)| crontab.active)
            .collect();
        let known: Vec<_> = active
            .iter()
            .filter(|(id, _)| agents.iter().any(|agent| agent.id == *id))
            .collect();
        if let [(id, crontab)] = known.as_slice() {
            return (id.clone(), crontab.epoch);
        }
        assert!(began.elapsed() < limit, "no holder: {active:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sets the last tick of the jobs into the past: a tick is due at once then.
async fn backdate(port: u16, namespace: &str, minutes: i64) {
    let queue = format!("tce.frame.{namespace}.cron.print");
    let uri = format!("amqp://127.0.0.1:{port}/%2f");
    let connection = Connection::connect(&uri, ConnectionProperties::default())
        .await
        .expect("connected");
    let channel = connection.create_channel().await.expect("a channel");
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(1_000_000));
    let declared = channel
        .queue_declare(
            queue.as_str().into(),
            QueueDeclareOptions::durable(),
            arguments,
        )
        .await;
    declared.expect("declared");
    let command = "echo $TCE_FRAME_TICK $TCE_FRAME_EPOCH >> ../../journal; echo out; sleep 2";
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time");
    let last = i64::try_from(now.as_millis()).expect("a time") - minutes * 60_000;
    let token = serde_json::json!({"epoch": 7, "holder": "test", "is_released": true, "jobs": {format!("* * * * *\t{command}"): {"last_ms": last, "exit": 0, "missed": 0}}});
    publish(&channel, &queue, token.to_string().as_bytes()).await;
    connection.close(200, "done".into()).await.expect("closed");
}

async fn journal_with(namespace: &Namespace, rows: usize, limit: Duration) -> Vec<(i64, u64)> {
    let began = Instant::now();
    loop {
        let journal = namespace.journal();
        if journal.len() >= rows {
            return journal;
        }
        assert!(began.elapsed() < limit, "{journal:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn assert_once(journal: &[(i64, u64)]) {
    let mut ticks: Vec<_> = journal.iter().map(|(tick, _)| *tick).collect();
    ticks.sort_unstable();
    let count = ticks.len();
    ticks.dedup();
    assert_eq!(ticks.len(), count, "a tick ran twice: {journal:?}");
    assert!(ticks.iter().all(|tick| tick % 60_000 == 0), "{journal:?}");
}

#[tokio::test]
async fn a_crontab_goes_on_with_the_next_agent_and_counts_what_it_missed() {
    let namespace = Namespace::new("cron");
    backdate(Node::shared().port(), "cron", 30).await;
    let first = namespace.start(&namespace.cron_machine("a", ""));
    let client = namespace.client().await;
    let (id, epoch) = holder(&client, &[&first], Duration::from_secs(5)).await;
    assert_eq!((&id, epoch), (&first.id, 8));
    // The latest tick of the half hour without agents is young enough, the others are counted.
    let journal = journal_with(&namespace, 1, Duration::from_secs(5)).await;
    assert_eq!(journal[0].1, 8);
    let jobs = crontabs(&client).await[&first.id].jobs.clone();
    assert!((29..=30).contains(&jobs[0].missed), "{jobs:?}");
    assert_eq!(jobs[0].last_tick_ms, journal.last().expect("a run").0);

    let second = namespace.start(&namespace.cron_machine("b", ""));
    assert_eq!(
        holder(&client, &[&first, &second], Duration::from_secs(5))
            .await
            .0,
        first.id
    );
    // A kill: the broker names the other agent at once.
    first.signal("-KILL");
    let began = Instant::now();
    let (id, epoch) = holder(&client, &[&second], Duration::from_secs(10)).await;
    assert_eq!((&id, epoch), (&second.id, 9));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let log = values(
        client
            .wait(5)
            .only([&second.id])
            .crontabs("print")
            .collect()
            .await,
    );
    assert_eq!(log[&second.id][0].version, "1.0");
    // The end of an agent by SIGTERM hands the lease on.
    let third = namespace.start(&namespace.cron_machine("c", ""));
    second.stop();
    let (id, epoch) = holder(&client, &[&third], Duration::from_secs(2)).await;
    assert_eq!((&id, epoch), (&third.id, 10));
    assert_once(&namespace.journal());
    third.stop();
}

#[tokio::test]
async fn an_agent_that_was_stopped_runs_nothing_that_is_anothers() {
    let namespace = Namespace::new("stopped");
    let first = namespace.start(&namespace.cron_machine("a", ""));
    let client = namespace.client().await;
    let (_, epoch) = holder(&client, &[&first], Duration::from_secs(5)).await;
    let second = namespace.start(&namespace.cron_machine("b", ""));
    first.signal("-STOP");
    let began = Instant::now();
    let (id, next) = holder(&client, &[&second], Duration::from_secs(12)).await;
    assert_eq!((&id, next), (&second.id, epoch + 1));
    assert!(
        began.elapsed() < Duration::from_secs(11),
        "{:?}",
        began.elapsed()
    );
    first.signal("-CONT");
    // It learns that it is not the holder any more.
    let deadline = Instant::now() + Duration::from_secs(5);
    while crontabs(&client)
        .await
        .get(&first.id)
        .is_none_or(|crontab| crontab.active)
    {
        assert!(Instant::now() < deadline, "{}", first.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_once(&namespace.journal());
}

#[tokio::test]
async fn the_log_of_a_run_is_kept_and_its_children_end_with_it() {
    let namespace = Namespace::new("logs");
    backdate(Node::shared().port(), "logs", 1).await;
    let machine = namespace.cron_machine("a", "timeout: 5\n");
    let agent = namespace.start(&machine);
    let client = namespace.client().await;
    journal_with(&namespace, 1, Duration::from_secs(10)).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    let text = loop {
        let logs = client
            .wait(2)
            .log("print", 0, 0)
            .collect()
            .await
            .expect("replies");
        if let Some(log) = logs.values.get(&agent.id) {
            break String::from_utf8(log.clone()).expect("UTF-8");
        }
        assert!(Instant::now() < deadline, "{logs:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let (heading, output) = text.split_once('\n').expect("a heading");
    assert!(
        heading.contains("\"exit\":0") && heading.contains("\"tick_ms\":"),
        "{heading}"
    );
    assert_eq!(output, "out\n");
    assert!(
        Path::new(&machine)
            .join(".tce-frame/crontab.print/log")
            .is_dir()
    );
    agent.stop();
}

#[tokio::test]
async fn the_jobs_of_an_agent_that_is_killed_end_with_it() {
    let namespace = Namespace::new("orphans");
    backdate(Node::shared().port(), "orphans", 1).await;
    let machine = namespace.cron_machine("a", "");
    let mut agent = namespace.start(&machine);
    journal_with(&namespace, 1, Duration::from_secs(10)).await;
    let folder = machine.join("cron");
    let runs = || {
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        let mut folders =
            processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
        folders.any(|cwd| cwd == folder)
    };
    assert!(runs(), "the job sleeps for 2 s");
    agent.signal("-KILL");
    agent.child.wait().expect("it ends");
    let began = Instant::now();
    while runs() {
        assert!(began.elapsed() < Duration::from_secs(1), "a job runs on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
