//! What operators ask and change: by HTTP, by the page, and by `tce-gateway ctl`.

use std::{process::Command, sync::atomic::Ordering};

use serde_json::json;
use tce_gateway::admin::Disconnection;
use tokio::task::spawn_blocking;

use crate::{
    browser::{Browser, first_row, text},
    client::{Answer, get, send},
    fake::{Fake, Running, row, serve, serve_with},
};

const TOKEN: &str = "a token of an operator";

async fn serve_with_token(source: &Fake) -> Running {
    serve_with("127.0.0.1", source, |server| {
        server.with_token(Some(TOKEN.to_owned()))
    })
    .await
}

/// Sends a POST with these headers and this body.
async fn post(server: &Running, path: &str, headers: &str, body: &str) -> Answer {
    let (host, length) = (server.address, body.len());
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    send(server.address, &request).await
}

fn with_token(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n")
}

const SCOTT: &str = r#"{"user":"scott","device":"phone","reason":"stolen"}"#;

#[tokio::test]
async fn what_changes_something_takes_the_token() {
    let source = Fake::default();
    let server = serve_with_token(&source).await;
    for headers in [
        "Content-Type: application/json\r\n".to_owned(),
        with_token(""),
        with_token("a token of an operato"),
        with_token("a token of an operator "),
        with_token("A token of an operator"),
        format!("Authorization: Basic {TOKEN}\r\nContent-Type: application/json\r\n"),
        format!("Cookie: token={TOKEN}\r\nContent-Type: application/json\r\n"),
    ] {
        for path in ["/api/disconnect", "/api/reload"] {
            let answer = post(&server, path, &headers, SCOTT).await;
            // A header's last blanks are not part of its value.
            let is_right = headers.contains("operator \r\n");
            assert_eq!(answer.status == 401, !is_right, "{headers}");
        }
    }
    source.operator.disconnected.lock().unwrap().clear();
    let answer = post(&server, "/api/disconnect", &with_token(TOKEN), SCOTT).await;
    assert_eq!(answer.json(), json!({ "disconnected": 1 }));
    let expected = Disconnection {
        user: Some("scott".to_owned()),
        device: "phone".to_owned(),
        reason: "stolen".to_owned(),
    };
    assert_eq!(*source.operator.disconnected.lock().unwrap(), [expected]);
}

/// What a page of another site can send without being asked: a form's POST, a GET.
#[tokio::test]
async fn another_site_changes_nothing() {
    let source = Fake::default();
    let server = serve_with_token(&source).await;
    let form = format!("Authorization: Bearer {TOKEN}\r\nContent-Type: text/plain\r\n");
    let answer = post(&server, "/api/disconnect", &form, SCOTT).await;
    assert_eq!(answer.status, 415);
    for path in ["/api/disconnect", "/api/reload"] {
        assert_eq!(get(server.address, path).await.status, 401);
        let preflight = format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: {}\r\nOrigin: https://evil.example\r\n\
             Access-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization\r\n\r\n",
            server.address
        );
        let answer = send(server.address, &preflight).await;
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("access-control-allow-headers"), None);
    }
    assert!(source.operator.disconnected.lock().unwrap().is_empty());
    assert_eq!(source.operator.reloads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn nothing_can_be_changed_without_a_configured_token() {
    let source = Fake::default();
    let server = serve(&source).await;
    for token in ["", TOKEN] {
        let answer = post(&server, "/api/reload", &with_token(token), "{}").await;
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("`admin_token`"), "{}", answer.body);
    }
    assert_eq!(source.operator.reloads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let server = serve_with_token(&Fake::default()).await;
    let headers = with_token(TOKEN);
    let large = format!(r#"{{"user":"{}"}}"#, "x".repeat(100_000));
    for (body, status) in [
        ("", 400),
        ("{", 400),
        (r#"{"user":7}"#, 422),
        (r#"{"usr":"scott"}"#, 422),
        (&*large, 413),
    ] {
        let answer = post(&server, "/api/disconnect", &headers, body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    for path in ["/api/sessions", "/api/users?limit=x", "/api/users?x=1"] {
        assert_eq!(get(server.address, path).await.status, 400, "{path}");
    }
    assert_eq!(get(server.address, "/api/count").await.status, 503);
}

#[tokio::test]
async fn the_page_finds_and_disconnects_a_user() {
    let source = Fake::default();
    let server = serve_with_token(&source).await;
    let mut page = Browser::open(&format!("http://{}/", server.address)).await;
    page.until(&text("gateway"), "gwserver").await;
    page.eval("document.querySelector('#find button').click()")
        .await;
    let first = format!("{}[0]", first_row("sessions"));
    page.until(&first, "scott").await;
    page.eval("document.getElementById('more').click()").await;
    page.until(&text("found"), "2 users").await;
    page.eval("document.querySelector('#sessions button').click()")
        .await;
    page.until(&format!("{}[1]", first_row("sessions")), "phone")
        .await;
    let disconnect = "document.querySelector('#sessions button').click()";
    page.eval(disconnect).await;
    page.until(
        "document.querySelector('#sessions button').textContent",
        "Really?",
    )
    .await;
    page.eval(disconnect).await;
    page.until(&text("done"), "this takes the `admin_token`")
        .await;
    page.eval(&format!(
        "document.getElementById('token').value = '{TOKEN}'"
    ))
    .await;
    page.eval("document.getElementById('reason').value = 'stolen'")
        .await;
    page.eval(disconnect).await;
    page.until(&text("done"), "1 connections of scott closed")
        .await;
    page.until("document.getElementById('sessions').rows.length", 0)
        .await;
    let disconnected = source.operator.disconnected.lock().unwrap().clone();
    assert_eq!(disconnected.len(), 1);
    assert_eq!(disconnected[0].reason, "stolen");

    page.eval("document.getElementById('reload').click()").await;
    page.until(&text("done"), "reloaded").await;
    page.eval("document.getElementById('reload').click()").await;
    page.until(&text("done"), "services.xml:3:5: a mistake")
        .await;
}

#[tokio::test]
async fn a_telephone_shows_all_without_scrolling_sideways() {
    let long = tce_gateway::admin::ConnectionRow {
        user: Some("a-user-with-a-very-long-name-".repeat(4)),
        device: Some("0123456789abcdef".repeat(4)),
        ..row(3)
    };
    let server = serve(&Fake::with_rows([row(1), row(2), long])).await;
    let mut page = Browser::open(&format!("http://{}/", server.address)).await;
    page.set_width(360).await;
    page.until("document.getElementById('connections').rows.length", 3)
        .await;
    page.eval("document.getElementById('user').value = 'scott'")
        .await;
    page.eval("document.querySelector('#find button').click()")
        .await;
    page.until(&text("found"), "1 sessions").await;
    let widest = "Math.max(...[document.documentElement, ...document.querySelectorAll('*')]\
                  .map((e) => Math.ceil(e.getBoundingClientRect().right)))";
    let width = page.eval(widest).await;
    assert!(width.as_u64().is_some_and(|width| width <= 360), "{width}");
    let scrolled =
        "[...document.querySelectorAll('.scroll')].every((e) => e.scrollWidth <= e.clientWidth)";
    page.until(scrolled, true).await;
    let label = "document.getElementById('connections').rows[0].cells[1].dataset.label";
    page.until(label, "User").await;
}

/// Runs `tce-gateway ctl` for a server. Returns its status, output and errors.
async fn ctl(server: &Running, arguments: &[&str], token: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tce-gateway"));
    command.args(["ctl", &server.address.to_string()]);
    command.args(arguments).env("TCE_ADMIN_TOKEN", token);
    let output = spawn_blocking(move || command.output()).await.unwrap();
    let output = output.expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn the_command_line_asks_and_changes() {
    let source = Fake::default();
    let server = serve_with_token(&source).await;
    let done = |text: &str| (Some(0), text.to_owned(), String::new());
    let failed = |text: &str| (Some(1), String::new(), text.to_owned());
    assert_eq!(ctl(&server, &["users"], "").await, done("scott\ntiger\n"));
    let one = ctl(&server, &["users", "--limit", "1"], "").await;
    assert_eq!(one, done("scott\n"));
    let (status, sessions, _) = ctl(&server, &["sessions", "scott"], "").await;
    assert_eq!(status, Some(0));
    assert!(
        sessions.contains("gwserver  phone   192.0.2.1:40000"),
        "{sessions}"
    );
    let (_, sessions, _) = ctl(&server, &["sessions", "scott", "--json"], "").await;
    let sessions: serde_json::Value = serde_json::from_str(&sessions).unwrap();
    assert_eq!(sessions[0]["device"], "phone");
    let nobody = ctl(&server, &["sessions", "a b&c=d"], "").await;
    assert_eq!(nobody, done("the user is not on line\n"));
    let away = ctl(&server, &["count"], "").await;
    assert_eq!(away, failed("Redis does not answer\n"));
    let refused = ctl(&server, &["disconnect", "scott"], "wrong").await;
    assert_eq!(refused, failed("this takes the `admin_token`\n"));
    let closed = ctl(&server, &["disconnect", "scott"], TOKEN).await;
    assert_eq!(closed, done("1 connections closed\n"));
    let all = ["disconnect", "--all", "--reason", "the end"];
    assert_eq!(
        ctl(&server, &all, TOKEN).await,
        done("1 connections closed\n")
    );
    assert_eq!(ctl(&server, &["reload"], TOKEN).await, done("reloaded\n"));
    let mistake = ctl(&server, &["reload"], TOKEN).await;
    assert_eq!(mistake, failed("services.xml:3:5: a mistake\n"));
    let (status, ..) = ctl(&server, &["disconnect"], TOKEN).await;
    assert_eq!(status, Some(2));
    let disconnected = source.operator.disconnected.lock().unwrap().clone();
    assert_eq!(disconnected[1].user, None);
    assert_eq!(disconnected[1].reason, "the end");
}
