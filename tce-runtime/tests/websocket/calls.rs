//! Every kind of call between two programs of this runtime.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tce_runtime::{ErrorCode, Proxy, config::Options};

use crate::{
    common::{
        probe::{
            BLOB, CALL_BACK, CIRCUMSTANCES, ECHO, FAIL, GROW, NOTE, Probe, SLEEP, Server, serve_at,
            works,
        },
        watching::within,
    },
    peer::tls,
};

/// Makes every kind of call.
async fn make_every_kind_of_call(server: &Server, proxy: &Proxy) {
    works(proxy).await;
    within(proxy.ping()).await.unwrap();

    proxy.oneway(&NOTE, (7,)).await.unwrap();
    server.probe.notes_reached(1).await;
    assert_eq!(*server.probe.notes.lock().unwrap(), [7]);

    let pending: Vec<_> = (0..20)
        .map(|number| proxy.call::<_, String>(&ECHO, (format!("async {number}"),)))
        .collect();
    for (number, pending) in pending.into_iter().enumerate() {
        assert_eq!(within(pending).await.unwrap(), format!("async {number}"));
    }

    let fails = proxy.call::<_, ()>(&FAIL, (8, "on purpose"));
    let error = within(fails).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::RemoteException);
    assert_eq!(error.text(), "on purpose");

    let hurried = proxy.with_timeout(Duration::from_millis(30));
    let error = within(hurried.call::<_, ()>(&SLEEP, (500,)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);

    let named = proxy.with_extra([("name", "scott.bo")]);
    let seen = named.call::<_, BTreeMap<String, String>>(&CIRCUMSTANCES, ());
    let seen = within(seen.returned()).await.unwrap();
    assert_eq!(seen.value["name"], "scott.bo");
    assert_eq!(seen.extra.get("answer"), Some("42"));

    proxy.connection().add_servant(Probe::default());
    let answer: String = within(proxy.call(&CALL_BACK, ("back",))).await.unwrap();
    assert_eq!(answer, "back");
}

#[tokio::test]
async fn every_kind_of_call_works_over_ws() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    make_every_kind_of_call(&server, &server.proxy().await).await;
}

#[tokio::test]
async fn every_kind_of_call_works_over_wss() {
    let folder = tempfile::tempdir().unwrap();
    let (server_options, client_options) = tls(folder.path());
    let server = serve_at("wss://127.0.0.1:0", server_options).await;
    make_every_kind_of_call(&server, &server.proxy_with(client_options).await).await;
}

#[tokio::test]
async fn ipv6_addresses_and_paths_work() {
    let server = serve_at("ws://[::1]:0/services/tce", Options::default()).await;
    assert_eq!(server.endpoint().path, "/services/tce");
    works(&server.proxy().await).await;
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let server = serve_at("wss://127.0.0.1:0", tls(folder.path()).0).await;
    let communicator = tce_runtime::Communicator::with_options(tls(other.path()).1);
    let error = Proxy::connect(&communicator, &server.endpoint().to_string()).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    assert!(error.text().contains("TLS handshake"), "{error}");
}

/// Sizes around each limit: of the length fields of a WebSocket header, of a
/// buffer, of a chunk.
#[tokio::test]
async fn payloads_of_any_size_arrive_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (server_options, client_options) = tls(folder.path());
    let plain = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let encrypted = serve_at("wss://127.0.0.1:0", server_options).await;
    for proxy in [
        plain.proxy().await,
        encrypted.proxy_with(client_options).await,
    ] {
        for size in [
            0,
            80,
            125,
            16 << 10,
            65_400,
            65_500,
            65_600,
            131_072,
            3 << 20,
        ] {
            let data: Vec<u8> = (0..=250).cycle().take(size).collect();
            let echoed: Vec<u8> = within(proxy.call(&BLOB, (data.clone(),))).await.unwrap();
            assert!(echoed == data, "{size} bytes came back changed");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_at_once_each_get_their_own_answer() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let proxy = server.proxy().await;
    let callers = (0..64).map(|caller| {
        let proxy = proxy.clone();
        tokio::spawn(async move {
            for round in 0..50 {
                let text = format!("caller {caller}, round {round}");
                let answer: String = within(proxy.call(&ECHO, (&text,))).await.unwrap();
                assert_eq!(answer, text);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

/// Frames of large and small calls are not interleaved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_calls_complete_beside_large_ones() {
    let server = Arc::new(serve_at("ws://127.0.0.1:0", Options::default()).await);
    let proxy = server.proxy().await;
    let large = {
        let proxy = proxy.clone();
        tokio::spawn(async move {
            for size in [1_000_000, 2_000_000, 3_000_000] {
                let grown: Vec<u8> = within(proxy.call(&GROW, (size,))).await.unwrap();
                assert_eq!(grown.len(), usize::try_from(size).unwrap());
            }
        })
    };
    for round in 0..500 {
        let text = format!("small {round}");
        let answer: String = within(proxy.call(&ECHO, (&text,))).await.unwrap();
        assert_eq!(answer, text);
    }
    large.await.unwrap();
}
