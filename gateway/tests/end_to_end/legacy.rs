//! Programs of old, byte for byte: clients before the gateway, servers behind
//! it.

use tce_runtime::{Adapter, Communicator, Context, Fault};
use tce_tests::zoo::{
    Bytes, Family, IntStr, IntTable, Keeper, KeeperManyParams, KeeperServant, StrInt,
};

use crate::{
    common::{
        client::Client,
        house::House,
        plan::{Front, Plan},
        raw::{Message, Raw, RawServer, int, string},
        watching::within,
    },
    peer::Peer,
    queue::Raw as RawQueue,
    vectors::{self, Recorded},
};

const ECHO: u16 = 0;
const TOP_BIT: u16 = 0x8000;
const ONEWAY: u8 = 0x20;
const REMOTEMETHOD_EXCEPTION: u32 = 6;

/// What the seed's server answers to a recorded call; nothing where it is
/// oneway.
fn answer(recorded: &Recorded) -> Option<Vec<u8>> {
    let text = |index: usize| recorded.values()[index].as_str().unwrap();
    match recorded.operation() {
        "test::Server::echo" => Some(string(&format!("Yah! {}", text(0)))),
        "test::Server::timeout" => Some(Vec::new()),
        _ => None,
    }
}

fn is_return_of(answer: &Message, recorded: &Recorded) {
    assert_eq!((answer.calltype, answer.errcode), (0x02, 0), "{answer:?}");
    assert_eq!(answer.sequence, recorded.number::<u32>("sequence"));
    assert_eq!(answer.ifidx, recorded.number::<u16>("ifidx"));
    assert_eq!(answer.opidx, recorded.number::<u16>("opidx"));
    assert_eq!(answer.call_id, recorded.number::<u16>("call_id"));
}

async fn seeds(plan: Plan) -> House {
    let plan = plan
        .property("userid_check", "true")
        .property("auth", "token");
    let house = House::start(plan).await;
    house.server().seen.open_gate();
    house
}

#[tokio::test]
async fn a_python_client_gets_its_answers() {
    for plan in [Plan::direct(), Plan::rabbitmq()] {
        let house = seeds(plan).await;
        let mut client = Raw::connect(house.address(Front::Socket)).await;
        for recorded in vectors::all("python-client") {
            client.send(&recorded.frame()).await;
            match answer(&recorded) {
                Some(params) => {
                    let answer = client.message().await;
                    is_return_of(&answer, &recorded);
                    assert_eq!(answer.params, params);
                }
                None => {
                    let hello = recorded.values()[0].as_str().unwrap();
                    assert_eq!(house.server().next_heard().await, hello);
                }
            }
        }
        drop(client);
        house.end().await;
    }
}

/// A frame is two WebSocket messages there.
#[tokio::test]
async fn a_javascript_client_gets_its_answers() {
    for plan in [Plan::direct(), Plan::rabbitmq()] {
        let house = seeds(plan).await;
        let mut client = Peer::connect(house.address(Front::WebSocket)).await;
        for recorded in vectors::all("javascript-client") {
            let frame = recorded.frame();
            let (header, payload) = frame.split_at(14);
            client.send_bytes(header).await;
            client.send_bytes(payload).await;
            match answer(&recorded) {
                Some(params) => {
                    let answer = client.frame().await;
                    is_return_of(&answer, &recorded);
                    assert_eq!(answer.params, params);
                }
                None => {
                    let hello = recorded.values()[0].as_str().unwrap();
                    assert_eq!(house.server().next_heard().await, hello);
                }
            }
        }
        client.0.close(None).await.expect("the gateway is there");
        client.ended().await;
        house.end().await;
    }
}

/// Gives back what it gets.
struct Giver;

impl Keeper for Giver {
    async fn roundtrip(&self, fam: Family, _: &Context) -> Result<Family, Fault> {
        Ok(fam)
    }

    async fn table(&self, t: IntTable, _: &Context) -> Result<IntTable, Fault> {
        Ok(t)
    }

    async fn blob(&self, data: Bytes, _: &Context) -> Result<Bytes, Fault> {
        Ok(data)
    }

    async fn counts(&self, c: StrInt, _: &Context) -> Result<StrInt, Fault> {
        Ok(c)
    }

    async fn names(&self, c: IntStr, _: &Context) -> Result<IntStr, Fault> {
        Ok(c)
    }

    async fn many(&self, params: KeeperManyParams, _: &Context) -> Result<(), Fault> {
        let expected = (255, "héllo");
        assert_eq!((params.b, params.text.as_str()), expected);
        Ok(())
    }

    async fn big(&self, v: i64, _: &Context) -> Result<i64, Fault> {
        Ok(v)
    }

    async fn real(&self, v: f64, _: &Context) -> Result<f64, Fault> {
        Ok(v)
    }

    async fn truth(&self, v: bool, _: &Context) -> Result<bool, Fault> {
        Ok(v)
    }
}

/// Their interface has the index of the seed's base; one of them is compressed
/// and padded.
#[tokio::test]
async fn a_java_client_gets_its_answers() {
    let server = Communicator::new();
    let adapter = Adapter::listen(&server, "tcp://127.0.0.1:0").await.unwrap();
    adapter.add_servant(KeeperServant::new(Giver)).start();
    let house = House::before(Plan::direct(), &[adapter.endpoint().port], |it| it).await;
    house.is_ready().await;
    let mut client = Raw::connect(house.address(Front::Socket)).await;
    for recorded in vectors::all("java-client") {
        client.send(&recorded.frame()).await;
        let answer = client.message().await;
        is_return_of(&answer, &recorded);
        if recorded.operation() == "zoo::Keeper::many" {
            assert!(answer.params.is_empty());
        } else {
            assert_eq!(answer.params, recorded.params(), "{}", recorded.operation());
        }
    }
    drop(client);
    house.end().await;
}

/// What the gateway sends on: header and extra as they have to be, parameters
/// as they came.
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

/// The RETURN of a servant of old that fails: nothing in it but the sequence
/// and the extra tells whose it is.
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
    let house = House::before(Plan::direct(), &ports, |it| it).await;
    let mut server = listening.accept().await;
    house.is_ready().await;
    let mut client = Raw::connect(house.address(Front::Socket)).await;
    for recorded in vectors::all("python-client") {
        client.send(&recorded.frame()).await;
        let call = server.message().await;
        is_sent_on(&call, &recorded);
        if recorded.number::<u8>("calltype") & ONEWAY == 0 {
            server.send(&legacy_error(&call).frame()).await;
            is_error_of(&client.message().await, &recorded);
            // Once more is once too often.
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
    let port = crate::common::node::Node::shared().port();
    let broker = RawQueue::connect(port).await;
    let mut server = broker.read(&house.plan.calls()).await;
    let mut client = Raw::connect(house.address(Front::Socket)).await;
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

/// What comes by a queue for nobody, or too late, goes nowhere; what comes
/// behind it does.
#[tokio::test]
async fn what_nobody_waits_for_is_dropped() {
    let house = House::start(Plan::rabbitmq()).await;
    let port = crate::common::node::Node::shared().port();
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

/// A push reaches clients of old as they know it.
#[tokio::test]
async fn a_push_is_what_clients_of_old_read() {
    let house = House::start(Plan::memory()).await;
    let mut python = Raw::connect(house.address(Front::Socket)).await;
    let mut javascript = Peer::connect(house.address(Front::WebSocket)).await;
    let bidirection = Message {
        calltype: 0x21,
        ..Message::call(1, 3, Vec::new())
    };
    python.send(&bidirection.frame()).await;
    javascript.send_bytes(bidirection.frame()).await;
    for push in [python.message().await, javascript.frame().await] {
        assert_eq!((push.calltype, push.ifidx, push.opidx), (0x21, 3, 0));
        assert_eq!((push.errcode, push.call_id), (0, 0));
        assert_eq!(push.extra("__user_id__"), None);
        assert_eq!(push.params, string("server push message!"));
    }
    drop(python);
    javascript
        .0
        .close(None)
        .await
        .expect("the gateway is there");
    javascript.ended().await;
    house.end().await;
}

/// An endpoint with `compress="1"` compresses what is worth it; without it
/// nothing is.
#[tokio::test]
async fn answers_are_compressed_only_where_that_is_asked_for() {
    let house = House::start(Plan::direct().property("idle_time", "60")).await;
    let mut client = Raw::connect(house.address(Front::Socket)).await;
    let call = Message::call(1, ECHO, string("large 5000"));
    client.send(&call.frame()).await;
    let arrived = client.next().await.unwrap();
    assert_eq!(
        (arrived.compress, arrived.message.params),
        (0, string(&"x".repeat(5000)))
    );
    let text = std::fs::read_to_string(house.file()).unwrap();
    let compressing = text.replace(
        r#"name="gw0_socket" type"#,
        r#"name="gw0_socket" compress="1" type"#,
    );
    assert_ne!(text, compressing);
    std::fs::write(house.file(), compressing).unwrap();
    let gateway = tce_gateway::Gateway::load(house.file(), "gw0", &[]).unwrap();
    let running = within(gateway.start()).await.unwrap();
    let address = running.addresses().next().unwrap().clone();
    let other = Client::connect(&address.to_string(), house.folder(), Default::default()).await;
    within(async {
        // Its server may not be there yet.
        while other.as_ref().unwrap().server.echo("hello").await.is_err() {}
    })
    .await;
    let mut client_of_old = Raw::connect(&address).await;
    client_of_old.send(&call.frame()).await;
    let arrived = client_of_old.next().await.unwrap();
    assert_eq!(
        (arrived.compress, arrived.message.params),
        (1, string(&"x".repeat(5000)))
    );
    drop((client, client_of_old, other));
    assert!(running.shutdown().await);
    house.end().await;
}
