//! The address of the admin page, and the host names that it accepts.

use tce_gateway::{
    admin::AdminServer,
    config::{HostPort, Override, Services},
};

use crate::{
    client::send,
    fake::{Fake, Running, place, serve, serve_at, serve_with},
};

/// The status of a request with this `Host`.
async fn asked_as(server: &Running, host: &str) -> u16 {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
    send(server.address, &request).await.status
}

#[tokio::test]
async fn a_name_that_was_made_to_lead_here_is_not_answered() {
    let server = serve(&Fake::default()).await;
    for host in [
        "evil.example",
        "evil.example:9100",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "2130706433",
        "0x7f000001",
        "127.1",
        "[::1].evil.example",
        "[evil.example]",
        "::1",
        "",
    ] {
        assert_eq!(asked_as(&server, host).await, 421, "{host}");
    }
}

#[tokio::test]
async fn a_request_with_two_hosts_is_refused() {
    let server = serve(&Fake::default()).await;
    for request in [
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        assert_eq!(send(server.address, request).await.status, 400, "{request}");
    }
}

#[tokio::test]
async fn addresses_and_localhost_are_answered() {
    let server = serve(&Fake::default()).await;
    for host in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1",
        "[::1]:9100",
        "192.0.2.1:80",
    ] {
        assert_eq!(asked_as(&server, host).await, 200, "{host}");
    }
}

#[tokio::test]
async fn the_configured_name_is_answered() {
    let server = serve_at("LocalHost", &Fake::default()).await;
    assert!(server.address.ip().is_loopback());
    assert_eq!(asked_as(&server, "localhost:9100").await, 200);
    assert_eq!(asked_as(&server, "evil.example").await, 421);
}

/// A scrape by the name of a service.
#[tokio::test]
async fn further_names_are_answered_if_they_are_configured() {
    let server = serve_with("127.0.0.1", &Fake::default(), |server| {
        server.with_hosts(["gateway".to_owned(), "gw.example.org".to_owned()])
    })
    .await;
    for (host, status) in [
        ("gateway:9600", 200),
        ("GATEWAY", 200),
        ("gw.example.org", 200),
        ("gateway.evil.example", 421),
        ("evil.example", 421),
    ] {
        assert_eq!(asked_as(&server, host).await, status, "{host}");
    }
}

#[tokio::test]
async fn a_request_without_host_is_not_answered() {
    let server = serve(&Fake::default()).await;
    let answer = send(server.address, "GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.status, 421);
    assert!(answer.body.contains("`admin`"), "{}", answer.body);
}

const SERVICES: &str = r#"<SNS>
    <EndPoints><ep name="clients" type="socket" host="127.0.0.1" port="0"/></EndPoints>
    <servers><server name="gw"><properties>
        <property name="listen" value="clients"/>
    </properties></server></servers>
</SNS>"#;

/// The property `admin` as set by a flag.
fn configured(text: &str) -> Result<Option<String>, String> {
    let flag = Override::from_flag(&format!("admin={text}")).unwrap();
    let loaded = Services::parse(SERVICES, "services.xml", &[flag]);
    let loaded = loaded.map_err(|problems| problems.to_string())?;
    let admin = &loaded.services.server("gw").unwrap().properties.admin;
    Ok(admin.as_ref().map(ToString::to_string))
}

#[test]
fn a_port_alone_is_for_this_machine() {
    let places = [
        ("9100", "127.0.0.1:9100"),
        ("127.0.0.1:9100", "127.0.0.1:9100"),
        ("0.0.0.0:9100", "0.0.0.0:9100"),
        ("[::]:9100", "[::]:9100"),
        ("gw-1.example.org:80", "gw-1.example.org:80"),
    ];
    for (text, place) in places {
        assert_eq!(configured(text), Ok(Some(place.to_owned())));
    }
    assert_eq!(configured(""), Ok(None));
}

#[test]
fn everybody_is_let_in_only_where_that_is_written() {
    for text in [
        ":9100",
        "[]:9100",
        "localhost",
        "host:",
        "host:x",
        "host:65536",
        "70000",
        "[::1]",
        "a b:1",
        "http://host:1",
        "-1",
    ] {
        let error = configured(text).expect_err(text);
        assert!(error.contains("`admin` can't be"), "{error}");
        assert!(error.contains("0.0.0.0:9100 for all addresses"), "{error}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let server = serve(&Fake::default()).await;
    let place = HostPort {
        port: server.address.port(),
        ..place("127.0.0.1")
    };
    let error = AdminServer::bind(&place, None).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("can't serve the admin page at {place}:")),
        "{text}"
    );
}

#[tokio::test]
async fn without_a_recorder_there_are_no_metrics() {
    let server = AdminServer::bind(&place("127.0.0.1"), None).await.unwrap();
    let address = server.address();
    tokio::spawn(async move { server.serve(Fake::default(), std::future::pending()).await });
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
    assert_eq!(send(address, &request).await.status, 404);
}
