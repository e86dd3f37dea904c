//! What is logged about a login.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use tce_gateway::auth::{AuthGuard, Login, Refusal};

use crate::login;

/// Collects log output.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_the_reason_and_the_peer_and_never_the_token() {
    let lines = Lines::default();
    let kept = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || kept.clone())
        .finish();
    let logged = tracing::subscriber::set_default(subscriber);
    let authenticator = |login: Login| async move {
        tracing::info!(?login, "a program may log what it is given");
        Err::<String, _>(Refusal::new("no entry").because("the account is closed"))
    };
    let guard = AuthGuard::new(authenticator, Duration::from_secs(60));
    let refusal = guard.admit(login("TOP-SECRET")).await.unwrap_err();
    drop(logged);

    assert_eq!(refusal.text(), "no entry");
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("no entry (the account is closed)"), "{text}");
    assert!(text.contains("tcp://192.0.2.1:40000"), "{text}");
    assert!(!text.contains("TOP-SECRET"), "{text}");
}
