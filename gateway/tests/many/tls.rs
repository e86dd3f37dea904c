//! TLS handshakes while other connections call.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::{join, try_join_all};
use tce_runtime::{
    Communicator, Proxy, RpcError,
    config::{Options, TlsConfig},
};

use crate::gateway::{ECHO, Gateway, allow_files};

const A_SECOND: u32 = 200;
const SECONDS: u32 = 2;

#[tokio::test]
async fn calls_flow_while_connections_with_tls_come() {
    allow_files(4000);
    let folder = tempfile::tempdir().expect("there is room for a file");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let made = made.expect("the address is a name");
    let certificate = folder.path().join("gateway.pem");
    fs::write(&certificate, made.cert.pem()).expect("the folder is writable");
    let key = made.signing_key.serialize_pem();
    fs::write(certificate.with_extension("key"), key).expect("the folder is writable");
    let tls = TlsConfig {
        authority: Some(certificate),
        ..TlsConfig::default()
    };
    let options = Options {
        tls,
        ..Options::default()
    };

    let gateway = Gateway::start("socket", "ssl", &options).await;
    let is_over = AtomicBool::new(false);
    let coming = async {
        let taken = connect_evenly(&gateway, &options).await;
        is_over.store(true, Ordering::Relaxed);
        taken
    };
    let (taken, calls) = join(coming, call_until(&gateway, &options, &is_over)).await;
    let taken = taken.expect("each client is let in and answered");
    let (calls, slowest) = calls.expect("each call is answered");

    let count = A_SECOND * SECONDS;
    println!(
        "{count} connections with TLS in {taken:.2?}; beside them {calls} calls, the slowest took {slowest:.2?}"
    );
    assert!(calls > 0, "no call was answered while others connected");
}

/// Opens connections at a given rate, each of which calls once and stays open.
async fn connect_evenly(gateway: &Gateway, options: &Options) -> Result<Duration, RpcError> {
    let began = Instant::now();
    let communicator = Communicator::with_options(options.clone());
    let clients = (0..A_SECOND * SECONDS).map(|nth| {
        let communicator = &communicator;
        async move {
            let at = began + Duration::from_secs(1) * nth / A_SECOND;
            tokio::time::sleep_until(at.into()).await;
            let client = Proxy::connect(communicator, &gateway.endpoint).await?;
            let answer: String = client.call(&ECHO, ("hello",)).await?;
            assert_eq!(answer, "hello");
            Ok::<_, RpcError>(client)
        }
    });
    try_join_all(clients).await?;
    Ok(began.elapsed())
}

/// Calls one by one. Returns the number of answers, and the longest time.
async fn call_until(
    gateway: &Gateway,
    options: &Options,
    is_over: &AtomicBool,
) -> Result<(u64, Duration), RpcError> {
    let communicator = Communicator::with_options(options.clone());
    let client = Proxy::connect(&communicator, &gateway.endpoint).await?;
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer: String = client.call(&ECHO, ("hello",)).await?;
        assert_eq!(answer, "hello");
        slowest = slowest.max(began.elapsed());
        calls += 1;
    }
    Ok((calls, slowest))
}
