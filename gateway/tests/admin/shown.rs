//! The admin page in a browser, for given snapshots.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tce_gateway::admin::{
    AdminServer, ConnectionRow, ListenerRow, Query, Readiness, ReasonRow, RouteRow, Snapshot,
    SnapshotSource, UpstreamRow, UpstreamState,
};

use crate::{
    browser::{Browser, first_row, text},
    fake::place,
};

/// A source whose snapshot a test sets.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    snapshot: Snapshot,
    rows: Vec<ConnectionRow>,
    reasons: Vec<String>,
}

impl Told {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    /// Serves the source, and opens the page.
    async fn shown(&self) -> Browser {
        let server = AdminServer::bind(&place("127.0.0.1"), None).await.unwrap();
        let url = format!("http://{}/", server.address());
        let source = self.clone();
        tokio::spawn(async move { server.serve(source, std::future::pending()).await });
        Browser::open(&url).await
    }
}

impl SnapshotSource for Told {
    fn snapshot(&self, query: &Query) -> Snapshot {
        let mut state = self.0.lock().unwrap();
        // Each snapshot is one second later.
        state.snapshot.uptime_ms += 1000;
        let rows = state.rows.clone();
        Snapshot {
            connections: query.select(rows),
            ..state.snapshot.clone()
        }
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            reasons: self.0.lock().unwrap().reasons.clone(),
        }
    }
}

fn row(id: u64) -> ConnectionRow {
    ConnectionRow {
        id,
        peer: format!("tcp://192.0.2.1:{id}"),
        user: Some(format!("user{id}")),
        device: Some("phone".to_owned()),
        endpoint: "socket_gateway".to_owned(),
        since_ms: 1_700_000_000_000,
        ..ConnectionRow::default()
    }
}

#[tokio::test]
async fn it_shows_all_there_is() {
    let told = Told::default();
    told.change(|state| {
        state.snapshot.gateway = "gwserver".to_owned();
        state.snapshot.users = 1234;
        state.snapshot.routes.push(RouteRow {
            interface: "test.Server".to_owned(),
            ifidx: 2,
            from: "socket_gateway".to_owned(),
            to: "mq_server".to_owned(),
            calls: 5678,
            answered: 1000,
            answer_us: 2_340_000,
        });
        state.snapshot.upstreams.push(UpstreamRow {
            endpoint: "mq_server".to_owned(),
            address: "amqp://localhost:5672".to_owned(),
            state: UpstreamState::Down,
            queued: 9,
        });
        state.snapshot.listeners.push(ListenerRow {
            endpoint: "socket_gateway".to_owned(),
            address: "tcp://0.0.0.0:12002".to_owned(),
            connections: 1,
        });
        state.snapshot.drops.push(ReasonRow {
            reason: "user_gone".to_owned(),
            count: 7,
        });
        state.snapshot.refusals.push(ReasonRow {
            reason: "no_route".to_owned(),
            count: 3,
        });
        state.rows.push(ConnectionRow {
            calls: 1000,
            in_flight: 3,
            bytes_in: 100,
            bytes_out: 1536,
            ..row(1)
        });
    });
    let mut page = told.shown().await;
    page.until(&text("gateway"), "gwserver").await;
    page.until(&text("status"), "ready").await;
    page.until(&text("users"), "1,234").await;
    page.until(&text("open"), "1").await;
    page.until(&text("dropped"), "7").await;
    let route = [
        "test.Server",
        "2",
        "socket_gateway",
        "mq_server",
        "5,678",
        "2.3 ms",
    ];
    page.until(&first_row("routes"), json!(route)).await;
    let upstream = ["mq_server", "amqp://localhost:5672", "down", "9"];
    page.until(&first_row("backends"), json!(upstream)).await;
    let listener = ["socket_gateway", "tcp://0.0.0.0:12002", "1"];
    page.until(&first_row("listeners"), json!(listener)).await;
    page.until(&first_row("drops"), json!(["user_gone", "7"]))
        .await;
    page.until(&first_row("refusals"), json!(["no_route", "3"]))
        .await;
    let without_time = format!("{}.toSpliced(4, 1)", first_row("connections"));
    let connection = [
        "tcp://192.0.2.1:1",
        "user1",
        "phone",
        "socket_gateway",
        "1,000",
        "3",
        "100 B",
        "1.5 KiB",
    ];
    page.until(&without_time, json!(connection)).await;
}

#[tokio::test]
async fn numbers_and_rates_follow_the_gateway() {
    let told = Told::default();
    let mut page = told.shown().await;
    page.until(&text("calls_rate"), "0").await;
    for step in 1..=3_u64 {
        told.change(|state| {
            state.snapshot.totals.calls += 1_000_000;
            state.snapshot.totals.bytes_in += 2048;
        });
        page.until(&text("calls"), format!("{step},000,000")).await;
    }
    // The second with the most calls reaches the top of the sparkline.
    let points = "document.querySelector('#sparkline polyline').getAttribute('points')";
    let peak = format!("{points}.split(' ').some((point) => point.endsWith(',1.0'))");
    page.until(&peak, true).await;
}

#[tokio::test]
async fn what_clients_call_themselves_is_text() {
    let told = Told::default();
    let evil =
        "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>";
    told.change(|state| {
        state.rows.push(ConnectionRow {
            user: Some(evil.to_owned()),
            peer: evil.to_owned(),
            ..row(1)
        });
        state.snapshot.gateway = evil.to_owned();
        state.reasons.push(evil.to_owned());
    });
    let mut page = told.shown().await;
    page.until(&format!("{}[1]", first_row("connections")), evil)
        .await;
    page.until(&text("reasons"), evil).await;
    let elements = "document.querySelectorAll('main img, main script, h1 *, li *').length";
    page.until(elements, 0).await;
    // Even if markup gets into the page, its scripts do not run.
    let forced = format!(
        "(async () => {{
            const violated = new Promise((tell) =>
                document.addEventListener('securitypolicyviolation', tell, {{ once: true }}));
            document.body.insertAdjacentHTML('beforeend', {});
            return (await violated).effectiveDirective;
        }})()",
        json!(evil.replace("src=x", "src='data:,'"))
    );
    let refused = page.eval(&forced).await;
    assert!(
        ["img-src", "script-src-attr"].contains(&refused.as_str().unwrap()),
        "{refused}"
    );
    assert_ne!(page.eval("document.title").await, "taken");
}

#[tokio::test]
async fn ten_thousand_are_paged_and_searched() {
    let told = Told::default();
    told.change(|state| state.rows.extend((1..=10_000).map(row)));
    let mut page = told.shown().await;
    page.until(&text("range"), "1–100 of 10,000").await;
    let user = format!("{}[1]", first_row("connections"));
    page.until(&user, "user10000").await;
    page.eval("document.getElementById('next').click()").await;
    page.until(&user, "user9900").await;
    page.until(&text("range"), "101–200 of 10,000").await;
    page.eval(
        "const q = document.getElementById('q');
         q.value = 'USER77'; q.dispatchEvent(new Event('input'));",
    )
    .await;
    // 77, 770 to 779, 7700 to 7799.
    page.until(&text("range"), "1–100 of 111").await;
    page.until(&user, "user7799").await;
}

#[tokio::test]
async fn the_page_one_is_on_may_go_away() {
    let told = Told::default();
    told.change(|state| state.rows.extend((1..=250).map(row)));
    let mut page = told.shown().await;
    page.until(&text("range"), "1–100 of 250").await;
    page.eval("document.getElementById('next').click()").await;
    page.until(&text("range"), "101–200 of 250").await;
    page.eval("document.getElementById('next').click()").await;
    page.until(&text("range"), "201–250 of 250").await;
    told.change(|state| state.rows.truncate(30));
    page.until(&text("range"), "1–30 of 30").await;
}

#[tokio::test]
async fn it_says_why_the_gateway_is_not_ready() {
    let told = Told::default();
    told.change(|state| {
        state
            .reasons
            .push("the broker of mq_server is away".to_owned());
    });
    let mut page = told.shown().await;
    page.until(&text("status"), "not ready").await;
    page.until(&text("reasons"), "the broker of mq_server is away")
        .await;
    told.change(|state| state.reasons.clear());
    page.until(&text("status"), "ready").await;
    page.until(&text("reasons"), "").await;
}
