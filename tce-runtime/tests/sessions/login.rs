//! Which messages of a client carry its credentials.

use std::{
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tce_runtime::{
    BUILTIN_INTERFACE, CloseCode, Communicator, ErrorCode, Pending, Proxy,
    config::{ConnectionLimits, Options, TokenProvider},
};
use tokio::time::{sleep, timeout};

use crate::common::{
    probe::{NOTE, connect, serve, works},
    raw::{Message, Raw, RawServer},
    watching::{eventually, soon, within},
};

fn communicator() -> Communicator {
    Communicator::with_options(Options {
        token: Some("anna".to_owned()),
        device_id: Some("phone".to_owned()),
        ..Options::default()
    })
}

async fn connected(server: &RawServer) -> (Proxy, Raw) {
    let proxy = connect(&communicator(), &server.endpoint()).await;
    (proxy, server.accept().await)
}

fn has_credentials(message: &Message) -> bool {
    let token = message.extra("__token__");
    assert_eq!(token.is_some(), message.extra("__device_id__").is_some());
    token == Some("anna")
}

/// A gateway may answer calls of the built-in interface before the login, as earlier
/// ones do, and not know `login`.
#[tokio::test]
async fn each_call_carries_the_token_until_one_needs_the_login() {
    let server = RawServer::listen().await;
    let (proxy, mut raw) = connected(&server).await;
    for number in 0..2 {
        drop(proxy.ping());
        if number == 0 {
            let login = within(raw.message()).await;
            assert!(is_login(&login));
            raw.send(&answer(&login, INTERFACE_NOTFOUND, &[]).frame())
                .await;
        }
        assert!(has_credentials(&within(raw.message()).await));
    }
    drop(proxy.describe());
    assert!(has_credentials(&within(raw.message()).await));
    drop(proxy.oneway(&NOTE, (1,)));
    assert!(has_credentials(&within(raw.message()).await));
    drop(proxy.oneway(&NOTE, (2,)));
    assert!(!has_credentials(&within(raw.message()).await));
    drop(proxy.ping());
    assert!(!has_credentials(&within(raw.message()).await));
}

const LOGIN: u16 = 2;
const REFRESH: u16 = 3;
const INTERFACE_NOTFOUND: u32 = 4;
const CONNECT_REJECT: u32 = 103;

fn is_login(message: &Message) -> bool {
    let is_twoway = message.calltype == 0x01;
    let is_operation = message.ifidx == BUILTIN_INTERFACE && message.opidx == LOGIN;
    has_credentials(message) && is_twoway && is_operation
}

/// The RETURN of a call.
fn answer(call: &Message, errcode: u32, extra: &[(&str, &str)]) -> Message {
    let answer = Message {
        ifidx: call.ifidx,
        opidx: call.opidx,
        ..Message::returning(call.sequence, errcode, Vec::new())
    };
    answer.with_extra(extra)
}

/// The goodbye of a gateway.
fn goodbye(errcode: u32, close: &str, text: &str) -> Message {
    let goodbye = Message {
        ifidx: BUILTIN_INTERFACE,
        ..Message::returning(u32::MAX, errcode, Vec::new())
    };
    goodbye.with_extra(&[("__close__", close), ("__error__", text)])
}

#[tokio::test]
async fn no_call_carries_the_token_after_an_accepted_login() {
    let server = RawServer::listen().await;
    let (proxy, mut raw) = connected(&server).await;
    let login = within(raw.message()).await;
    assert!(is_login(&login));
    raw.send(&answer(&login, 0, &[]).frame()).await;
    let pinging = proxy.ping();
    let ping = within(raw.message()).await;
    raw.send(&answer(&ping, 0, &[]).frame()).await;
    // The answer to the login is read before this one.
    within(pinging).await.unwrap();
    drop(proxy.oneway(&NOTE, (1,)));
    assert!(!has_credentials(&within(raw.message()).await));
}

/// After these codes the connection is closed permanently, after the others it is made
/// again: at once, or for a call.
#[tokio::test]
async fn the_close_code_says_whether_a_client_comes_back() {
    for (close, errcode, by_itself, for_a_call) in [
        ("1012", 102, true, true),
        ("4004", 102, true, true),
        ("1008", 103, false, true),
        ("4002", 103, false, true),
        ("4001", 103, false, false),
        ("4005", 103, false, false),
    ] {
        let server = RawServer::listen().await;
        let (proxy, mut raw) = connected(&server).await;
        assert!(is_login(&within(raw.message()).await));
        let waiting: Pending<()> = proxy.call(&NOTE, (1,));
        within(raw.message()).await;
        raw.send(&goodbye(errcode, close, "as it is").frame()).await;
        drop(raw);
        let error = within(waiting).await.unwrap_err();
        assert!(error.text().contains("as it is"), "{error}");
        let code = error.close_code().map(CloseCode::to_wire);
        assert_eq!(code, close.parse().ok(), "{error}");
        assert_eq!(error.can_retry(), errcode == 102, "{error}");
        let back = timeout(Duration::from_millis(700), server.accept()).await;
        assert_eq!(back.is_ok(), by_itself, "{close}");
        if by_itself {
            continue;
        }
        let again: Pending<()> = proxy.call(&NOTE, (2,));
        if for_a_call {
            assert!(is_login(
                &within(within(server.accept()).await.message()).await
            ));
            continue;
        }
        let error = soon(again).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}");
        assert!(error.text().contains("as it is") && !error.can_retry());
        let error = soon(proxy.oneway(&NOTE, (3,))).await.unwrap_err();
        assert!(!error.can_retry(), "{error}");
        let back = timeout(Duration::from_millis(500), server.accept()).await;
        assert!(back.is_err(), "{close}: not even for a call");
    }
}

/// As a gateway that knows no close codes, or an adapter at its limit of connections.
#[tokio::test]
async fn calls_behind_a_refused_login_fail_with_its_text() {
    let server = RawServer::listen().await;
    let (proxy, mut raw) = connected(&server).await;
    let waiting: Pending<()> = proxy.call(&NOTE, (1,));
    let login = within(raw.message()).await;
    let refused = answer(&login, CONNECT_REJECT, &[("__error__", "not today")]);
    raw.send(&refused.frame()).await;
    drop(raw);
    let error = within(waiting).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}");
    assert!(error.text().contains("not today"), "{error}");
    assert!(error.can_retry());
    drop(within(server.accept()).await);
}

/// A client with a provider, which counts from 1.
fn provided(
    give: impl Fn(u32) -> Result<String, String> + Send + Sync + 'static,
) -> (Communicator, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let provider =
        TokenProvider::new(move || ready(give(counted.fetch_add(1, Ordering::Relaxed) + 1)));
    let options = Options {
        token: Some("never sent".to_owned()),
        token_provider: Some(provider),
        ..Options::default()
    };
    (Communicator::with_options(options), asked)
}

fn token(message: &Message) -> &str {
    message.extra("__token__").unwrap()
}

#[tokio::test]
async fn a_provider_gives_the_token_of_each_connection_and_each_refresh() {
    let server = RawServer::listen().await;
    let (communicator, asked) = provided(|number| Ok(format!("token {number}")));
    let proxy = connect(&communicator, &server.endpoint()).await;
    let mut raw = server.accept().await;
    let login = within(raw.message()).await;
    assert_eq!((login.opidx, token(&login)), (LOGIN, "token 1"));
    raw.send(&answer(&login, 0, &[("__expires_in__", "2")]).frame())
        .await;
    let answered_at = Instant::now();
    let refresh = within(raw.message()).await;
    assert_eq!((refresh.opidx, token(&refresh)), (REFRESH, "token 2"));
    let pause = answered_at.elapsed();
    assert!(pause > Duration::from_millis(1400) && pause < Duration::from_millis(2000));
    raw.send(&answer(&refresh, 0, &[("__expires_in__", "1000")]).frame())
        .await;
    // An expired login is one that can be renewed: the client comes back by itself.
    raw.send(&goodbye(103, "4002", "expired").frame()).await;
    drop(raw);
    let mut raw = within(server.accept()).await;
    assert_eq!(token(&within(raw.message()).await), "token 3");
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    drop(proxy);
}

/// A provider that has given an old token, for example since the network was away, does
/// not keep a client that only listens from coming back.
#[tokio::test]
async fn a_client_comes_back_when_its_provider_has_another_token() {
    let server = RawServer::listen().await;
    let (communicator, asked) = provided(|number| {
        Ok(match number {
            1..4 => "old".to_owned(),
            _ => "new".to_owned(),
        })
    });
    let proxy = connect(&communicator, &server.endpoint()).await;
    let mut raw = server.accept().await;
    assert_eq!(token(&within(raw.message()).await), "old");
    raw.send(&goodbye(103, "1008", "the token has expired").frame())
        .await;
    drop(raw);
    let refused_at = Instant::now();
    let mut raw = within(server.accept()).await;
    assert!(
        refused_at.elapsed() > Duration::from_secs(6),
        "after 1 s, 2 s and 4 s"
    );
    assert_eq!(token(&within(raw.message()).await), "new");
    assert_eq!(asked.load(Ordering::Relaxed), 5);
    drop(proxy);
}

#[tokio::test]
async fn a_provider_that_fails_is_a_failed_attempt_to_connect() {
    let server = RawServer::listen().await;
    let endpoint = server.endpoint().to_string();
    let (communicator, _) = provided(|_| Err("no network".to_owned()));
    let error = within(communicator.connect(&endpoint)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    assert!(error.text().contains("no network"), "{error}");

    let (communicator, _) = provided(|_| panic!("a mistake of the program"));
    let error = within(communicator.connect(&endpoint)).await.unwrap_err();
    assert!(error.text().contains("has panicked"), "{error}");

    let silent = Options {
        token_provider: Some(TokenProvider::new(pending::<Result<String, String>>)),
        connection: ConnectionLimits {
            connect_time: Duration::from_millis(200),
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let communicator = Communicator::with_options(silent);
    let error = soon(communicator.connect(&endpoint)).await.unwrap_err();
    assert!(error.text().contains("none within 200ms"), "{error}");

    // It is asked again until it gives one.
    let (communicator, asked) = provided(|number| match number {
        2..5 => Err("no network".to_owned()),
        _ => Ok("token".to_owned()),
    });
    let server = RawServer::listen().await;
    let proxy = connect(&communicator, &server.endpoint()).await;
    drop(server.accept().await);
    eventually("it is asked again", || asked.load(Ordering::Relaxed) == 5).await;
    for _ in 0..3 {
        assert!(within(server.accept().await.next()).await.is_none());
    }
    let mut raw = within(server.accept()).await;
    assert_eq!(token(&within(raw.message()).await), "token");
    drop(proxy);
}

#[tokio::test]
async fn a_client_that_makes_no_call_logs_in_on_each_stream() {
    let server = RawServer::listen().await;
    let start = Instant::now();
    let (proxy, mut raw) = connected(&server).await;
    assert!(is_login(&within(raw.message()).await));
    assert!(start.elapsed() >= Duration::from_secs(1));
    for _ in 0..2 {
        drop(raw);
        raw = within(server.accept()).await;
        assert!(is_login(&soon(raw.message()).await));
        // The first call carries the credentials all the same: the login is not answered.
        drop(proxy.oneway(&NOTE, (1,)));
        assert!(has_credentials(&within(raw.message()).await));
    }
}

#[tokio::test]
async fn a_call_follows_the_login_of_its_stream() {
    let server = RawServer::listen().await;
    let (proxy, mut raw) = connected(&server).await;
    drop(proxy.oneway(&NOTE, (1,)));
    assert!(is_login(&within(raw.message()).await));
    assert!(has_credentials(&within(raw.message()).await));
    let more = timeout(Duration::from_millis(1500), raw.next()).await;
    assert!(more.is_err(), "nothing else is sent");
    // Over a new stream, the call that waits for it.
    drop(raw);
    eventually("the connection is lost", || {
        !proxy.connection().is_connected()
    })
    .await;
    let kept: Pending<()> = proxy.call(&NOTE, (2,));
    let mut raw = within(server.accept()).await;
    assert!(is_login(&within(raw.message()).await));
    let first = within(raw.message()).await;
    assert!(has_credentials(&first) && first.ifidx == NOTE.ifidx());
    let more = timeout(Duration::from_millis(300), raw.next()).await;
    assert!(more.is_err(), "nothing else is sent");
    drop(kept);
}

/// The login of a client that connects to a server without a gateway is harmless.
#[tokio::test]
async fn a_server_without_a_gateway_takes_the_login() {
    let server = serve(Options::default()).await;
    let proxy = connect(&communicator(), server.endpoint()).await;
    sleep(Duration::from_millis(1100)).await;
    works(&proxy).await;
}

#[tokio::test]
async fn a_client_without_a_token_sends_no_login() {
    let server = RawServer::listen().await;
    let proxy = connect(&Communicator::new(), &server.endpoint()).await;
    let mut raw = server.accept().await;
    let sent = timeout(Duration::from_millis(1500), raw.next()).await;
    assert!(sent.is_err());
    drop(proxy);
}
