//! Calls to all members of a topic, at RabbitMQ and in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tce_runtime::{
    Adapter, Communicator, ErrorCode, MemoryBroker, MultiProxy, Proxy, Replies, config::MqConfig,
};
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{CIRCUMSTANCES, ECHO, FAIL, GATE, NOTE, Probe, State},
        watching::{eventually_async, soon, within},
    },
    wire::Wire,
};

/// Long enough that no test waits for it unless a member is missing.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

/// A topic for one test.
pub(crate) struct Topic {
    name: String,
    /// The broker's port, or that of a wire to it; 1 for a broker in memory.
    port: u16,
    is_durable: bool,
    memory: Option<MemoryBroker>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Topic {
    pub(crate) fn at(port: u16) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            name: format!("multi{number}"),
            port,
            is_durable: true,
            memory: None,
        }
    }

    fn at_broker() -> Self {
        Self::at(Node::shared().port())
    }

    fn in_memory() -> Self {
        Self {
            memory: Some(MemoryBroker::new()),
            ..Self::at(1)
        }
    }

    async fn open(&self, modes: &str) -> Communicator {
        let Self {
            name,
            port,
            is_durable,
            ..
        } = self;
        let text = format!(
            "common_defs:
  endpoints:
    - {{name: commands, host: 127.0.0.1, port: {port}, type: mq, address: \
             \"{name};{{create:always,node:{{type:topic,durable:{is_durable}}}}}\"}}
    - {{name: queue, host: 127.0.0.1, port: {port}, type: mq, address: \"{name}q;{{create:always}}\"}}
program:
  endpoints:
    - {{name: commands, af_mode: {modes}}}
    - {{name: queue, af_mode: AF_READ|AF_WRITE}}
"
        );
        let communicator = Communicator::new();
        let config = MqConfig::parse(&text, "config.yml", "program").unwrap();
        match &self.memory {
            Some(broker) => communicator.open_mq_in_memory(config, broker).await,
            None => communicator.open_mq(config).await,
        }
        .unwrap();
        communicator
    }

    async fn member(&self, id: &str) -> Member {
        let communicator = self.open("AF_READ|AF_WRITE").await;
        let adapter = Adapter::listen(&communicator, "mq:commands").await.unwrap();
        let probe = Probe::default();
        adapter.add_servant(probe.clone()).start();
        adapter.join(id).await.unwrap();
        Member {
            communicator,
            adapter,
            probe: probe.0,
        }
    }

    pub(crate) async fn client(&self) -> Client {
        let communicator = self.open("AF_WRITE").await;
        let connection = communicator.connect("mq:commands").await.unwrap();
        Client {
            all: MultiProxy::new(&connection).unwrap(),
            communicator,
        }
    }
}

struct Member {
    communicator: Communicator,
    adapter: Adapter,
    probe: Arc<State>,
}

pub(crate) struct Client {
    pub(crate) all: MultiProxy,
    communicator: Communicator,
}

impl Client {
    /// Waits until the members know each other: a call of all of them ends by itself.
    async fn settled(&self, ids: &[&str]) {
        let begin = Instant::now();
        loop {
            let asked = Instant::now();
            let replies = echo(&self.all.with_timeout(SHORT)).await;
            if names(&replies) == ids && asked.elapsed() < SHORT {
                return;
            }
            assert!(begin.elapsed() < LONG, "{replies:?}");
        }
    }
}

async fn echo(proxy: &MultiProxy) -> Replies<String> {
    let call = proxy.call::<_, String>(&ECHO, ("x",));
    within(call.collect()).await.unwrap()
}

fn names<T>(replies: &Replies<T>) -> Vec<&str> {
    replies.values.keys().map(String::as_str).collect()
}

async fn the_members_that_are_meant_reply(topic: Topic) {
    let client = topic.client().await;
    let (a, b, c) = (
        topic.member("a").await,
        topic.member("b").await,
        topic.member("c").await,
    );
    client.settled(&["a", "b", "c"]).await;
    let all = client.all.with_timeout(LONG);

    assert_eq!(names(&echo(&all.only(["b"])).await), ["b"]);
    assert_eq!(names(&echo(&all.except(["b"])).await), ["a", "c"]);
    assert_eq!(
        names(&echo(&all.only(["a", "b"]).except(["a"])).await),
        ["b"]
    );
    let of_none = echo(&all.only::<&str>([])).await;
    assert!(of_none.values.is_empty() && of_none.missing.is_empty());
    // One that does not exist is named.
    let absent = echo(&all.only(["a", "nobody"]).with_timeout(SHORT)).await;
    assert_eq!(names(&absent), ["a"]);
    assert_eq!(absent.missing, ["nobody"]);
    let absent = echo(&all.only(["nobody"]).with_timeout(SHORT)).await;
    assert!(absent.values.is_empty());
    assert_eq!(absent.missing, ["nobody"]);
    let expected = echo(&all.expecting(["a", "later"]).with_timeout(SHORT)).await;
    assert_eq!(names(&expected), ["a", "b", "c"]);
    assert_eq!(expected.missing, ["later"]);

    // A failure is that of its member.
    let failing = all.only(["a", "b"]).call::<_, ()>(&FAIL, (8, "on purpose"));
    let failed = within(failing.collect()).await.unwrap();
    assert!(failed.values.is_empty() && failed.missing.is_empty());
    assert_eq!(failed.failures["a"].code(), ErrorCode::RemoteException);
    assert_eq!(failed.failures["b"].text(), "on purpose");
    assert_eq!(failed.failures["b"].peer(), Some("b at mq:commands"));

    // One that does not answer in time is missing; its late RETURN is dropped.
    a.probe.gate.add_permits(1);
    b.probe.gate.add_permits(1);
    let waiting = all.with_timeout(SHORT).call::<_, ()>(&GATE, ());
    let waited = within(waiting.collect()).await.unwrap();
    assert_eq!(names(&waited), ["a", "b"]);
    assert_eq!(waited.missing, ["c"]);
    c.probe.gate.add_permits(1);
    assert_eq!(names(&echo(&all).await), ["a", "b", "c"]);

    // As a stream, which ends by itself.
    let stream = all.call::<_, String>(&ECHO, ("y",));
    let mut came: Vec<_> = within(StreamExt::collect::<Vec<_>>(stream)).await;
    came.sort_by_key(|reply| reply.as_ref().unwrap().from.clone());
    let came = came.into_iter().map(|reply| reply.unwrap());
    let came: Vec<_> = came
        .map(|reply| (reply.from, reply.result.unwrap()))
        .collect();
    let expected = ["a", "b", "c"].map(|id| (id.to_owned(), "y".to_owned()));
    assert_eq!(came, expected);

    // One that has left is not waited for, and a call through the topic that is none of
    // these is as before.
    assert!(b.adapter.shutdown(LONG).await);
    assert!(a.communicator.shutdown(LONG).await);
    client.settled(&["c"]).await;
}

#[tokio::test]
async fn the_members_that_are_meant_reply_at_a_broker() {
    the_members_that_are_meant_reply(Topic::at_broker()).await;
}

#[tokio::test]
async fn the_members_that_are_meant_reply_in_memory() {
    the_members_that_are_meant_reply(Topic::in_memory()).await;
}

#[tokio::test]
async fn a_call_to_a_member_that_has_just_started_ends_before_its_deadline() {
    let topic = Topic::in_memory();
    let client = topic.client().await;
    let _member = topic.member("a").await;
    let began = Instant::now();
    assert_eq!(names(&echo(&client.all.with_timeout(LONG)).await), ["a"]);
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_member_that_loses_its_broker_is_missing_and_answers_again_later() {
    let topic = Topic::at_broker();
    let wire = Wire::to(topic.port).await;
    let by_wire = Topic {
        name: topic.name.clone(),
        ..Topic::at(wire.port())
    };
    let client = topic.client().await;
    let (_a, _b) = (topic.member("a").await, by_wire.member("b").await);
    client.settled(&["a", "b"]).await;
    // Each call in a row gets all replies, by the one reply queue of the client.
    for _ in 0..50 {
        assert_eq!(
            names(&echo(&client.all.with_timeout(LONG)).await),
            ["a", "b"]
        );
    }
    wire.close().await;
    let replies = echo(&client.all.with_timeout(SHORT)).await;
    assert_eq!(names(&replies), ["a"]);
    assert_eq!(replies.missing, ["b"]);
    wire.open();
    client.settled(&["a", "b"]).await;
    // A caller that loses its broker is told.
    let client = by_wire.client().await;
    let waiting = client.all.with_timeout(LONG).call::<_, ()>(&GATE, ());
    wire.close().await;
    let failed = client
        .all
        .with_timeout(LONG)
        .call::<_, String>(&ECHO, ("x",));
    let error = soon(failed.collect()).await.unwrap_err();
    let expected = [ErrorCode::SendFailed, ErrorCode::ConnectionLost];
    assert!(expected.contains(&error.code()), "{error}");
    drop(waiting);
    wire.open();
    let is_back = async || {
        let call = client
            .all
            .with_timeout(SHORT)
            .call::<_, String>(&ECHO, ("x",));
        call.collect().await.is_ok()
    };
    eventually_async("the client is connected again", is_back).await;
    client.settled(&["a", "b"]).await;
}

#[tokio::test]
async fn a_topic_without_readers_fails_at_once() {
    let mut transient = Topic::at_broker();
    transient.is_durable = false;
    for topic in [Topic::at_broker(), transient, Topic::in_memory()] {
        let client = topic.client().await;
        let call = client
            .all
            .with_timeout(LONG)
            .call::<_, String>(&ECHO, ("x",));
        let error = soon(call.collect()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SendFailed);
        let text = format!("no program reads the topic `{}` at the broker", topic.name);
        assert_eq!(error.text(), text);
        assert!(
            error.advice().starts_with("start the programs"),
            "{}",
            error.advice()
        );
        // A reader that comes gets the next one.
        let _late = topic.member("late").await;
        assert_eq!(
            names(&echo(&client.all.only(["late"]).with_timeout(LONG)).await),
            ["late"]
        );
    }
}

#[tokio::test]
async fn a_call_that_no_one_answers_fails_at_its_deadline() {
    for topic in [Topic::at_broker(), Topic::in_memory()] {
        let client = topic.client().await;
        let _silent = topic.member("silent").await;
        let call = client.all.with_timeout(SHORT).call::<_, ()>(&GATE, ());
        let error = within(call.collect()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Timeout);
        assert_eq!(error.text(), "no answer within 300ms");
        let call = client.all.only(["silent"]).with_timeout(SHORT);
        let replies = within(call.call::<_, ()>(&GATE, ()).collect())
            .await
            .unwrap();
        assert_eq!(replies.missing, ["silent"]);
    }
}

#[tokio::test]
async fn programs_that_have_not_joined_are_numbered_and_ids_that_occur_twice_count_once() {
    let topic = Topic::in_memory();
    let client = topic.client().await;
    let older = topic.open("AF_READ").await;
    let adapter = Adapter::listen(&older, "mq:commands").await.unwrap();
    adapter.add_servant(Probe::default()).start();
    let (_one, _other) = (topic.member("twin").await, topic.member("twin").await);
    let replies = echo(&client.all.with_timeout(SHORT)).await;
    assert_eq!(names(&replies), ["?1", "twin"]);
}

#[tokio::test]
async fn a_member_sees_whom_a_call_is_for_and_until_when() {
    let topic = Topic::in_memory();
    let client = topic.client().await;
    let _member = topic.member("a").await;
    let one = client
        .all
        .only(["a", "b"])
        .except(["c"])
        .with_timeout(SHORT);
    let one = one.with_extra([("name", "scott")]);
    let mut call = one.call::<_, std::collections::BTreeMap<String, String>>(&CIRCUMSTANCES, ());
    let seen = within(call.next()).await.unwrap().unwrap().result.unwrap();
    assert_eq!(seen["__to__"], "a,b");
    assert_eq!(seen["__not_to__"], "c");
    assert_eq!(seen["name"], "scott");
    for key in ["__linger_time__", "__deadline__", "__mq_return__"] {
        assert!(seen.contains_key(key), "{seen:?}");
    }
    assert_eq!(call.missing(), ["b"]);
}

#[tokio::test]
async fn calls_that_are_no_multi_calls_work_on_a_topic_as_before() {
    let topic = Topic::in_memory();
    let client = topic.client().await;
    let member = topic.member("a").await;
    let proxy = Proxy::connect(&client.communicator, "mq:commands")
        .await
        .unwrap();
    within(proxy.oneway(&NOTE, (1,))).await.unwrap();
    member.probe.notes_reached(1).await;
    let answer: String = within(proxy.call(&ECHO, ("x",))).await.unwrap();
    assert_eq!(answer, "x");
}

#[tokio::test]
async fn what_is_no_topic_and_wrong_ids_are_refused() {
    let topic = Topic::in_memory();
    let client = topic.client().await;
    let queue = client.communicator.connect("mq:queue").await.unwrap();
    let error = MultiProxy::new(&queue).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    assert_eq!(
        error.text(),
        "a multi-call needs a topic, and this endpoint is none"
    );
    for wrong in ["a,b", "", "a b", "\u{e9}", &"x".repeat(129)] {
        let call = client.all.only([wrong]).call::<_, String>(&ECHO, ("x",));
        let error = soon(call.collect()).await.unwrap_err();
        assert!(
            error.text().contains("can't be the id of a member"),
            "{error}"
        );
    }
    let many: Vec<_> = (0..5000)
        .map(|number| format!("member-number-{number}"))
        .collect();
    let call = client.all.only(&many).call::<_, String>(&ECHO, ("x",));
    let error = soon(call.collect()).await.unwrap_err();
    assert!(
        error
            .text()
            .starts_with("the ids of members and the extra have"),
        "{error}"
    );

    let member = topic.member("a").await;
    let text = |error: tce_runtime::RpcError| error.text().to_owned();
    let joined = |id: &'static str| member.adapter.join(id);
    assert!(text(joined("b").await.unwrap_err()).contains("a member of the topic `commands`"));
    assert!(text(joined("b,c").await.unwrap_err()).contains("can't be the id"));
    let reader = topic.open("AF_READ").await;
    let adapter = Adapter::listen(&reader, "mq:commands").await.unwrap();
    assert!(text(adapter.join("a").await.unwrap_err()).contains("AF_WRITE"));
    let both = topic.open("AF_READ|AF_WRITE").await;
    let adapter = Adapter::listen(&both, "mq:queue").await.unwrap();
    assert!(text(adapter.join("a").await.unwrap_err()).contains("is a queue"));
    let adapter = Adapter::listen(&both, "tcp://127.0.0.1:0").await.unwrap();
    assert!(text(adapter.join("a").await.unwrap_err()).contains("only a topic has members"));
}

#[tokio::test]
async fn a_dropped_call_and_an_ended_one_free_their_slots() {
    let topic = Topic::in_memory();
    let client = topic.client().await;
    let _member = topic.member("a").await;
    let connection = client.communicator.connect("mq:commands").await.unwrap();
    let call = client.all.call::<_, String>(&ECHO, ("x",));
    assert_eq!(connection.calls_in_flight(), 1);
    drop(call);
    assert_eq!(connection.calls_in_flight(), 0);
    echo(&client.all.only(["a"])).await;
    assert_eq!(connection.calls_in_flight(), 0);
    let unanswered = client.all.with_timeout(SHORT).call::<_, ()>(&GATE, ());
    within(unanswered.collect()).await.unwrap_err();
    assert_eq!(connection.calls_in_flight(), 0);
}
