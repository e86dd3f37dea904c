//! What clients can make the gateway hold for them.

use std::time::Duration;

use tce_runtime::config::{Endpoint, Options};
use tokio::{net::TcpListener, time::sleep};

use crate::{
    common::{
        client::{Client, echo},
        house::House,
        plan::{Front, Plan},
        raw::{MAGIC, Message, PYTHON, Raw, deflate, frame, string},
        scene::Scene,
        watching::within,
    },
    peer::Peer,
};

const MIB: usize = 1 << 20;
/// The size of a large message, below the limit of a frame.
const LARGE: usize = 4 * MIB - 1000;
/// Until buffers that are no longer needed are freed.
const QUIET: Duration = Duration::from_millis(1500);

fn with_login(plan: Plan) -> Plan {
    plan.property("userid_check", "true")
        .property("auth", "token")
}

/// Logs in as a user.
async fn log_in(client: &mut Raw, user: &str) {
    let hello = echo(1, "hello").with_extra(&[("__token__", user)]);
    assert_eq!(client.call(&hello).await.errcode, 0);
}

/// A client of a gateway in another process that has logged in.
async fn user(scene: &Scene, name: &str) -> Client {
    let options = Options {
        token: Some(name.to_owned()),
        ..Options::default()
    };
    let address = scene.gateway.addresses()[0].to_string();
    let client = Client::connect(&address, scene.folder.path(), options).await;
    let client = client.expect("the gateway listens");
    within(async { while client.server.echo("hello").await.is_err() {} }).await;
    client
}

/// A frame of a few kilobytes that inflates to a oneway call of `size` bytes.
fn bomb(size: usize) -> Vec<u8> {
    let call = Message {
        calltype: 0x21,
        ..echo(2, &"0".repeat(size))
    };
    frame(1, &deflate(&call.bytes()))
}

/// The beginning of a frame of which the last byte is missing.
fn half_frame(size: usize) -> Vec<u8> {
    let announced = u32::try_from(size + 11).unwrap();
    let header = [&MAGIC[..], &announced.to_be_bytes(), &[0, 0], &PYTHON].concat();
    [header, vec![0; size]].concat()
}

fn grown(scene: &Scene, before: usize) -> usize {
    scene.gateway.resident().saturating_sub(before) / MIB
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inflated_message_is_freed_when_it_is_handled() {
    let scene = Scene::start(with_login(Plan::direct()), &["gw0"]).await;
    let bystander = user(&scene, "bystander").await;
    let before = scene.gateway.resident();
    let mut clients = Vec::new();
    for number in 0..30 {
        let mut client = Raw::connect(&scene.gateway.addresses()[0]).await;
        log_in(&mut client, &format!("user{number}")).await;
        client.send(&bomb(LARGE)).await;
        clients.push(client);
    }
    sleep(QUIET).await;
    bystander.works().await;
    let grown = grown(&scene, before);
    assert!(
        grown < 40,
        "{grown} MiB for {} idle connections",
        clients.len()
    );
}

/// A connection that has not logged in may send small frames only, compressed or
/// not, and a thousand of them together hold little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_have_not_logged_in_hold_little() {
    let scene = Scene::start(with_login(Plan::direct()), &["gw0"]).await;
    let bystander = user(&scene, "bystander").await;
    let (socket, websocket) = {
        let addresses = scene.gateway.addresses();
        (addresses[0].clone(), addresses[1].clone())
    };
    for large in [half_frame(70_000), bomb(70_000)] {
        let mut client = Raw::connect(&socket).await;
        client.send(&large).await;
        client.closed().await;
        let mut client = Peer::connect(&websocket).await;
        client.send_bytes(large).await;
        client.ended().await;
    }
    let before = scene.gateway.resident();
    let mut clients = Vec::new();
    for number in 0..1000 {
        let address = if number % 2 == 0 { &socket } else { &websocket };
        clients.push(hostile(address, number % 2 == 1).await);
    }
    bystander.works().await;
    let mut small = Raw::connect(&socket).await;
    log_in(&mut small, "small").await;
    let grown = grown(&scene, before);
    assert!(grown < 64, "{grown} MiB for {} connections", clients.len());
}

/// A connection with an incomplete frame that is as large as is allowed.
async fn hostile(address: &Endpoint, is_websocket: bool) -> Raw {
    let mut bytes = half_frame(64_000);
    if !is_websocket {
        let mut client = Raw::connect(address).await;
        client.send(&bytes).await;
        return client;
    }
    let Peer(socket) = Peer::connect(address).await;
    let mut client = Raw(socket.into_inner());
    // A masked binary message that is not complete either.
    let mut message = vec![0x82, 0xFF];
    message.extend((bytes.len() as u64 + 1).to_be_bytes());
    message.extend([0; 4]);
    message.append(&mut bytes);
    client.send(&message).await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incomplete_frames_stay_within_the_memory_budget() {
    let plan = Plan::direct().property("max_memory", &(96 * MIB).to_string());
    let scene = Scene::start(plan, &["gw0"]).await;
    let bystander = scene.client(1).await;
    let before = scene.gateway.resident();
    let half = half_frame(LARGE);
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Raw::connect(&scene.gateway.addresses()[0]).await;
        // The gateway may end the connection before it has read all.
        let _ = within(tokio::io::AsyncWriteExt::write_all(&mut client.0, &half)).await;
        clients.push(client);
    }
    bystander.works().await;
    let medium = bystander.server.echo(&"x".repeat(60_000));
    within(medium).await.expect("others keep their share");
    let grown = grown(&scene, before);
    assert!(grown < 160, "{grown} MiB of 400");
}

/// Messages that wait for a server that reads nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_wait_for_a_stopped_server_stay_within_the_memory_budget() {
    let plan = Plan::direct().property("max_memory", &(32 * MIB).to_string());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let house = House::before(plan, &[port], |gateway| gateway).await;
    let (_server, _) = within(listener.accept()).await.unwrap();
    house.is_ready().await;
    let bomb = bomb(LARGE);
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = house.raw().await;
        client.send(&bomb).await;
        clients.push(client);
    }
    // The system's buffers may take one, and another waits in the buffer to the
    // server. None of the others fits in a share of the memory.
    within(async {
        while house.drops("memory") < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    drop((clients, listener));
    for gateway in &house.gateways {
        gateway.shutdown().await;
    }
}

/// The answers of a client that reads may exceed its send buffer many times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_gets_large_answers_at_once() {
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start(plan).await;
        for front in [Front::Socket, Front::WebSocket] {
            let client = house.client(front).await;
            let calls = (0..64).map(|_| client.server.echo("large 262144"));
            for answer in within(futures_util::future::join_all(calls)).await {
                assert_eq!(answer.expect("it is answered").len(), 262_144);
            }
        }
        assert_eq!(house.drops("slow_reader"), 0);
        house.end().await;
    }
}

/// A caller whose answers exceed its share of memory gets errors in their place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_past_the_memory_budget_are_errors() {
    let plan = Plan::direct().property("max_memory", &(16 * MIB).to_string());
    let house = House::start(plan).await;
    let bystander = house.client(Front::Socket).await;
    let mut slow = house.raw().await;
    let calls = (0..64).map(|number| echo(number, "large 262144").frame());
    slow.send(&calls.collect::<Vec<_>>().concat()).await;
    within(async {
        while house.drops("memory") == 0 {
            bystander.works().await;
        }
    })
    .await;
    let (mut answered, mut failed) = (0, 0);
    for _ in 0..64 {
        match slow.message().await {
            answer if answer.errcode == 0 => answered += 1,
            error => {
                assert_eq!(
                    error.extra("__error__").map(|text| text.contains("memory")),
                    Some(true)
                );
                failed += 1;
            }
        }
    }
    assert!(answered > 0 && failed > 0, "{answered} {failed}");
    let answer = slow.call(&echo(99, "works")).await;
    assert_eq!(answer.params, string("Yah! works"));
    drop((slow, bystander));
    house.end().await;
}
