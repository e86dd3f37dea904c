//! A peer that asks its client to go elsewhere.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tce_runtime::{
    BUILTIN_INTERFACE, Communicator, ConnectionEvent, ErrorCode, Pending, Proxy, config::Options,
};
use tokio::time::{sleep, timeout};

use crate::{
    SCHEMES,
    common::{
        probe::{ECHO, connect, serve_at, works},
        raw::{Message, Raw, RawServer, int, string},
        watching::{eventually, soon, within},
    },
    peer::{Peer, PeerServer},
};

/// `void goAway(int delay)` of the built-in interface, oneway.
fn go_away(delay: i32) -> Message {
    Message {
        msgtype: 1,
        calltype: 0x21,
        ifidx: BUILTIN_INTERFACE,
        opidx: 4,
        params: int(delay),
        ..Message::default()
    }
}

/// A server whose messages the test writes, over either transport.
enum Server {
    Tcp(RawServer),
    Ws(PeerServer),
}

enum Link {
    Tcp(Raw),
    Ws(Box<Peer>),
}

impl Server {
    async fn both() -> [Self; 2] {
        [
            Self::Tcp(RawServer::listen().await),
            Self::Ws(PeerServer::listen().await),
        ]
    }

    fn endpoint(&self) -> String {
        match self {
            Self::Tcp(server) => server.endpoint().to_string(),
            Self::Ws(server) => server.endpoint(""),
        }
    }

    async fn accept(&self) -> Link {
        match self {
            Self::Tcp(server) => Link::Tcp(server.accept().await),
            Self::Ws(server) => Link::Ws(Box::new(server.accept().await)),
        }
    }

    async fn connected(&self) -> (Proxy, Link) {
        let communicator = Communicator::new();
        let endpoint = self.endpoint();
        let connecting = Proxy::connect(&communicator, &endpoint);
        let (proxy, link) = tokio::join!(within(connecting), self.accept());
        (proxy.expect("the server listens"), link)
    }
}

impl Link {
    async fn message(&mut self) -> Message {
        match self {
            Self::Tcp(raw) => raw.message().await,
            Self::Ws(peer) => within(peer.frame()).await,
        }
    }

    async fn send(&mut self, message: &Message) {
        match self {
            Self::Tcp(raw) => raw.send(&message.frame()).await,
            Self::Ws(peer) => peer.send_bytes(message.frame()).await,
        }
    }

    /// Answers a call of `echo`.
    async fn answer(&mut self, call: &Message, text: &str) {
        let mut answer = Message::returning(call.sequence, 0, string(text));
        (answer.ifidx, answer.opidx) = (call.ifidx, call.opidx);
        self.send(&answer).await;
    }

    async fn closed(&mut self) {
        match self {
            Self::Tcp(raw) => raw.closed().await,
            Self::Ws(peer) => peer.ended().await,
        }
    }
}

#[tokio::test]
async fn a_client_goes_after_the_delay_and_its_calls_end_where_they_began() {
    for server in Server::both().await {
        let (proxy, mut old) = server.connected().await;
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        proxy.connection().on_event(move |_, event| {
            let is_up = matches!(event, ConnectionEvent::Connected);
            seen.lock().unwrap().push(is_up);
        });
        let before: Pending<String> = proxy.call(&ECHO, ("before",));
        let call_before = old.message().await;
        let start = Instant::now();
        old.send(&go_away(400)).await;
        sleep(Duration::from_millis(50)).await;
        let meanwhile: Pending<String> = proxy.call(&ECHO, ("meanwhile",));
        let call_meanwhile = old.message().await;
        let mut new = server.accept().await;
        assert!(start.elapsed() >= Duration::from_millis(400));
        eventually("it has gone", || events.lock().unwrap().len() == 2).await;
        assert_eq!(*events.lock().unwrap(), [false, true]);
        assert!(proxy.connection().is_connected());
        let after: Pending<String> = proxy.call(&ECHO, ("after",));
        let call_after = new.message().await;
        new.answer(&call_after, "c").await;
        assert_eq!(within(after).await.unwrap(), "c");
        // Longer than the old connection stays without a call.
        sleep(Duration::from_millis(700)).await;
        old.answer(&call_meanwhile, "b").await;
        assert_eq!(within(meanwhile).await.unwrap(), "b");
        old.answer(&call_before, "a").await;
        assert_eq!(within(before).await.unwrap(), "a");
        old.closed().await;
        assert!(proxy.connection().is_connected());
        assert_eq!(events.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn the_calls_of_the_old_connection_alone_fail_with_it() {
    for server in Server::both().await {
        let (proxy, mut old) = server.connected().await;
        let lost: Pending<String> = proxy.call(&ECHO, ("lost",));
        old.message().await;
        old.send(&go_away(0)).await;
        let mut new = server.accept().await;
        // Accepted, it is not yet in use.
        sleep(Duration::from_millis(100)).await;
        let kept: Pending<String> = proxy.call(&ECHO, ("kept",));
        let call = new.message().await;
        drop(old);
        let error = soon(lost).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectionLost, "{error}");
        new.answer(&call, "kept").await;
        assert_eq!(within(kept).await.unwrap(), "kept");
    }
}

#[tokio::test]
async fn a_client_that_finds_no_other_server_stays() {
    let server = Server::Tcp(RawServer::listen().await);
    let (proxy, mut old) = server.connected().await;
    drop(server);
    old.send(&go_away(0)).await;
    for _ in 0..5 {
        sleep(Duration::from_millis(100)).await;
        let call: Pending<String> = proxy.call(&ECHO, ("x",));
        let message = old.message().await;
        old.answer(&message, "here").await;
        assert_eq!(within(call).await.unwrap(), "here");
    }
}

/// A negative delay, an unreadable one, and a second request change nothing.
#[tokio::test]
async fn strange_requests_are_harmless() {
    for params in [int(-1), Vec::new(), vec![1, 2]] {
        let server = Server::Tcp(RawServer::listen().await);
        let (proxy, mut old) = server.connected().await;
        for _ in 0..3 {
            let request = Message {
                params: params.clone(),
                ..go_away(0)
            };
            old.send(&request).await;
        }
        let mut new = server.accept().await;
        old.closed().await;
        let call: Pending<String> = proxy.call(&ECHO, ("x",));
        let message = new.message().await;
        new.answer(&message, "y").await;
        assert_eq!(within(call).await.unwrap(), "y");
        let Server::Tcp(server) = &server else {
            unreachable!()
        };
        let third = timeout(Duration::from_millis(300), server.accept()).await;
        assert!(third.is_err(), "it goes once");
    }
}

/// A server that sends its clients away on each connection causes no more attempts than
/// one that ends each.
#[tokio::test]
async fn a_client_that_is_sent_away_again_and_again_pauses() {
    let server = RawServer::listen().await;
    let _proxy = connect(&Communicator::new(), &server.endpoint()).await;
    let mut links = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        if let Ok(mut link) = timeout(Duration::from_millis(500), server.accept()).await {
            link.send(&go_away(0).frame()).await;
            links.push(link);
        }
    }
    assert!((3..=12).contains(&links.len()), "{}", links.len());
}

#[tokio::test]
async fn only_the_side_that_has_connected_goes() {
    let server = serve_at("tcp://127.0.0.1:0", Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    raw.send(&go_away(0).frame()).await;
    let answer = raw.call(&Message::call(5, 0, string("x"))).await;
    assert_eq!((answer.sequence, answer.errcode), (5, 0));
}

/// Under load, six times, no call fails. Each time the pause before the next stream grows.
#[tokio::test]
async fn no_call_fails_when_busy_clients_are_sent_away() {
    const CLIENTS: usize = 4;
    for scheme in SCHEMES {
        let server = serve_at(scheme, Options::default()).await;
        let open = Arc::new(Mutex::new(Vec::new()));
        let accepted = Arc::new(AtomicUsize::new(0));
        let (seen, count) = (Arc::clone(&open), Arc::clone(&accepted));
        server.adapter.on_event(move |connection, event| {
            if matches!(event, ConnectionEvent::Connected) {
                count.fetch_add(1, Ordering::Relaxed);
                seen.lock().unwrap().push(connection.clone());
            }
        });
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = tokio::task::JoinSet::new();
        for client in 0..CLIENTS {
            let proxy = server.proxy().await;
            let stop = Arc::clone(&stop);
            load.spawn(async move {
                let mut calls = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let texts: Vec<_> = (0..8).map(|n| format!("{client} {calls} {n}")).collect();
                    let answers = texts.iter().map(|text| proxy.call(&ECHO, (text,)));
                    let answers: Vec<Pending<String>> = answers.collect();
                    for (text, answer) in texts.iter().zip(answers) {
                        assert_eq!(&within(answer).await.unwrap(), text);
                        calls += 1;
                    }
                }
                works(&proxy).await;
                calls
            });
        }
        for round in 1..=6 {
            eventually("all are connected", || {
                accepted.load(Ordering::Relaxed) == CLIENTS * round
            })
            .await;
            sleep(Duration::from_millis(30)).await;
            for connection in open.lock().unwrap().drain(..) {
                assert!(connection.say_go_away(Duration::from_millis(20)));
            }
        }
        stop.store(true, Ordering::Relaxed);
        for calls in within(load.join_all()).await {
            assert!(calls > 100, "{calls}");
        }
    }
}
