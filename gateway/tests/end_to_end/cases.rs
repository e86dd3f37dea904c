//! One call of each kind, as a client sees it.

use std::time::Duration;

use tce_runtime::{ErrorCode, Proxy, RpcError, TypedProxy, wire::Operation};
use tokio::sync::oneshot;

use crate::common::{
    client::Client,
    house::House,
    watching::{soon, within},
};

static NO_OPERATION: Operation = Operation::new("test::Server::none", 2, 99);
static NO_INTERFACE: Operation = Operation::new("test::Nobody::none", 77, 0);

fn code<T: std::fmt::Debug>(result: Result<T, RpcError>) -> ErrorCode {
    result.expect_err("the call fails").code()
}

pub(crate) async fn twoway(_: &House, client: Client) {
    let answer = within(client.server.echo("hello")).await;
    assert_eq!(answer.unwrap(), "Yah! hello");
    let inherited = within(client.server.datetime()).await;
    assert_eq!(inherited.unwrap(), "server0");
}

/// The servant takes longer than the client waits; the late RETURN is ignored.
pub(crate) async fn timeout(house: &House, client: Client) {
    let hasty = client.server.with_timeout(Duration::from_millis(200));
    let answer = within(hasty.timeout(3)).await;
    assert_eq!(code(answer), ErrorCode::Timeout);
    house.server().seen.gate_reached(1).await;
    house.server().seen.open_gate();
    client.works().await;
}

pub(crate) async fn asynchronous(_: &House, client: Client) {
    let (sender, answer) = oneshot::channel();
    let pending = client.server.echo("pingpang");
    pending.on_return(|answer| sender.send(answer).expect("the test waits"));
    let answer = within(answer).await.expect("the callback is called");
    assert_eq!(answer.unwrap(), "Yah! pingpang");
}

pub(crate) async fn extra(_: &House, client: Client) {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let pairs = [("name", "scott.bo"), ("traceparent", trace)];
    let server = client.server.with_extra(pairs);
    let returned = within(server.echo("extra").returned()).await.unwrap();
    let came: Vec<_> = returned.value.lines().collect();
    for (key, value) in pairs {
        assert!(came.contains(&&*format!("{key}={value}")), "{came:?}");
        assert_eq!(returned.extra.get(key), Some(value));
    }
    assert_eq!(returned.extra.get("__user_id__"), None);
    assert_eq!(returned.extra.get("__mq_return__"), None);
}

pub(crate) async fn oneway(house: &House, client: Client) {
    let sent = within(client.server.heartbeat_oneway("hello world!")).await;
    sent.unwrap();
    assert_eq!(house.server().next_heard().await, "hello world!");
}

/// The server pushes to the caller.
pub(crate) async fn bidirection(_: &House, mut client: Client) {
    within(client.server.bidirection_oneway()).await.unwrap();
    assert_eq!(client.next_push().await, "server push message!");
    within(client.server.bidirection()).await.unwrap();
    assert_eq!(client.next_push().await, "server push message!");
}

pub(crate) async fn fault(_: &House, client: Client) {
    for number in [ErrorCode::RemoteException.to_wire(), 4711] {
        let answer = within(
            client
                .server
                .echo(&format!("fail {number} no such customer")),
        )
        .await;
        let error = answer.unwrap_err();
        assert_eq!(error.code().to_wire(), number);
        assert!(error.to_string().contains("no such customer"), "{error}");
    }
    client.works().await;
}

pub(crate) async fn unknown_operation(_: &House, client: Client) {
    let proxy = Proxy::new(client.server.connection());
    let answer = soon(proxy.call::<_, ()>(&NO_OPERATION, ())).await;
    assert_eq!(code(answer), ErrorCode::InterfaceNotFound);
    client.works().await;
}

/// The gateway answers with an error that names what is missing.
pub(crate) async fn unknown_interface(house: &House, client: Client) {
    let proxy = Proxy::new(client.server.connection());
    let answer = soon(proxy.call::<_, ()>(&NO_INTERFACE, ())).await;
    let error = answer.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InterfaceNotFound);
    assert!(error.to_string().contains("interface 77"), "{error}");
    within(proxy.oneway(&NO_INTERFACE, ())).await.unwrap();
    house.dropped("no_route", 1).await;
    client.works().await;
}

pub(crate) async fn undecodable(_: &House, client: Client) {
    static ECHO: Operation = Operation::new("test::Server::echo", 2, 0);
    let proxy = Proxy::new(client.server.connection());
    let answer = soon(proxy.call::<_, String>(&ECHO, (-1_i32,))).await;
    assert_eq!(code(answer), ErrorCode::UnserializeFailed);
    client.works().await;
}

pub(crate) async fn a_mebibyte(_: &House, client: Client) {
    let text = "é".repeat(1 << 19);
    let answer = within(client.server.echo(&text)).await.unwrap();
    assert!(answer.strip_prefix("Yah! ") == Some(&*text));
}

/// Many calls at once, whose answers come in another order.
pub(crate) async fn many_at_once(house: &House, client: Client) {
    let late = client.server.timeout(3);
    house.server().seen.gate_reached(1).await;
    let calls: Vec<_> = (0..200)
        .map(|number| client.server.echo(&format!("{number}")))
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(within(call).await.unwrap(), format!("Yah! {number}"));
    }
    house.server().seen.open_gate();
    within(late).await.unwrap();
}

/// Calls of one client reach a server in the order in which they were made.
pub(crate) async fn in_order(house: &House, client: Client) {
    for number in 0..100 {
        let text = format!("{number}");
        within(client.server.heartbeat_oneway(&text)).await.unwrap();
    }
    for number in 0..100 {
        assert_eq!(house.server().next_heard().await, format!("{number}"));
    }
}
