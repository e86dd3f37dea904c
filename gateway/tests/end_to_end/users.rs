//! Users with several devices; logins that are refused, replaced, renewed and expire;
//! roles and rates.

use std::{
    future::{Ready, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tce_gateway::{
    auth::{Admission, Login, Refusal},
    idl::gateway::{IUserEventListener, IUserEventListenerServant},
};
use tce_runtime::{
    Adapter, CloseCode, Communicator, ConnectionEvent, Context, ErrorCode, Fault, TypedProxy,
    config::{Options, TokenProvider},
};
use tokio::{sync::mpsc, time::sleep};
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::CloseFrame};

use crate::{
    common::{
        client::{Client, echo},
        house::{House, open_queues},
        plan::{Front, Plan},
        raw::{Message, Raw, string},
        watching::{eventually, soon, within},
    },
    peer::Peer,
};

const FRONTS: [Front; 2] = [Front::Socket, Front::WebSocket];

fn by_token(second_login: &str) -> Plan {
    Plan::direct()
        .property("userid_check", "true")
        .property("auth", "token")
        .property("second_login", second_login)
}

fn several_by_queues() -> Plan {
    Plan::memory()
        .property("userid_check", "true")
        .property("auth", "token")
        .property("second_login", "several")
}

fn with_device(token: &str, device: &str) -> Options {
    Options {
        token: Some(token.to_owned()),
        device_id: Some(device.to_owned()),
        ..Options::default()
    }
}

/// `login`, or `refresh`, of the built-in interface.
fn session_call(opidx: u16, sequence: u32, pairs: &[(&str, &str)]) -> Message {
    let call = Message {
        ifidx: tce_runtime::BUILTIN_INTERFACE,
        ..Message::call(sequence, opidx, Vec::new())
    };
    call.with_extra(pairs)
}

fn login(sequence: u32, token: &str) -> Message {
    session_call(2, sequence, &[("__token__", token)])
}

fn refresh(sequence: u32, token: &str) -> Message {
    session_call(3, sequence, &[("__token__", token)])
}

/// The goodbye of the gateway: its close code, error code and text.
async fn goodbye(client: &mut Raw) -> (String, u32, String) {
    let message = client.message().await;
    assert_eq!((message.sequence, message.ifidx), (u32::MAX, u16::MAX));
    let extra = |key| message.extra(key).unwrap_or_default().to_owned();
    (extra("__close__"), message.errcode, extra("__error__"))
}

/// Reads until the close frame.
async fn close_frame(peer: &mut Peer) -> (u16, String) {
    loop {
        if let Frame::Close(Some(CloseFrame { code, reason })) = peer.next().await {
            return (code.into(), reason.to_string());
        }
    }
}

async fn no_push(client: &mut Client) {
    sleep(Duration::from_millis(100)).await;
    assert!(client.pushed.try_recv().is_err());
}

#[tokio::test]
async fn a_push_reaches_all_devices_of_a_user_or_one() {
    for plan in [by_token("several"), several_by_queues()] {
        let house = House::start(plan).await;
        for front in FRONTS {
            let mut phone = house.client_with(front, with_device("anna", "phone")).await;
            let mut tablet = house
                .client_with(front, with_device("anna", "tablet"))
                .await;
            assert_eq!(phone.who().await, "anna");
            assert_eq!(tablet.who().await, "anna");
            let seen = within(tablet.server.echo("extra")).await.unwrap();
            assert!(seen.contains("__device_id__=tablet"), "{seen}");
            let ben = house.user("ben").await;
            within(ben.server.echo("push anna both")).await.unwrap();
            assert_eq!(phone.next_push().await, "both");
            assert_eq!(tablet.next_push().await, "both");
            within(ben.server.echo("push_to anna/tablet one"))
                .await
                .unwrap();
            assert_eq!(tablet.next_push().await, "one");
            within(ben.server.echo("push_to anna/watch none"))
                .await
                .unwrap();
            no_push(&mut phone).await;
            no_push(&mut tablet).await;
            // The answers go to the session that has called.
            for number in 0..50 {
                let (one, two) = (format!("one {number}"), format!("two {number}"));
                let calls = tokio::join!(phone.server.echo(&one), tablet.server.echo(&two));
                assert_eq!(calls.0.unwrap(), format!("Yah! {one}"));
                assert_eq!(calls.1.unwrap(), format!("Yah! {two}"));
            }
            assert_eq!(house.snapshot().users, 2);
            drop((phone, tablet, ben));
            eventually("all have gone", || house.snapshot().users == 0).await;
        }
        house.end().await;
    }
}

/// A client can't choose whose device it is for servers.
#[tokio::test]
async fn a_device_id_can_not_be_forged_after_the_login() {
    let house = House::start(by_token("several")).await;
    let mut client = house.raw().await;
    let first = login(1, "anna").with_extra(&[("__token__", "anna"), ("__device_id__", "phone")]);
    client.call(&first).await;
    let forged = echo(2, "extra").with_extra(&[("__device_id__", "tablet")]);
    let answer = client.call(&forged).await;
    let text = String::from_utf8_lossy(&answer.params).into_owned();
    assert!(text.contains("__device_id__=phone"), "{text}");
    assert!(!text.contains("tablet"), "{text}");
    house.end().await;
}

#[tokio::test]
async fn a_login_replaces_that_of_the_same_device_alone() {
    let house = House::start(by_token("several")).await;
    let pairs = |device| [("__token__", "anna"), ("__device_id__", device)];
    let mut phone = house.raw().await;
    phone.call(&session_call(2, 1, &pairs("phone"))).await;
    let mut tablet = house.raw().await;
    tablet.call(&session_call(2, 1, &pairs("tablet"))).await;
    let mut again = house.raw().await;
    again.call(&session_call(2, 1, &pairs("phone"))).await;
    let (close, errcode, text) = goodbye(&mut phone).await;
    assert_eq!((close.as_str(), errcode), ("4001", 103));
    assert!(text.contains("the device has logged in"), "{text}");
    phone.closed().await;
    for client in [&mut tablet, &mut again] {
        assert_eq!(client.call(&echo(2, "who")).await.params, string("anna"));
    }
    assert_eq!(house.snapshot().users, 1);
    house.end().await;
}

/// The connection of the first session may be lost unnoticed.
#[tokio::test]
async fn a_device_may_log_in_again_where_a_second_login_is_refused() {
    let house = House::start(by_token("refuse")).await;
    let of_device =
        |device| session_call(2, 1, &[("__token__", "anna"), ("__device_id__", device)]);
    let mut first = house.raw().await;
    assert_eq!(first.call(&of_device("phone")).await.errcode, 0);
    for other in [of_device("tablet"), of_device(""), login(1, "anna")] {
        let mut refused = house.raw().await;
        let answer = refused.call(&other).await;
        assert_eq!(answer.errcode, ErrorCode::ConnectReject.to_wire());
        assert_eq!(goodbye(&mut refused).await.0, "1008");
    }
    let mut second = house.raw().await;
    assert_eq!(second.call(&of_device("phone")).await.errcode, 0);
    assert_eq!(goodbye(&mut first).await.0, "4001");
    assert_eq!(second.call(&echo(2, "x")).await.errcode, 0);
    drop((first, second));
    house.end().await;
}

#[tokio::test]
async fn the_oldest_session_gives_way_beyond_the_limit() {
    let plan = by_token("several").property("max_sessions_per_user", "2");
    let house = House::start(plan).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        // Without a device id each connection counts as a device.
        let mut client = house.raw().await;
        assert_eq!(client.call(&login(1, "anna")).await.errcode, 0);
        clients.push(client);
    }
    let (close, ..) = goodbye(&mut clients[0]).await;
    assert_eq!(close, "4001");
    for client in &mut clients[1..] {
        assert_eq!(client.call(&echo(2, "who")).await.params, string("anna"));
    }
    house.end().await;
}

/// Two devices that both go on calling do not evict each other without an end.
#[tokio::test]
async fn a_replaced_client_does_not_come_back() {
    let house = House::start(by_token("replace")).await;
    for front in FRONTS {
        let first = house.client_with(front, with_device("anna", "one")).await;
        first.works().await;
        let lost = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lost);
        first.server.connection().on_event(move |_, event| {
            if let ConnectionEvent::Disconnected { reason } = event {
                told.lock().unwrap().push(reason.clone());
            }
        });
        let second = house.client_with(front, with_device("anna", "two")).await;
        second.works().await;
        eventually("the first has ended", || !lost.lock().unwrap().is_empty()).await;
        for _ in 0..20 {
            let error = soon(first.server.echo("x")).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}");
            assert_eq!(error.close_code(), Some(CloseCode::Replaced), "{error}");
            assert!(!error.can_retry());
            assert!(error.text().contains("logged in on another connection"));
            second.works().await;
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(
            *lost.lock().unwrap(),
            ["closed by the peer: the user has logged in on another connection"]
        );
        drop((first, second));
        eventually("both have gone", || house.snapshot().users == 0).await;
    }
    house.end().await;
}

#[tokio::test]
async fn a_websocket_is_closed_with_the_code_and_the_reason() {
    let plan = by_token("replace")
        .property("login_time", "2")
        .property("first_message_time", "1");
    let house = House::start(plan).await;
    let connect = || Peer::connect(house.address(Front::WebSocket));

    let mut refused = connect().await;
    refused.send_bytes(login(1, "").frame()).await;
    let (code, text) = close_frame(&mut refused).await;
    assert_eq!(code, 1008);
    assert!(text.contains("no token"), "{text}");

    let mut silent = connect().await;
    let (code, text) = close_frame(&mut silent).await;
    assert_eq!(code, 4004);
    assert!(text.contains("no message has logged"), "{text}");

    let mut replaced = connect().await;
    assert_eq!(replaced.call(&login(1, "anna")).await.errcode, 0);
    let mut expired = connect().await;
    assert_eq!(expired.call(&login(1, "anna")).await.errcode, 0);
    let (code, text) = close_frame(&mut replaced).await;
    assert_eq!(code, 4001);
    assert!(text.contains("another connection"), "{text}");
    let (code, text) = close_frame(&mut expired).await;
    assert_eq!(code, 4002);
    assert!(text.contains("the login has expired"), "{text}");

    let mut last = connect().await;
    assert_eq!(last.call(&login(1, "anna")).await.errcode, 0);
    let (_, (code, _)) = tokio::join!(house.end(), close_frame(&mut last));
    assert_eq!(code, 1001);
}

#[tokio::test]
async fn a_login_is_answered_with_the_user_and_the_time_left() {
    let plan = by_token("replace").property("login_time", "100");
    let house = House::start(plan).await;
    let mut client = house.raw().await;
    for sequence in 1..3 {
        let answer = client.call(&login(sequence, "anna")).await;
        assert_eq!((answer.errcode, answer.ifidx), (0, u16::MAX));
        assert_eq!(answer.extra("__user_id__"), Some("anna"));
        let left: u64 = answer.extra("__expires_in__").unwrap().parse().unwrap();
        assert!((90..=100).contains(&left), "{left}");
    }
    let mut stranger = house.raw().await;
    let answer = stranger.call(&session_call(2, 1, &[])).await;
    assert_eq!(answer.errcode, ErrorCode::ConnectReject.to_wire());
    let (close, errcode, _) = goodbye(&mut stranger).await;
    assert_eq!((close.as_str(), errcode), ("1008", 103));
    stranger.closed().await;
    house.end().await;

    let house = House::start(Plan::direct()).await;
    let mut client = house.raw().await;
    let answer = client.call(&login(1, "whatever")).await;
    assert_eq!(answer.errcode, 0, "nothing is checked");
    assert_eq!(answer.extra("__expires_in__"), None);
    let who = client.call(&echo(2, "who")).await;
    let user = answer.extra("__user_id__").unwrap();
    assert_eq!(who.params, string(user));
    house.end().await;
}

/// Tokens `USER SECONDS [ROLE,ROLE…]`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the type of an authenticator"
)]
pub(crate) fn timed(login: Login) -> Ready<Result<Admission, Refusal>> {
    let mut words = login.token.split(' ');
    let user = words.next().unwrap_or_default().to_owned();
    let Some(seconds) = words.next().and_then(|word| word.parse().ok()) else {
        return ready(Err(Refusal::new("the token is not accepted")));
    };
    let roles = words.next().unwrap_or_default();
    let roles = roles.split(',').filter(|role| !role.is_empty());
    let end = SystemTime::now() + Duration::from_secs_f64(seconds);
    ready(Ok(Admission::new(user).until(end).with_roles(roles)))
}

fn time_left(answer: &Message) -> u64 {
    answer.extra("__expires_in__").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_refresh_renews_the_login_of_the_same_user_alone() {
    let house = House::start_with(Plan::direct(), |it| it.authenticator(timed)).await;
    let mut client = house.raw().await;
    assert!(time_left(&client.call(&login(1, "anna 50")).await) < 51);
    let answer = client.call(&refresh(2, "anna 1000")).await;
    assert!(time_left(&answer) > 900);
    let rejected = ErrorCode::ConnectReject.to_wire();
    for (token, text) in [
        ("ben 1000", "another user"),
        ("nonsense", "not accepted"),
        ("", "not accepted"),
    ] {
        let answer = client.call(&refresh(3, token)).await;
        assert_eq!(answer.errcode, rejected, "{token}");
        assert!(answer.extra("__error__").unwrap().contains(text));
    }
    let answer = client.call(&session_call(3, 4, &[])).await;
    assert_eq!(answer.errcode, rejected, "without a token");
    let answer = client.call(&echo(5, "who")).await;
    assert_eq!(answer.params, string("anna"), "the old login stays");
    // A new login on the same connection is a refresh.
    let answer = client.call(&login(6, "ben 1000")).await;
    assert_eq!(answer.errcode, rejected);
    let answer = client.call(&refresh(7, "anna 20")).await;
    assert!(time_left(&answer) < 21, "a token replaces the one before");
    house.end().await;
}

/// The token of any other call renews the login, too; a wrong one changes nothing.
#[tokio::test]
async fn a_token_in_a_later_call_renews_the_login() {
    let house = House::start_with(Plan::direct(), |it| it.authenticator(timed)).await;
    let mut client = house.raw().await;
    client.call(&login(1, "anna 4")).await;
    let began = Instant::now();
    let mut sequence = 1;
    for token in ["ben 1000", "nonsense", "anna 1", "anna 1000"] {
        // One token in a second is looked at.
        sleep(Duration::from_millis(600)).await;
        sequence += 1;
        let call = echo(sequence, "who").with_extra(&[("__token__", token)]);
        let answer = client.call(&call).await;
        assert_eq!(answer.params, string("anna"), "{token}");
        sleep(Duration::from_millis(50)).await;
    }
    let again = echo(20, "who").with_extra(&[("__token__", "anna 1000")]);
    sleep(Duration::from_millis(600)).await;
    client.call(&again).await;
    sleep((began + Duration::from_millis(5500)).saturating_duration_since(Instant::now())).await;
    assert_eq!(client.call(&echo(21, "who")).await.params, string("anna"));
    let left = time_left(&client.call(&login(22, "anna 1000")).await);
    assert!(left > 900, "{left}");
    house.end().await;
}

/// Without a new token the login ends, whatever the client sends.
#[tokio::test]
async fn old_tokens_do_not_keep_a_login_alive() {
    let plan = by_token("replace").property("login_time", "1");
    let house = House::start(plan).await;
    let mut client = house.raw().await;
    client.call(&login(1, "anna")).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(700) {
        assert_eq!(client.call(&refresh(2, "anna")).await.errcode, 0);
        let call = echo(3, "x").with_extra(&[("__token__", "anna")]);
        assert_eq!(client.call(&call).await.errcode, 0);
        sleep(Duration::from_millis(20)).await;
    }
    let (close, ..) = goodbye(&mut client).await;
    assert_eq!(close, "4002");
    assert!(began.elapsed() < Duration::from_secs(3));
    client.closed().await;
    house.end().await;
}

fn provided(
    token: impl Fn(u32) -> Result<String, String> + Send + Sync + 'static,
) -> (Options, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let provider = TokenProvider::new(move || {
        let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
        ready(token(number))
    });
    let options = Options {
        token_provider: Some(provider),
        ..Options::default()
    };
    (options, asked)
}

#[tokio::test]
async fn a_token_provider_keeps_a_client_logged_in() {
    let house = House::start_with(Plan::direct(), |it| it.authenticator(timed)).await;
    for front in FRONTS {
        // The same token again would not renew the login.
        let (options, asked) = provided(|number| Ok(format!("anna 2.9{number}")));
        let mut client = house.client_with(front, options).await;
        let ends = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ends);
        client.server.connection().on_event(move |_, event| {
            if matches!(event, ConnectionEvent::Disconnected { .. }) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        client.works().await;
        sleep(Duration::from_secs(5)).await;
        client.works().await;
        assert_eq!(ends.load(Ordering::Relaxed), 0);
        let count = asked.load(Ordering::Relaxed);
        assert!((3..=6).contains(&count), "{count}");
        let ben = house.user("ben 100").await;
        within(ben.server.echo("push anna hello")).await.unwrap();
        assert_eq!(client.next_push().await, "hello");
    }
    house.end().await;
}

/// A client whose provider has failed for a time comes back by itself.
#[tokio::test]
async fn a_client_with_a_token_provider_comes_back_after_its_login_has_expired() {
    let house = House::start_with(Plan::direct(), |it| it.authenticator(timed)).await;
    for front in FRONTS {
        let (options, asked) = provided(|number| match number {
            1 => Ok("anna 1.5".to_owned()),
            2..5 => Err("no network".to_owned()),
            _ => Ok("anna 1000".to_owned()),
        });
        let client = house.client_with(front, options).await;
        client.works().await;
        eventually("it is asked again", || asked.load(Ordering::Relaxed) >= 5).await;
        eventually("it is logged in again", || house.snapshot().users == 1).await;
        assert_eq!(client.who().await, "anna");
        drop(client);
        eventually("it has gone", || house.snapshot().users == 0).await;
    }
    house.end().await;
}

/// A client without a provider, whose token does not change, comes back for calls alone.
#[tokio::test]
async fn a_client_with_an_expired_token_waits_for_a_call() {
    let house = House::start_with(Plan::direct(), |it| it.authenticator(timed)).await;
    let client = house.user("anna 1").await;
    client.works().await;
    eventually("the login has expired", || house.snapshot().users == 0).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(house.snapshot().users, 0, "it does not come back by itself");
    client.works().await;
    house.end().await;
}

#[tokio::test]
async fn a_refused_login_fails_calls_without_a_retry() {
    let house = House::start_with(Plan::direct(), |it| it.authenticator(timed)).await;
    for front in FRONTS {
        let options = Options {
            token: Some("nonsense".to_owned()),
            ..Options::default()
        };
        let client = house.client_with(front, options).await;
        let calls = (0..3).map(|_| client.server.echo("x")).collect::<Vec<_>>();
        for call in calls {
            let error = soon(call).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}");
            assert_eq!(error.close_code(), Some(CloseCode::Refused), "{error}");
            assert!(!error.can_retry());
            assert!(error.text().contains("not accepted"), "{error}");
        }
    }
    house.end().await;
}

#[tokio::test]
async fn only_users_with_a_role_may_call() {
    let plan = Plan::direct().allow("admin, editor");
    let house = House::start_with(plan, |it| it.authenticator(timed)).await;
    let refused = async |client: &Client| {
        let error = within(client.server.echo("who")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}");
        let text = "calls to test.Server need one of the roles `admin`, `editor`";
        assert!(error.text().contains(text), "{error}");
    };
    for front in FRONTS {
        for token in ["anna 100", "ben 100 guest,administrator", "carl 100 Admin"] {
            let options = Options {
                token: Some(token.to_owned()),
                ..Options::default()
            };
            let client = house.client_with(front, options).await;
            refused(&client).await;
            // The connection stays, and other interfaces are free.
            let base = tce_tests::test::BaseServerPrx::new(client.server.connection());
            assert_eq!(within(base.datetime()).await.unwrap(), "server0");
            // What the client claims in its extra counts for nothing.
            let forging = client.server.with_extra([
                ("__user_id__", "root"),
                ("roles", "admin"),
                ("__roles__", "admin"),
            ]);
            assert!(within(forging.echo("who")).await.is_err());
            within(client.server.heartbeat_oneway("x")).await.unwrap();
        }
        let options = Options {
            token: Some("anna 100 guest,editor".to_owned()),
            ..Options::default()
        };
        let editor = house.client_with(front, options).await;
        assert_eq!(editor.who().await, "anna");
    }
    house.dropped("role", 6).await;
    assert_eq!(house.server().seen.echoed.load(Ordering::Relaxed), 2);
    house.end().await;
}

#[tokio::test]
async fn a_refresh_changes_the_roles() {
    let plan = Plan::direct().allow("admin");
    let house = House::start_with(plan, |it| it.authenticator(timed)).await;
    let mut client = house.raw().await;
    client.call(&login(1, "anna 100")).await;
    let who = echo(2, "who");
    assert_eq!(client.call(&who).await.errcode, 103);
    // The role of another user is not taken over.
    client.call(&refresh(3, "ben 100 admin")).await;
    assert_eq!(client.call(&who).await.errcode, 103);
    client.call(&refresh(3, "anna 100 admin")).await;
    assert_eq!(client.call(&who).await.errcode, 0);
    client.call(&refresh(3, "anna 100 guest")).await;
    assert_eq!(client.call(&who).await.errcode, 103);
    house.end().await;
}

#[tokio::test]
async fn a_user_may_call_an_interface_at_its_rate() {
    let plan = by_token("several").property("rate", "test.Server: 6/min, burst 5");
    let house = House::start(plan).await;
    for (user, front) in [("anna", Front::Socket), ("ben", Front::WebSocket)] {
        let mut passed = 0;
        // Other sessions, one after the other and at once, and the first message of each.
        let mut open = Vec::new();
        for session in 0..6 {
            let client = house
                .client_with(front, with_device(user, &format!("{session}")))
                .await;
            for _ in 0..3 {
                match within(client.server.echo("x")).await {
                    Ok(_) => passed += 1,
                    Err(error) => {
                        assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}");
                        let text = "too many calls to test.Server: a user may make 6/min";
                        assert!(error.text().contains(text), "{error}");
                        assert!(error.can_retry());
                    }
                }
            }
            within(client.server.heartbeat_oneway("x")).await.unwrap();
            if session % 2 == 0 {
                open.push(client);
            }
        }
        // One of the burst is the first oneway call.
        assert!((4..=5).contains(&passed), "{passed}");
        let base = tce_tests::test::BaseServerPrx::new(open[0].server.connection());
        assert_eq!(within(base.datetime()).await.unwrap(), "server0");
    }
    eventually("oneway calls are dropped", || house.drops("rate") >= 10).await;
    house.end().await;
}

/// Without a login the address counts.
#[tokio::test]
async fn an_address_may_call_an_interface_at_its_rate() {
    let plan = Plan::direct().property("rate", "test.Server: 6/min, burst 5");
    let house = House::start(plan).await;
    let mut passed = 0;
    for _ in 0..10 {
        let mut client = house.raw().await;
        let answer = client.call(&echo(1, "x")).await;
        passed += u32::from(answer.errcode == 0);
    }
    assert!((5..=6).contains(&passed), "{passed}");
    house.end().await;
}

/// Receives the events of users, with their extra.
struct Listener(mpsc::Sender<(String, tce_runtime::Extra)>);

impl IUserEventListener for Listener {
    async fn on_user_on_line(&self, user: String, _: String, ctx: &Context) -> Result<(), Fault> {
        Ok(self
            .0
            .send((format!("{user} on"), ctx.extra().clone()))
            .await?)
    }

    async fn on_user_off_line(&self, user: String, _: String, ctx: &Context) -> Result<(), Fault> {
        Ok(self
            .0
            .send((format!("{user} off"), ctx.extra().clone()))
            .await?)
    }
}

#[tokio::test]
async fn events_say_which_connection_and_why_it_has_ended() {
    let plan = Plan::memory();
    let events = plan.queue("events");
    let plan = plan
        .property("userid_check", "true")
        .property("auth", "token")
        .property("second_login", "several")
        .property("user_events", &events);
    let house = House::start(plan).await;
    let communicator = Communicator::new();
    open_queues(&house.plan, "events", &communicator).await;
    let (sender, mut heard) = mpsc::channel(16);
    let adapter = Adapter::listen(&communicator, &format!("mq:{events}")).await;
    let adapter = adapter.expect("the queue is there");
    adapter.add_servant(IUserEventListenerServant::new(Listener(sender)));
    adapter.start();

    let phone = house
        .client_with(Front::Socket, with_device("anna", "phone"))
        .await;
    phone.works().await;
    let (event, on_line) = within(heard.recv()).await.unwrap();
    assert_eq!(event, "anna on");
    assert_eq!(on_line.get("__device_id__"), Some("phone"));
    assert!(
        on_line
            .get("__address__")
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    assert_eq!(on_line.get("__reason__"), None);
    let id = on_line.get("__connection_id__").unwrap().to_owned();
    // Another device of a user who is on line is no event, and neither is its end.
    let tablet = house
        .client_with(Front::Socket, with_device("anna", "tablet"))
        .await;
    tablet.works().await;
    drop(tablet);
    eventually("the tablet has gone", || house.gateway().connections() == 1).await;
    drop(phone);
    let (event, off_line) = within(heard.recv()).await.unwrap();
    assert_eq!(event, "anna off");
    assert_eq!(off_line.get("__connection_id__"), Some(id.as_str()));
    assert_eq!(off_line.get("__reason__"), Some("closed by the peer"));

    // A client can neither send texts that existing receivers can't read, nor long ones.
    let mut hostile = house.raw().await;
    let pairs = [
        ("__token__", "ben"),
        ("__device_id__", "t\u{e9}l\u{e9}phone"),
    ];
    assert_eq!(hostile.call(&session_call(2, 1, &pairs)).await.errcode, 0);
    let (event, on_line) = within(heard.recv()).await.unwrap();
    assert_eq!(event, "ben on");
    assert_eq!(on_line.get("__device_id__"), Some(r"t\u00e9l\u00e9phone"));
    let goodbye = Message {
        ifidx: tce_runtime::BUILTIN_INTERFACE,
        ..Message::returning(u32::MAX, 103, Vec::new())
    };
    let text = "\u{e9}".repeat(20_000);
    hostile
        .send(&goodbye.with_extra(&[("__error__", &text)]).frame())
        .await;
    drop(hostile);
    let (event, off_line) = within(heard.recv()).await.unwrap();
    assert_eq!(event, "ben off");
    let reason = off_line.get("__reason__").unwrap();
    assert!(reason.is_ascii() && reason.len() < 2000, "{}", reason.len());
    assert!(communicator.shutdown(Duration::from_secs(10)).await);
    house.end().await;
}
