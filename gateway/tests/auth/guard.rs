//! The checks of every login, for any authenticator.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tce_gateway::auth::{
    Admission, AuthGuard, Authenticator, Login, MAX_USER_ID, Refusal, TokenIsUser,
};

use crate::login;

const TIME: Duration = Duration::from_secs(60);

fn refused(result: Result<Admission, Refusal>) -> String {
    let refusal = result.expect_err("nobody is let in");
    assert!(!refusal.is_temporary(), "{refusal}");
    refusal.text().to_owned()
}

#[tokio::test]
async fn a_token_is_a_user_id() {
    let guard = AuthGuard::new(TokenIsUser, TIME);
    assert_eq!(guard.admit(login("A1001")).await.unwrap().user(), "A1001");
    assert_eq!(guard.admit(login("小猫")).await.unwrap().user(), "小猫");
}

#[tokio::test]
async fn no_token_is_nobody() {
    let guard = AuthGuard::new(TokenIsUser, TIME);
    let text = refused(guard.admit(login("")).await);
    assert_eq!(text, "the first message carries no token");
}

#[tokio::test]
async fn user_ids_are_bounded_and_printable() {
    let guard = AuthGuard::new(TokenIsUser, TIME);
    let longest = "u".repeat(MAX_USER_ID);
    assert_eq!(guard.admit(login(&longest)).await.unwrap().user(), longest);
    for bad in [
        &*format!("{longest}u"),
        "a\nb",
        "a\0",
        "a\u{85}b",
        "\u{7f}",
        "\u{202e}nimda",
        "a\u{2066}b",
        "a\u{200b}b",
        "a\u{2028}b",
        "a\u{feff}",
        "a\u{e0041}",
    ] {
        let text = refused(guard.admit(login(bad)).await);
        assert_eq!(text, "the token names an invalid user", "{bad:?}");
    }
}

#[tokio::test]
async fn an_authenticator_that_names_nobody_lets_nobody_in() {
    let guard = AuthGuard::new(|_| async { Ok(String::new()) }, TIME);
    let text = refused(guard.admit(login("x")).await);
    assert_eq!(text, "the token names an invalid user");
}

#[tokio::test]
async fn nobody_looks_at_a_token_that_is_too_long() {
    let asked = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&asked);
    let authenticator = move |_: Login| {
        tell.store(true, Ordering::Relaxed);
        async { Ok("somebody".to_owned()) }
    };
    let guard = AuthGuard::new(authenticator, TIME);
    let text = refused(guard.admit(login(&"x".repeat(8 * 1024 + 1))).await);
    assert_eq!(text, "the token is not accepted");
    assert!(!asked.load(Ordering::Relaxed));
    let longest = guard.admit(login(&"x".repeat(8 * 1024))).await;
    assert_eq!(longest.unwrap().user(), "somebody");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_takes_too_long_may_be_tried_again() {
    let guard = AuthGuard::new(
        |_| std::future::pending::<Result<Admission, Refusal>>(),
        TIME,
    );
    let refusal = guard.admit(login("x")).await.unwrap_err();
    assert!(refusal.is_temporary());
    assert_eq!(
        refusal.text(),
        "logins are not possible at the moment; try again later"
    );
}

/// An authenticator that accepts one device.
struct ByDevice;

impl Authenticator for ByDevice {
    async fn authenticate(&self, login: Login) -> Result<Admission, Refusal> {
        match login.device_id.as_deref() {
            Some("phone") => Ok(format!("{}@phone", login.token).into()),
            _ => Err(Refusal::new("another device").because("it is stolen")),
        }
    }
}

#[tokio::test]
async fn a_program_decides_by_itself() {
    let guard = AuthGuard::new(ByDevice, TIME);
    let from = |device: &str| Login {
        device_id: Some(device.to_owned()),
        ..login("A1001")
    };
    assert_eq!(
        guard.admit(from("phone")).await.unwrap().user(),
        "A1001@phone"
    );
    let clone = guard.clone();
    assert_eq!(refused(clone.admit(from("fridge")).await), "another device");
}
