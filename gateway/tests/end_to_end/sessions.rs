//! Sessions that last: logins by `ping`, by themselves, and after a reconnect.

use std::time::Duration;

use tce_runtime::{Context, ErrorCode, Fault, Proxy, TypedProxy, config::Options};
use tce_test_faults::FaultProxy;
use tce_tests::test::{
    ITerminalGatewayServer, ITerminalGatewayServerPrx, ITerminalGatewayServerServant, ITerminalPrx,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::{
    common::{
        client::{Client, echo},
        house::House,
        plan::{FRONTS, Front, Plan},
        raw::{Message, string},
        watching::{soon, within},
    },
    peer::Peer,
};

fn by_token() -> Plan {
    Plan::direct()
        .property("userid_check", "true")
        .property("auth", "token")
}

fn with_token(token: &str) -> Options {
    Options {
        token: Some(token.to_owned()),
        ..Options::default()
    }
}

/// Pushes to a user until a push arrives.
async fn is_reached(listener: &mut Client, caller: &Client, user: &str) {
    within(async {
        loop {
            let push = format!("push {user} hello");
            let _ = caller.server.echo(&push).await;
            let pushed = timeout(Duration::from_millis(50), listener.pushed.recv());
            if pushed.await.is_ok_and(|text| text.is_some()) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_only_listens_is_reached_after_each_reconnect() {
    let plan = by_token().property("first_message_time", "3");
    let house = House::start(plan).await;
    let caller = house.user("ben").await;
    for front in FRONTS {
        let mut address = house.address(front).clone();
        let wire = FaultProxy::start(format!("127.0.0.1:{}", address.port));
        address.port = wire.port();
        let address = address.to_string();
        let made = Client::connect(&address, house.folder(), with_token("anna"));
        let mut listener = made.await.unwrap();
        is_reached(&mut listener, &caller, "anna").await;
        for _ in 0..2 {
            wire.cut();
            is_reached(&mut listener, &caller, "anna").await;
        }
    }
    house.end().await;
}

/// Neither the time for a first message nor the next call ends a session whose first
/// message is a `ping`.
#[tokio::test]
async fn a_ping_before_the_first_call_is_a_login() {
    let house = House::start(by_token()).await;
    for front in FRONTS {
        let client = house.client_with(front, with_token("anna")).await;
        let proxy = Proxy::new(client.server.connection());
        soon(proxy.ping()).await.unwrap();
        client.works().await;
        soon(proxy.ping()).await.unwrap();
        assert_eq!(client.who().await, "anna");
    }
    house.end().await;
}

fn ping(sequence: u32) -> Message {
    Message {
        ifidx: tce_runtime::BUILTIN_INTERFACE,
        ..Message::call(sequence, 0, Vec::new())
    }
}

#[tokio::test]
async fn the_token_of_a_ping_counts_and_one_without_is_answered() {
    let house = House::start(by_token()).await;
    let mut client = house.raw().await;
    assert_eq!(client.call(&ping(1)).await.errcode, 0);
    let login = ping(2).with_extra(&[("__token__", "anna")]);
    assert_eq!(client.call(&login).await.errcode, 0);
    let answer = client.call(&echo(3, "who")).await;
    assert_eq!((answer.errcode, answer.params), (0, string("anna")));

    let mut stranger = house.raw().await;
    assert_eq!(stranger.call(&ping(1)).await.errcode, 0);
    let answer = stranger.call(&echo(2, "who")).await;
    assert_eq!(answer.errcode, ErrorCode::ConnectReject.to_wire());

    let mut stranger = house.raw().await;
    let login = ping(1).with_extra(&[("__token__", "")]);
    let answer = stranger.call(&login).await;
    assert_eq!(answer.errcode, ErrorCode::ConnectReject.to_wire());
    stranger.closed().await;
    house.end().await;
}

/// A program learns from its calls that its token is refused, also when the
/// connection has tried to log in by itself.
#[tokio::test]
async fn a_refused_login_is_reported_to_calls() {
    let house = House::start(by_token()).await;
    for front in [Front::Socket, Front::WebSocket] {
        let client = house.client_with(front, with_token("")).await;
        for _ in 0..2 {
            let error = soon(client.server.echo("x")).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}");
            sleep(Duration::from_millis(300)).await;
        }
    }
    house.end().await;
}

/// A WebSocket ping counts as a message of a client that says nothing else.
#[tokio::test]
async fn a_client_that_pings_is_not_idle() {
    let plan = Plan::direct()
        .property("idle_time", "1")
        .property("ping_interval", "0");
    let house = House::start(plan).await;
    let mut client = Peer::connect(house.address(Front::WebSocket)).await;
    for _ in 0..12 {
        client.send(Frame::Ping(Vec::new().into())).await;
        sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(house.gateway().connections(), 1);
    let silent_since = Instant::now();
    client.ended().await;
    assert!(silent_since.elapsed() > Duration::from_millis(500));
    house.end().await;
}

/// The gateway pings, and a client that answers lives.
#[tokio::test]
async fn a_client_that_answers_pings_is_not_idle() {
    let plan = Plan::direct()
        .property("idle_time", "1")
        .property("ping_interval", "0.3");
    let house = House::start(plan).await;
    let client = house.client(Front::WebSocket).await;
    client.works().await;
    let connection = client.server.connection().clone();
    connection.on_event(|_, event| panic!("{event:?}"));
    sleep(Duration::from_secs(3)).await;
    client.works().await;
    // A client over another transport has no such answer.
    let mut idle = house.raw().await;
    idle.closed().await;
    drop((client, connection));
    house.end().await;
}

/// A servant of the gateway that calls its caller, twoway.
struct CallsBack;

impl ITerminalGatewayServer for CallsBack {
    async fn ping(&self, ctx: &Context) -> Result<(), Fault> {
        tokio::task::yield_now().await;
        Ok(ITerminalPrx::to_caller(ctx).on_message("back").await?)
    }
}

/// Reading from a client may pause at a limit, but not while a servant of the gateway
/// waits for that client's RETURN.
#[tokio::test]
async fn servants_of_the_gateway_may_call_clients_at_every_limit() {
    for (property, value) in [
        ("max_calls_in_flight", "1"),
        ("max_frames_per_second", "2000"),
        ("send_buffer", "1"),
    ] {
        let house = House::start_with(Plan::direct().property(property, value), |gateway| {
            gateway.servant(ITerminalGatewayServerServant::new(CallsBack))
        })
        .await;
        for front in [Front::Socket, Front::WebSocket] {
            let client = house.client(front).await;
            let gateway = ITerminalGatewayServerPrx::new(client.server.connection());
            let calls: Vec<_> = (0..500).map(|_| gateway.ping()).collect();
            let echoes: Vec<_> = (0..100).map(|_| client.server.echo("x")).collect();
            for call in calls {
                within(call).await.unwrap();
            }
            for echo in echoes {
                assert_eq!(within(echo).await.unwrap(), "Yah! x");
            }
        }
        house.end().await;
    }
}

/// A trace goes on from the caller by a queue to the server, and by a push to the user.
#[tokio::test]
async fn a_trace_reaches_the_user_whom_a_server_calls() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for plan in [Plan::direct(), Plan::memory(), Plan::rabbitmq()] {
        let plan = plan.property("userid_check", "true");
        let house = House::start(plan.property("auth", "token")).await;
        let caller = house.user("anna").await;
        for front in [Front::Socket, Front::WebSocket] {
            let options = Options {
                token: Some("ben".to_owned()),
                ..Options::default()
            };
            let mut user = house.client_with(front, options).await;
            user.works().await;
            let traced = caller.server.with_extra([("traceparent", TRACE)]);
            let pushed = within(traced.echo("push ben hello")).await;
            assert_eq!(pushed.unwrap(), "pushed");
            assert_eq!(user.next_push().await, format!("hello in {TRACE}"));
        }
        drop(caller);
        house.end().await;
    }
}
