//! The files of the admin page, and their headers.

use crate::{
    client::{get, send},
    fake::{Fake, serve},
};

const FILES: [(&str, &str); 5] = [
    ("/", "text/html; charset=utf-8"),
    ("/index.html", "text/html; charset=utf-8"),
    ("/page.css", "text/css; charset=utf-8"),
    ("/page.js", "text/javascript; charset=utf-8"),
    ("/icon.svg", "image/svg+xml"),
];

#[tokio::test]
async fn the_page_and_its_files_are_there() {
    let server = serve(&Fake::default()).await;
    for (path, kind) in FILES {
        let answer = get(server.address, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
    }
    let html = get(server.address, "/").await.body;
    assert!(html.starts_with("<!doctype html>"), "{html}");
}

#[tokio::test]
async fn the_page_asks_nobody_else_for_anything() {
    let server = serve(&Fake::default()).await;
    for (path, _) in FILES {
        let body = get(server.address, path).await.body;
        let body = body.replace("http://www.w3.org/2000/svg", "");
        assert!(!body.contains("//") || path == "/page.js", "{path}: {body}");
        assert!(!body.contains("http"), "{path}: {body}");
    }
}

#[tokio::test]
async fn every_answer_says_what_it_may_do() {
    let server = serve(&Fake::default()).await;
    let foreign = "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let mut answers = vec![send(server.address, foreign).await];
    for path in [
        "/",
        "/page.js",
        "/api/state",
        "/api/state?limit=x",
        "/metrics",
        "/nothing",
        "/a/b",
    ] {
        answers.push(get(server.address, path).await);
    }
    for answer in answers {
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            Some("same-origin")
        );
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn there_is_nothing_else() {
    let server = serve(&Fake::default()).await;
    for path in [
        "/nothing",
        "/page",
        "/..%2fmod.rs",
        "/../mod.rs",
        "/a/b",
        "/api",
        "/%00",
        "/%ff",
    ] {
        let answer = get(server.address, path).await;
        assert!(
            matches!(answer.status, 400 | 404),
            "{path}: {}",
            answer.status
        );
    }
}
