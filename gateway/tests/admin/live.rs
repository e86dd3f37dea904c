//! The admin page and the metrics of a running gateway.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tce_runtime::{Pending, Proxy, wire::Operation};

use crate::{
    browser::{Browser, first_row, text},
    client::get,
    program::{ECHO, Gateway, Process, WAIT},
};

async fn echo(proxy: &Proxy, times: u32) {
    for _ in 0..times {
        let echoed: String = proxy.call(&ECHO, ("hello",)).await.unwrap();
        assert_eq!(echoed, "hello");
    }
}

/// A column of the first connection.
fn column(number: usize) -> String {
    format!("{}[{number}]", first_row("connections"))
}

#[tokio::test]
async fn a_client_comes_calls_and_goes() {
    let gateway = Gateway::start().await;
    let mut page = Browser::open(&gateway.process.page()).await;
    page.until(&text("gateway"), "gwserver").await;
    page.until(&text("status"), "ready").await;
    page.until(&text("open"), "0").await;

    let (client, proxy) = gateway.client().await;
    page.until(&text("open"), "1").await;
    page.until(&column(3), "clients").await;
    page.until(&column(5), "0").await;

    echo(&proxy, 5).await;
    page.until(&column(5), "5").await;
    echo(&proxy, 20).await;
    page.until(&column(5), "25").await;
    page.until(&text("calls"), "25").await;
    let route = json!(["test.Server", "2", "clients", "servers", "25"]);
    // The last column is a time.
    let without_time = format!("{}.slice(0, -1)", first_row("routes"));
    page.until(&without_time, route).await;

    let waiting: Pending<()> = proxy.call(&WAIT, ());
    page.until(&column(6), "1").await;
    page.until(&text("in_flight"), "1").await;
    drop((waiting, proxy));
    client.shutdown(Duration::ZERO).await;
    page.until(&text("open"), "0").await;
    page.until("document.getElementById('connections').rows.length", 0)
        .await;
}

#[tokio::test]
async fn a_server_that_is_away_is_told_of() {
    let gateway = Gateway::start().await;
    let mut page = Browser::open(&gateway.process.page()).await;
    page.until(&text("status"), "ready").await;
    let state = format!("{}[2]", first_row("backends"));
    page.until(&state, "up").await;
    assert_eq!(get(gateway.process.admin, "/readyz").await.status, 200);

    gateway.server.shutdown(Duration::ZERO).await;
    page.until(&text("status"), "not ready").await;
    page.until(&text("reasons"), "servers is away").await;
    page.until(&state, "down").await;
    let answer = get(gateway.process.admin, "/readyz").await;
    assert_eq!((answer.status, &*answer.body), (503, "servers is away\n"));
    assert_eq!(get(gateway.process.admin, "/healthz").await.status, 200);
}

/// A gateway whose broker can't be reached.
const BROKERLESS: &str = r#"<SNS>
    <InterfaceDef><if id="2" name="test.Server"/></InterfaceDef>
    <EndPoints>
        <ep name="clients" type="socket" host="127.0.0.1" port="0"/>
        <ep name="mq_server" type="qpid" host="127.0.0.1" port="1" address="mq_server"/>
    </EndPoints>
    <servers><server name="gwserver" type="socket server">
        <route if="test.Server"><call in="clients" out="mq_server"/></route>
        <properties><property name="listen" value="clients"/></properties>
    </server></servers>
</SNS>"#;

#[tokio::test]
async fn a_gateway_that_waits_for_its_broker_is_alive_and_not_ready() {
    let process = Process::start(BROKERLESS).await;
    let answer = get(process.admin, "/readyz").await;
    assert_eq!((answer.status, &*answer.body), (503, "starting\n"));
    assert_eq!(get(process.admin, "/healthz").await.status, 200);
    let state = get(process.admin, "/api/state").await.json();
    assert_eq!(state["gateway"], "gwserver");
    assert_eq!(state["readiness"]["reasons"], json!(["starting"]));
}

#[tokio::test]
async fn every_metric_is_described() {
    let gateway = Gateway::start().await;
    let (_client, proxy) = gateway.client().await;
    echo(&proxy, 3).await;
    let elsewhere: Pending<()> = proxy.call(&Operation::new("test::None::none", 9, 0), ());
    elsewhere.await.unwrap_err();

    let metrics = get(gateway.process.admin, "/metrics").await.body;
    let named = |begin: &str| -> HashSet<String> {
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(begin));
        lines
            .filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect()
    };
    let (described, counted) = (named("# HELP "), named("# TYPE "));
    assert_eq!(
        counted.difference(&described).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    for name in [
        "tce_gateway_connections_total",
        "tce_gateway_calls_total",
        "tce_gateway_calls_refused_total",
        "tce_gateway_call_seconds",
    ] {
        assert!(counted.contains(name), "{name}\n{metrics}");
    }
}
