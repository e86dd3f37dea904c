//! What a client may, and what becomes of one that wants more.

use std::time::{Duration, Instant};

use tce_runtime::{ErrorCode, wire::Limits};

use crate::{
    common::{
        house::House,
        plan::{Front, Plan},
        raw::{MAGIC, Message, Raw, frame, string},
        scene::Scene,
        watching::{eventually, within},
    },
    peer::Peer,
};

const ECHO: u16 = 0;
const TIMEOUT: u32 = 2;
const SENDFAILED: u32 = 1;
const DATADIRTY: u32 = 3;

fn echo(sequence: u32, text: &str) -> Message {
    Message::call(sequence, ECHO, string(text))
}

async fn raw(house: &House) -> Raw {
    Raw::connect(house.address(Front::Socket)).await
}

async fn works(client: &mut Raw) {
    let answer = client.call(&echo(77, "works")).await;
    assert_eq!((answer.sequence, answer.params), (77, string("Yah! works")));
}

/// Waits until a new client is let in.
async fn is_let_in(house: &House) {
    within(async {
        loop {
            let mut client = raw(house).await;
            client.send(&echo(1, "hello").frame()).await;
            if client.next().await.is_some() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    let house = House::start(Plan::direct().property("max_connections_per_address", "2")).await;
    let (mut first, mut second) = (raw(&house).await, raw(&house).await);
    works(&mut first).await;
    works(&mut second).await;
    for front in [Front::Socket, Front::WebSocket] {
        let mut third = Raw::connect(house.address(front)).await;
        third.closed().await;
    }
    drop(first);
    is_let_in(&house).await;
    works(&mut second).await;
    drop(second);
    house.end().await;
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let house = House::start(Plan::direct().property("max_connections", "2")).await;
    let (mut first, mut second) = (raw(&house).await, raw(&house).await);
    works(&mut first).await;
    works(&mut second).await;
    let mut third = raw(&house).await;
    third.send(&echo(3, "at last").frame()).await;
    works(&mut second).await;
    assert_eq!(house.gateway().connections(), 2);
    drop(first);
    assert_eq!(third.message().await.params, string("Yah! at last"));
    works(&mut second).await;
    drop((second, third));
    house.end().await;
}

/// A second's frames may come at once, further ones are read when they are
/// due; none is lost.
#[tokio::test]
async fn a_client_that_is_too_fast_is_read_more_slowly() {
    let house = House::start(Plan::direct().property("max_frames_per_second", "100")).await;
    let mut client = raw(&house).await;
    let start = Instant::now();
    let frames: Vec<_> = (0..160)
        .map(|number| echo(number, "fast").frame())
        .collect();
    client.send(&frames.concat()).await;
    for number in 0..160 {
        assert_eq!(client.message().await.sequence, number);
    }
    let took = start.elapsed();
    assert!(took > Duration::from_millis(550), "{took:?}");
    drop(client);
    house.end().await;
}

#[tokio::test]
async fn calls_over_the_limit_are_read_when_others_have_ended() {
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start(plan.property("max_calls_in_flight", "2")).await;
        let mut client = raw(&house).await;
        let seen = &house.server().seen;
        let calls = [
            echo(1, "gate"),
            echo(2, "gate"),
            echo(3, "third"),
            echo(4, "fourth"),
        ];
        client.send(&calls.map(|call| call.frame()).concat()).await;
        seen.gate_reached(2).await;
        let mut other = raw(&house).await;
        works(&mut other).await;
        assert_eq!(house.snapshot().totals.in_flight, 2);
        seen.gate.add_permits(1);
        assert_eq!(client.message().await.params, string("through"));
        assert_eq!(client.message().await.params, string("Yah! third"));
        assert_eq!(client.message().await.params, string("Yah! fourth"));
        seen.open_gate();
        assert_eq!(client.message().await.params, string("through"));
        drop((client, other));
        house.end().await;
    }
}

#[tokio::test]
async fn a_client_has_to_say_in_time_who_it_is() {
    let plan = Plan::direct()
        .property("userid_check", "true")
        .property("auth", "token")
        .property("first_message_time", "0.3");
    let house = House::start(plan).await;
    let mut known = raw(&house).await;
    let hello = echo(1, "hello").with_extra(&[("__token__", "anna")]);
    assert_eq!(known.call(&hello).await.errcode, 0);
    let mut silent = raw(&house).await;
    silent.closed().await;
    let mut in_pieces = raw(&house).await;
    in_pieces.send(&hello.frame()[..30]).await;
    in_pieces.closed().await;
    works(&mut known).await;
    drop(known);
    house.end().await;
}

#[tokio::test]
async fn a_client_that_is_silent_for_too_long_is_disconnected() {
    let house = House::start(Plan::direct().property("idle_time", "0.5")).await;
    let seen = &house.server().seen;
    let mut waiting = raw(&house).await;
    waiting.send(&echo(1, "gate").frame()).await;
    seen.gate_reached(1).await;
    let (mut idle, mut mute) = (raw(&house).await, raw(&house).await);
    works(&mut idle).await;
    idle.closed().await;
    mute.closed().await;
    // Who waits for an answer is not idle.
    seen.open_gate();
    assert_eq!(waiting.message().await.params, string("through"));
    waiting.closed().await;
    house.end().await;
}

/// Nobody is left to whom the answer could go.
#[tokio::test]
async fn answers_to_a_client_that_has_gone_are_dropped() {
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start(plan).await;
        let mut client = raw(&house).await;
        client.send(&echo(1, "gate").frame()).await;
        house.server().seen.gate_reached(1).await;
        drop(client);
        eventually("it has gone", || house.gateway().connections() == 0).await;
        assert_eq!(house.snapshot().totals.in_flight, 0);
        house.server().seen.open_gate();
        house.dropped("user_gone", 1).await;
        house.end().await;
    }
}

/// The gateway answers for a server that does not; what the server says later
/// is dropped.
#[tokio::test]
async fn a_call_that_takes_too_long_is_answered_by_the_gateway() {
    for plan in [Plan::direct(), Plan::memory(), Plan::rabbitmq()] {
        let house = House::start(plan.property("call_time", "0.4")).await;
        let mut client = raw(&house).await;
        let answer = client.call(&echo(5, "gate")).await;
        assert_eq!((answer.sequence, answer.errcode), (5, TIMEOUT));
        assert_eq!((answer.ifidx, answer.opidx), (2, ECHO));
        works(&mut client).await;
        assert_eq!(house.snapshot().totals.in_flight, 0);
        house.server().seen.open_gate();
        house.dropped("late_return", 1).await;
        works(&mut client).await;
        drop(client);
        house.end().await;
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_connection_that_sent_it() {
    let house = House::start(Plan::direct().property("max_frame", "65536")).await;
    let mut bystander = raw(&house).await;
    works(&mut bystander).await;
    let header = [&MAGIC[..], &((1_u32 << 16) + 1).to_be_bytes(), &[0; 6]].concat();
    let mut client = raw(&house).await;
    client.send(&header).await;
    client.closed().await;
    let mut client = Peer::connect(house.address(Front::WebSocket)).await;
    client.send_bytes(header).await;
    client.ended().await;
    // One that is too large only by what the gateway adds.
    let mut client = raw(&house).await;
    let room = (1 << 16) - frame(0, &echo(1, "").bytes()).len();
    let call = echo(1, &"x".repeat(room));
    let answer = client.call(&call).await;
    assert_eq!((answer.sequence, answer.errcode), (1, SENDFAILED));
    works(&mut client).await;
    works(&mut bystander).await;
    drop((client, bystander));
    house.end().await;
}

/// It costs the caller its answer, and nobody anything else.
#[tokio::test]
async fn an_answer_that_is_too_large_is_an_error_to_its_caller() {
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start(plan.property("max_frame", "65536")).await;
        let mut bystander = raw(&house).await;
        bystander.send(&echo(1, "gate").frame()).await;
        house.server().seen.gate_reached(1).await;
        let client = house.client(Front::WebSocket).await;
        let answer = within(client.server.echo("large 100000")).await;
        let error = answer.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SendFailed);
        assert!(error.to_string().contains("larger than"), "{error}");
        client.works().await;
        house.server().seen.open_gate();
        assert_eq!(bystander.message().await.params, string("through"));
        drop((client, bystander));
        house.end().await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_the_connection_that_sent_them() {
    let house = House::start(Plan::direct()).await;
    let mut bystander = raw(&house).await;
    works(&mut bystander).await;
    let good = echo(1, "hello").frame();
    let with = |place: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[place] = byte;
        bytes
    };
    let too_short = [&MAGIC[..], &10_u32.to_be_bytes(), &[0; 6]].concat();
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        with(0, 0),
        with(8, 9),
        with(9, 1),
        too_short,
        frame(1, b"this is no zlib stream"),
    ] {
        let mut client = raw(&house).await;
        client.send(&bytes).await;
        client.closed().await;
        let mut client = Peer::connect(house.address(Front::WebSocket)).await;
        client.send_bytes(bytes).await;
        client.ended().await;
    }
    works(&mut bystander).await;
    eventually("only one is left", || house.gateway().connections() == 1).await;
    drop(bystander);
    house.end().await;
}

/// Where the next message begins is known.
#[tokio::test]
async fn a_message_that_makes_no_sense_costs_itself() {
    let house = House::start(Plan::direct()).await;
    let mut client = raw(&house).await;
    let mut endless = echo(4, "hello").bytes();
    endless[17..21].copy_from_slice(&u32::MAX.to_be_bytes());
    let answer = {
        client.send(&frame(0, &endless)).await;
        client.message().await
    };
    assert_eq!((answer.sequence, answer.errcode), (4, DATADIRTY));
    let reserved = Message {
        msgtype: 2,
        ..echo(5, "hello")
    };
    let neither = Message {
        calltype: 0,
        ..echo(6, "hello")
    };
    for bytes in [reserved.frame(), neither.frame(), frame(0, &[1, 2, 3])] {
        client.send(&bytes).await;
        works(&mut client).await;
    }
    let too_much = "x".repeat(Limits::default().max_extra_bytes + 1);
    let answer = client
        .call(&echo(7, "hello").with_extra(&[("a", &too_much)]))
        .await;
    assert_eq!((answer.sequence, answer.errcode), (7, DATADIRTY));
    works(&mut client).await;
    drop(client);
    house.end().await;
}

/// More than all buffers between take, asked for by a client that does not
/// read: it is not read any more either, then it is disconnected.
async fn a_client_that_does_not_read(plan: Plan) {
    let plan = plan
        .property("send_buffer", "1048576")
        .property("stall_time", "1.5");
    let scene = Scene::start(plan, &["gw0"]).await;
    let gateway = &scene.gateway;
    let bystander = scene.client(1).await;
    within(bystander.server.echo("large 65536")).await.unwrap();
    let before = gateway.resident();
    let mut slow = Raw::connect(&gateway.addresses()[0]).await;
    let asking = (0..4096).map(|number| echo(number, "large 65536").frame());
    slow.send(&asking.collect::<Vec<_>>().concat()).await;
    let mut most = before;
    within(async {
        while !gateway.has_ended_a_connection() {
            bystander.works().await;
            most = most.max(gateway.resident());
        }
    })
    .await;
    slow.closed().await;
    bystander.works().await;
    let grown = most.saturating_sub(before) >> 20;
    assert!(grown < 32, "{grown} MiB, of 256 that were asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_costs_little_and_only_itself() {
    a_client_that_does_not_read(Plan::direct()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_costs_little_by_queue() {
    a_client_that_does_not_read(Plan::rabbitmq()).await;
}

/// What is pushed to a client that does not read is dropped once its buffer is
/// full: no call of its own owes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_to_a_client_that_does_not_read_are_dropped() {
    let plan = Plan::direct()
        .property("send_buffer", "65536")
        .property("stall_time", "1.5")
        .property("userid_check", "true")
        .property("auth", "token");
    let house = House::start(plan).await;
    let mut slow = raw(&house).await;
    let hello = echo(1, "hello").with_extra(&[("__token__", "slow")]);
    assert_eq!(slow.call(&hello).await.errcode, 0);
    let busy = house.user("busy").await;
    let push = format!("push slow {}", "x".repeat(1 << 18));
    within(async {
        while house.drops("slow_reader") == 0 {
            busy.server.echo(&push).await.expect("the server pushes");
        }
    })
    .await;
    eventually("the slow one is disconnected", || {
        house.gateway().connections() == 1
    })
    .await;
    busy.works().await;
    drop((busy, slow));
    house.end().await;
}
