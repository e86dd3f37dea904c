//! Malformed messages: they affect only the client that sent them.

use tce_runtime::{ErrorCode, wire::Limits};

use crate::{
    common::{
        client::{echo, works},
        house::House,
        plan::{Front, Plan},
        raw::{MAGIC, Message, frame, string},
        watching::{eventually, within},
    },
    peer::Peer,
};

const REMOTEMETHOD_EXCEPTION: u32 = 6;
const DATADIRTY: u32 = 3;

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_connection_that_sent_it() {
    let house = House::start(Plan::direct().property("max_frame", "65536")).await;
    let mut bystander = house.raw().await;
    works(&mut bystander).await;
    let header = [&MAGIC[..], &((1_u32 << 16) + 1).to_be_bytes(), &[0; 6]].concat();
    let mut client = house.raw().await;
    client.send(&header).await;
    // More than the sockets buffer: it is not read, and the client is told nevertheless.
    client.send(&[0; 1 << 20]).await;
    let goodbye = client.message().await;
    assert_eq!(goodbye.extra("__close__"), Some("1009"));
    client.closed().await;
    let mut client = Peer::connect(house.address(Front::WebSocket)).await;
    client.send_bytes(header).await;
    let close = client.close_frame().await.expect("it says why");
    assert_eq!(u16::from(close.code), 1009);
    client.ended().await;
    // A call that exceeds the limit only by what the gateway adds reaches the server;
    // its answer exceeds the limit, too.
    let mut client = house.raw().await;
    let room = (1 << 16) - frame(0, &echo(1, "").bytes()).len();
    let call = echo(1, &"x".repeat(room));
    let answer = client.call(&call).await;
    assert_eq!(
        (answer.sequence, answer.errcode),
        (1, REMOTEMETHOD_EXCEPTION)
    );
    works(&mut client).await;
    works(&mut bystander).await;
    drop((client, bystander));
    house.end().await;
}

/// Only the call fails, not the connection.
#[tokio::test]
async fn an_answer_that_is_too_large_is_an_error_to_its_caller() {
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start(plan.property("max_frame", "65536")).await;
        let mut bystander = house.raw().await;
        bystander.send(&echo(1, "gate").frame()).await;
        house.server().seen.gate_reached(1).await;
        let client = house.client(Front::WebSocket).await;
        let answer = within(client.server.echo("large 100000")).await;
        let error = answer.unwrap_err();
        assert_eq!(error.code(), ErrorCode::RemoteMethodException);
        assert!(!error.can_retry());
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
    let mut bystander = house.raw().await;
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
        let mut client = house.raw().await;
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

/// The framing is intact, so the connection stays open.
#[tokio::test]
async fn a_message_that_makes_no_sense_costs_itself() {
    let house = House::start(Plan::direct()).await;
    let mut client = house.raw().await;
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
