//! Logins, which come before any call is forwarded.

use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tce_gateway::{
    auth::{Admission, Login, Refusal},
    idl::gateway::{IUserEventListener, IUserEventListenerServant},
};
use tce_runtime::{
    Adapter, Communicator, ConnectionEvent, Context, ErrorCode, Fault, IncomingCall, Servant,
    TypedProxy,
};
use tokio::sync::{Semaphore, mpsc};

use crate::common::{
    client::echo,
    house::{House, open_queues},
    plan::Plan,
    raw::{Message, string},
    watching::{eventually, within},
};

const HEARTBEAT: u16 = 2;
const CONNECT_REJECT: u32 = 103;

fn by_token(plan: Plan) -> Plan {
    plan.property("userid_check", "true")
        .property("auth", "token")
}

fn heartbeat(text: &str) -> Message {
    Message {
        calltype: 0x21,
        ..Message::call(0, HEARTBEAT, string(text))
    }
}

fn logging_in(message: Message, token: &str) -> Message {
    message.with_extra(&[("__token__", token), ("__device_id__", "phone")])
}

#[tokio::test]
async fn the_first_message_says_who_the_client_is() {
    for plan in [Plan::direct(), Plan::memory(), Plan::rabbitmq()] {
        let house = House::start(by_token(plan)).await;
        let mut anna = house.user("anna").await;
        let ben = house.user("ben").await;
        assert_eq!(anna.who().await, "anna");
        assert_eq!(ben.who().await, "ben");
        let seen = within(anna.server.echo("extra")).await.unwrap();
        assert!(!seen.contains("__token__"), "{seen}");
        within(ben.server.echo("push anna hello")).await.unwrap();
        assert_eq!(anna.next_push().await, "hello");
        drop((anna, ben));
        house.end().await;
    }
}

#[tokio::test]
async fn who_does_not_say_so_is_turned_away() {
    let house = House::start(by_token(Plan::direct())).await;
    let mut stranger = house.raw().await;
    let answer = stranger.call(&echo(7, "hello")).await;
    assert_eq!((answer.sequence, answer.errcode), (7, CONNECT_REJECT));
    stranger.closed().await;

    let mut stranger = house.raw().await;
    stranger.send(&heartbeat("hello").frame()).await;
    stranger.closed().await;

    let mut stranger = house.raw().await;
    let empty = logging_in(echo(9, "hello"), "");
    let all = [empty.frame(), echo(10, "behind it").frame()].concat();
    stranger.send(&all).await;
    let answer = stranger.message().await;
    assert_eq!((answer.sequence, answer.errcode), (9, CONNECT_REJECT));
    let goodbye = stranger.message().await;
    assert_eq!(goodbye.sequence, u32::MAX);
    assert_eq!(goodbye.extra("__close__"), Some("1008"));
    assert!(stranger.next().await.is_none(), "nothing else is answered");

    assert_eq!(house.server().seen.echoed.load(Ordering::Relaxed), 0);
    house.end().await;
}

/// Messages after the first one wait for the login, in order.
#[tokio::test]
async fn calls_behind_the_first_wait_and_keep_their_order() {
    let (gate, asked) = (Arc::new(Semaphore::new(0)), mpsc::channel(1));
    let (asked, mut asks) = asked;
    let house = House::start_with(Plan::direct(), |gateway| {
        let (gate, asked) = (Arc::clone(&gate), asked.clone());
        gateway.authenticator(move |login: Login| {
            let (gate, asked) = (Arc::clone(&gate), asked.clone());
            async move {
                asked.send(login.device_id).await.unwrap();
                gate.acquire().await.unwrap().forget();
                Ok::<_, Refusal>(login.token)
            }
        })
    })
    .await;
    let mut client = house.raw().await;
    let mut bytes = logging_in(heartbeat("0"), "anna").frame();
    for number in 1..50 {
        bytes.extend(heartbeat(&format!("{number}")).frame());
    }
    client.send(&bytes).await;
    assert_eq!(within(asks.recv()).await.unwrap().as_deref(), Some("phone"));
    client.send(&echo(50, "who").frame()).await;
    assert_eq!(house.snapshot().users, 0);
    assert_eq!(house.snapshot().totals.calls, 0);
    gate.add_permits(1);
    for number in 0..50 {
        assert_eq!(house.server().next_heard().await, format!("{number}"));
    }
    let answer = client.message().await;
    assert_eq!((answer.sequence, answer.params), (50, string("anna")));
    drop(client);
    house.end().await;
}

/// The same with an immediate login and several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_quick_a_login_is_its_message_comes_first() {
    let house = House::start(by_token(Plan::direct())).await;
    for user in 0..200 {
        let mut client = house.raw().await;
        let first = logging_in(echo(1, "first"), &format!("user{user}"));
        let mut bytes = first.frame();
        for number in 2..10 {
            bytes.extend(echo(number, "later").frame());
        }
        client.send(&bytes).await;
        for number in 1..10 {
            assert_eq!(client.message().await.sequence, number, "of user {user}");
        }
    }
    house.end().await;
}

#[tokio::test]
async fn a_second_login_replaces_the_first() {
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start(by_token(plan)).await;
        let mut first = house.raw().await;
        let gate = logging_in(echo(1, "gate"), "anna");
        first.send(&gate.frame()).await;
        house.server().seen.gate_reached(1).await;
        // The same sequence again: the first answer must not reach this call.
        let mut second = house.raw().await;
        second
            .send(&logging_in(echo(1, "gate"), "anna").frame())
            .await;
        house.server().seen.gate_reached(2).await;
        first.closed().await;
        house.server().seen.gate.add_permits(1);
        house.dropped("late_return", 1).await;
        house.server().seen.open_gate();
        let answer = second.message().await;
        assert_eq!((answer.sequence, answer.params), (1, string("through")));
        let ben = house.user("ben").await;
        within(ben.server.echo("push anna hello")).await.unwrap();
        let push = second.message().await;
        assert_eq!((push.ifidx, push.calltype), (3, 0x21));
        assert_eq!(house.snapshot().users, 2);
        drop((ben, second));
        house.end().await;
    }
}

#[tokio::test]
async fn a_second_login_is_refused_while_the_first_lives() {
    let plan = by_token(Plan::direct()).property("second_login", "refuse");
    let house = House::start(plan).await;
    let first = house.user("anna").await;
    first.works().await;
    let second = house.user("anna").await;
    let refused = within(second.server.echo("who")).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ConnectReject);
    assert!(
        refused.to_string().contains("already logged in"),
        "{refused}"
    );
    first.works().await;
    drop(first);
    eventually("the first has gone", || house.snapshot().users == 0).await;
    let third = house.user("anna").await;
    assert_eq!(third.who().await, "anna");
    drop((second, third));
    house.end().await;
}

const SECRET: &str = "a secret that is long enough for everybody";

fn jwt(user: &str, lives: i64, secret: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let expires = i64::try_from(now.as_secs()).unwrap() + lives;
    let claims = json!({ "sub": user, "exp": expires });
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}

#[tokio::test]
async fn a_jwt_says_who_the_client_is() {
    let plan = Plan::memory()
        .property("userid_check", "true")
        .property("auth", "jwt")
        .property("auth_jwt_secret", SECRET);
    let house = House::start(plan).await;
    let anna = house.user(&jwt("anna", 600, SECRET)).await;
    assert_eq!(anna.who().await, "anna");
    for token in [
        jwt("anna", -600, SECRET),
        jwt("anna", 600, "another secret, as long as the first one"),
        "anna".to_owned(),
    ] {
        let stranger = house.user(&token).await;
        let refused = within(stranger.server.echo("who")).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ConnectReject, "{refused}");
    }
    anna.works().await;
    drop(anna);
    house.end().await;
}

/// Anna, whose login ends after `time`.
fn for_a_time(time: Duration) -> impl Fn(Login) -> Ready<Result<Admission, Refusal>> {
    move |_| ready(Ok(Admission::new("anna").until(SystemTime::now() + time)))
}

/// The client is told why, and gets no push any more.
#[tokio::test]
async fn a_connection_ends_with_its_login() {
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start_with(plan, |gateway| {
            gateway.authenticator(for_a_time(Duration::from_secs(1)))
        })
        .await;
        let anna = house.user("token").await;
        let reason = Arc::new(Mutex::new(None));
        let told = Arc::clone(&reason);
        anna.server.connection().on_event(move |_, event| {
            if let ConnectionEvent::Disconnected { reason } = event {
                *told.lock().unwrap() = Some(reason.clone());
            }
        });
        anna.works().await;
        let waiting = within(anna.server.echo("gate")).await.unwrap_err();
        assert_eq!(waiting.code(), ErrorCode::ConnectReject, "{waiting}");
        assert!(waiting.to_string().contains("the login has expired"));
        eventually("the connection has ended", || {
            reason.lock().unwrap().is_some()
        })
        .await;
        let reason = reason.lock().unwrap().clone().unwrap();
        assert_eq!(
            reason,
            "closed by the peer: the login has expired: log in again"
        );
        eventually("anna is off line", || house.snapshot().users == 0).await;
        house.server().seen.open_gate();
        drop(anna);
        house.end().await;
    }
}

#[tokio::test]
async fn a_login_ends_after_the_time_for_all() {
    let plan = by_token(Plan::direct()).property("login_time", "1");
    let house = House::start(plan).await;
    let mut client = house.raw().await;
    let answer = client.call(&logging_in(echo(1, "who"), "anna")).await;
    assert_eq!(answer.params, string("anna"));
    let goodbye = client.message().await;
    assert_eq!((goodbye.sequence, goodbye.ifidx), (u32::MAX, u16::MAX));
    assert_eq!((goodbye.errcode, goodbye.calltype), (CONNECT_REJECT, 0x02));
    let text = goodbye.extra("__error__").unwrap();
    assert!(text.contains("the login has expired"), "{text}");
    client.closed().await;
    house.end().await;
}

/// Receives events of users.
struct Listener(mpsc::Sender<String>);

impl IUserEventListener for Listener {
    async fn on_user_on_line(
        &self,
        user_id: String,
        gateway: String,
        _: &Context,
    ) -> Result<(), Fault> {
        Ok(self.0.send(format!("{user_id} on at {gateway}")).await?)
    }

    async fn on_user_off_line(
        &self,
        user_id: String,
        gateway: String,
        _: &Context,
    ) -> Result<(), Fault> {
        Ok(self.0.send(format!("{user_id} off at {gateway}")).await?)
    }
}

/// The listener behind another interface, of which it has the first operations.
struct Elsewhere(Arc<Listener>);

impl Servant for Elsewhere {
    fn interfaces(&self) -> &[u16] {
        &[1]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        match call.opidx() {
            0 => call.run(
                &self.0,
                |it, (user, gateway): (String, String), ctx| async move {
                    let told = it.on_user_on_line(user, gateway, &ctx).await;
                    (ctx, told)
                },
            ),
            _ => call.run(
                &self.0,
                |it, (user, gateway): (String, String), ctx| async move {
                    let told = it.on_user_off_line(user, gateway, &ctx).await;
                    (ctx, told)
                },
            ),
        }
    }
}

#[tokio::test]
async fn a_servant_hears_of_users_who_come_and_go() {
    for (plan, interface) in [
        (Plan::memory(), ""),
        (Plan::rabbitmq(), ""),
        (Plan::memory(), "/test.ITerminalGatewayServer"),
    ] {
        let events = plan.queue("events");
        let plan = by_token(plan).property("user_events", &format!("{events}{interface}"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let house = House::start_with(plan, |gateway| {
            let seen = Arc::clone(&seen);
            gateway.on_user(move |user, is_there| {
                seen.lock().unwrap().push((user.to_owned(), is_there));
            })
        })
        .await;
        let communicator = Communicator::new();
        open_queues(&house.plan, "events", &communicator).await;
        let (sender, mut heard) = mpsc::channel(16);
        let adapter = Adapter::listen(&communicator, &format!("mq:{events}")).await;
        let adapter = adapter.expect("the queue is there");
        let listener = Listener(sender);
        match interface {
            "" => adapter.add_servant(IUserEventListenerServant::new(listener)),
            _ => adapter.add_servant(Elsewhere(Arc::new(listener))),
        };
        adapter.start();
        let anna = house.user("anna").await;
        anna.works().await;
        assert_eq!(within(heard.recv()).await.unwrap(), "anna on at gw0");
        // A user who reconnects before the first connection ends stays on line.
        let again = house.user("anna").await;
        again.works().await;
        drop(anna);
        let ben = house.user("ben").await;
        ben.works().await;
        assert_eq!(within(heard.recv()).await.unwrap(), "ben on at gw0");
        drop(again);
        assert_eq!(within(heard.recv()).await.unwrap(), "anna off at gw0");
        drop(ben);
        assert_eq!(within(heard.recv()).await.unwrap(), "ben off at gw0");
        let expected = [
            ("anna", true),
            ("ben", true),
            ("anna", false),
            ("ben", false),
        ];
        let expected = expected.map(|(user, is_there)| (user.to_owned(), is_there));
        assert_eq!(*seen.lock().unwrap(), expected);
        assert!(communicator.shutdown(Duration::from_secs(10)).await);
        house.end().await;
    }
}
