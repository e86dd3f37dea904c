//! Recorded messages of old clients.

use tce_runtime::{Adapter, Communicator, Context, Fault};
use tce_tests::zoo::{Bytes, Family, IntStr, IntTable, Keeper, KeeperServant, StrInt};

use crate::{
    common::{
        client::echo,
        house::House,
        plan::{Front, Plan},
        raw::{Message, Raw, string},
        scene::Scene,
    },
    peer::Peer,
    vectors::{self, Recorded},
};

/// The answer of the example's server to a recorded call; `None` for a oneway
/// call.
fn answer(recorded: &Recorded) -> Option<Vec<u8>> {
    let text = |index: usize| recorded.values()[index].as_str().unwrap();
    match recorded.operation() {
        "test::Server::echo" => Some(string(&format!("Yah! {}", text(0)))),
        "test::Server::timeout" => Some(Vec::new()),
        _ => None,
    }
}

pub(crate) fn is_return_of(answer: &Message, recorded: &Recorded) {
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
        let mut client = house.raw().await;
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

/// Echoes its parameters.
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

    async fn many(
        &self,
        b: u8,
        _: bool,
        _: i16,
        _: i32,
        _: i64,
        _: f32,
        _: f64,
        text: String,
        _: &Context,
    ) -> Result<(), Fault> {
        assert_eq!((b, text.as_str()), (255, "héllo"));
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
    let mut client = house.raw().await;
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

/// A push arrives in the form that old clients expect.
#[tokio::test]
async fn a_push_is_what_clients_of_old_read() {
    let house = House::start(Plan::memory()).await;
    let mut python = house.raw().await;
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

/// An endpoint with `compress="1"` compresses large messages; without it none
/// is compressed.
#[tokio::test]
async fn answers_are_compressed_only_where_that_is_asked_for() {
    for compress in [0, 1] {
        let asked = format!(r#"name="gw0_socket" compress="{compress}" type"#);
        let edit = |text: String| text.replace(r#"name="gw0_socket" type"#, &asked);
        let scene = Scene::start_with(Plan::direct(), &["gw0"], edit).await;
        scene.client(1).await.works().await;
        let mut client = Raw::connect(&scene.gateway.addresses()[0]).await;
        client.send(&echo(1, "large 5000").frame()).await;
        let arrived = client.next().await.unwrap();
        assert_eq!(arrived.compress, compress);
        assert_eq!(arrived.message.params, string(&"x".repeat(5000)));
    }
}
