//! What is asked by machines: health, readiness, metrics.

use tce_gateway::{
    admin::install_recorder,
    auth::{AuthGuard, Login, TokenIsUser},
};

use crate::{
    client::{get, send},
    fake::{Fake, serve},
};

#[tokio::test]
async fn it_is_alive_though_it_is_not_ready() {
    let fake = Fake::default();
    let server = serve(&fake).await;
    fake.is_unready(&["starting"]);
    let answer = get(server.address, "/healthz").await;
    assert_eq!((answer.status, &*answer.body), (200, "alive\n"));
}

#[tokio::test]
async fn readiness_comes_and_goes_with_its_reasons() {
    let fake = Fake::default();
    let server = serve(&fake).await;
    let answer = get(server.address, "/readyz").await;
    assert_eq!((answer.status, &*answer.body), (200, "ready\n"));
    fake.is_unready(&["the broker of mq_server is away", "draining"]);
    let answer = get(server.address, "/readyz").await;
    let reasons = "the broker of mq_server is away\ndraining\n";
    assert_eq!((answer.status, &*answer.body), (503, reasons));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[tokio::test]
async fn metrics_are_counted_described_and_in_buckets() {
    let server = serve(&Fake::default()).await;
    let guard = AuthGuard::new(TokenIsUser, std::time::Duration::from_secs(60));
    let login = |token: &str| Login {
        token: token.to_owned(),
        device_id: None,
        peer: "a test".to_owned(),
    };
    guard.admit(login("A1001")).await.unwrap();
    guard.admit(login("")).await.unwrap_err();

    let answer = get(server.address, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for line in [
        "# HELP tce_gateway_logins_total Logins, by result: admitted, refused, unavailable (the authenticator did not answer)",
        "# TYPE tce_gateway_logins_total counter",
        "tce_gateway_logins_total{result=\"admitted\"} 1",
        "tce_gateway_logins_total{result=\"refused\"} 1",
        "# TYPE tce_gateway_login_seconds histogram",
        "tce_gateway_login_seconds_bucket{le=\"0.0001\"}",
        "tce_gateway_login_seconds_bucket{le=\"10\"} 2",
        "tce_gateway_login_seconds_count 2",
    ] {
        assert!(answer.body.contains(line), "{line}\n{}", answer.body);
    }
}

#[test]
fn a_process_has_one_recorder_whoever_asks_first() {
    let asking = (0..4).map(|_| std::thread::spawn(|| install_recorder().map(drop)));
    for asked in asking.collect::<Vec<_>>() {
        asked.join().unwrap().unwrap();
    }
}

#[tokio::test]
async fn nothing_is_changed_from_here() {
    let server = serve(&Fake::default()).await;
    for path in ["/", "/healthz", "/readyz", "/metrics", "/api/state"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let host = server.address;
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
            let answer = send(server.address, &request).await;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
}
