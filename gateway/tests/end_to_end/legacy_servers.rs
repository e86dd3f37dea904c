//! Recorded messages of old servers, and messages without a receiver.

use tce_test_rabbitmq::Node;

use crate::{
    common::{
        house::House,
        plan::{Front, Plan},
        raw::{Message, RawServer, int, string},
    },
    legacy::is_return_of,
    queue::Raw as RawQueue,
    vectors::{self, Recorded},
};

const ECHO: u16 = 0;
const TOP_BIT: u16 = 0x8000;
const ONEWAY: u8 = 0x20;
const REMOTEMETHOD_EXCEPTION: u32 = 6;

/// The forwarded call: header and extra patched, parameters unchanged.
fn is_sent_on(sent: &Message, recorded: &Recorded) {
    assert_eq!(sent.call_id, recorded.number::<u16>("call_id") | TOP_BIT);
    assert_eq!(sent.calltype, recorded.number::<u8>("calltype"));
    assert_eq!(sent.ifidx, recorded.number::<u16>("ifidx"));
    assert_eq!(sent.opidx, recorded.number::<u16>("opidx"));
    assert_eq!(sent.params, recorded.params());
    assert_eq!(sent.extra("__token__"), None);
    assert!(sent.extra("__user_id__").is_some());
    for (key, value) in recorded.extra() {
        if !key.starts_with("__") {
            assert_eq!(sent.extra(key), Some(value));
        }
    }
}

/// The RETURN of a failed call from an old server: only the sequence and the
/// extra identify its caller.
fn legacy_error(call: &Message) -> Message {
    Message {
        extra: call.extra.clone(),
        ..Message::returning(call.sequence, REMOTEMETHOD_EXCEPTION, Vec::new())
    }
}

fn is_error_of(answer: &Message, recorded: &Recorded) {
    assert_eq!(answer.errcode, REMOTEMETHOD_EXCEPTION);
    let ours = Message {
        errcode: 0,
        ..answer.clone()
    };
    is_return_of(&ours, recorded);
}

#[tokio::test]
async fn an_error_of_a_server_of_old_reaches_the_caller() {
    let listening = RawServer::listen().await;
    let ports = [listening.endpoint().port];
    // One connection to the server.
    let plan = Plan::direct().property("threads", "1");
    let house = House::before(plan, &ports, |it| it).await;
    let mut server = listening.accept().await;
    house.is_ready().await;
    let mut client = house.raw().await;
    for recorded in vectors::all("python-client") {
        client.send(&recorded.frame()).await;
        let call = server.message().await;
        is_sent_on(&call, &recorded);
        if recorded.number::<u8>("calltype") & ONEWAY == 0 {
            server.send(&legacy_error(&call).frame()).await;
            is_error_of(&client.message().await, &recorded);
            // The second RETURN of a call is dropped.
            server.send(&legacy_error(&call).frame()).await;
        }
    }
    house.dropped("late_return", 5).await;
    drop((client, server));
    house.end().await;
}

#[tokio::test]
async fn an_error_of_a_server_of_old_reaches_the_caller_by_queue() {
    let house = House::before(Plan::rabbitmq(), &[], |it| it).await;
    let port = Node::shared().port();
    let broker = RawQueue::connect(port).await;
    let mut server = broker.read(&house.plan.calls()).await;
    let mut client = house.raw().await;
    for recorded in vectors::all("python-client") {
        client.send(&recorded.frame()).await;
        let call = server.message().await;
        is_sent_on(&call, &recorded);
        if recorded.number::<u8>("calltype") & ONEWAY == 0 {
            let returns = call.extra("__mq_return__").unwrap();
            assert_eq!(returns, house.plan.returns(0));
            broker.publish(returns, &legacy_error(&call).bytes()).await;
            is_error_of(&client.message().await, &recorded);
        }
    }
    drop(client);
    house.end().await;
}

/// Messages of a queue without a receiver are dropped; later messages are
/// delivered.
#[tokio::test]
async fn what_nobody_waits_for_is_dropped() {
    let house = House::start(Plan::rabbitmq()).await;
    let port = Node::shared().port();
    let broker = RawQueue::connect(port).await;
    let returns = house.plan.returns(0);
    let mut client = house.client(Front::Socket).await;
    let user = client.who().await;
    let push = |text: &str, extra: &[(&str, &str)]| {
        let push = Message {
            calltype: 0x21,
            ifidx: 3,
            ..Message::call(0, 0, string(text))
        };
        push.with_extra(extra).bytes()
    };
    let answer = Message {
        ifidx: 2,
        opidx: ECHO,
        call_id: TOP_BIT,
        ..Message::returning(12, 0, int(1))
    };
    let publish = |bytes: Vec<u8>| {
        let (broker, returns) = (&broker, &returns);
        async move { broker.publish(returns, &bytes).await }
    };
    publish(push("to nobody", &[("__user_id__", "nobody")])).await;
    publish(push(
        "too late",
        &[("__user_id__", &user), ("__linger_time__", "1000")],
    ))
    .await;
    publish(push("to whom?", &[])).await;
    publish(answer.clone().with_extra(&[("__user_id__", &user)]).bytes()).await;
    publish(answer.with_extra(&[("__user_id__", "nobody")]).bytes()).await;
    publish(b"this is no message".to_vec()).await;
    publish(push("to you", &[("__user_id__", &user)])).await;
    assert_eq!(client.next_push().await, "to you");
    assert_eq!(house.drops("user_gone"), 2);
    assert_eq!(house.drops("late_return"), 1);
    assert_eq!(house.drops("no_user"), 1);
    client.works().await;
    drop(client);
    house.end().await;
}
