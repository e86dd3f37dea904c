//! `/api/state`: the JSON of a snapshot, and the selection of connections.

use serde_json::{Value, json};
use tce_gateway::admin::ConnectionRow;

use crate::{
    client::get,
    fake::{Fake, row, serve},
};

/// The ids of the rows that a query selects, and the number of matches.
async fn found(fake: &Fake, query: &str) -> (Vec<u64>, u64) {
    let server = serve(fake).await;
    let answer = get(server.address, &format!("/api/state?{query}")).await;
    let connections = answer.json()["connections"].clone();
    let rows = connections["rows"].as_array().unwrap().iter();
    let ids = rows.map(|row| row["id"].as_u64().unwrap()).collect();
    (ids, connections["matched"].as_u64().unwrap())
}

fn ten_thousand() -> Fake {
    Fake::with_rows((1..=10_000).map(row))
}

#[tokio::test]
async fn the_state_is_told_whole() {
    let fake = Fake::with_rows([
        row(1),
        ConnectionRow {
            user: None,
            ..row(2)
        },
    ]);
    fake.is_unready(&["draining"]);
    let server = serve(&fake).await;
    let answer = get(server.address, "/api/state").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "readiness": { "reasons": ["draining"] },
        "gateway": "gwserver",
        "uptime_ms": 61_000,
        "users": 2,
        "totals": {
            "calls": 10, "in_flight": 1, "refused": 2, "pushes": 3, "bytes_in": 4, "bytes_out": 5,
        },
        "drops": [{ "reason": "user_gone", "count": 7 }],
        "refusals": [{ "reason": "no_route", "count": 2 }],
        "listeners": [{
            "endpoint": "socket_gateway", "address": "tcp://0.0.0.0:12002", "connections": 2,
        }],
        "routes": [{
            "interface": "test.Server", "ifidx": 2,
            "from": "socket_gateway", "to": "mq_server", "calls": 10,
            "answered": 9, "answer_us": 4500,
        }],
        "backends": [{
            "endpoint": "mq_server", "address": "amqp://localhost:5672",
            "state": "down", "queued": 9,
        }],
        "connections": { "open": 2, "matched": 2, "rows": [
            connection(2, &Value::Null), connection(1, &json!("User1")),
        ] },
    });
    assert_eq!(answer.json(), expected);
}

fn connection(id: u64, user: &Value) -> Value {
    json!({
        "id": id, "peer": format!("tcp://10.0.0.{id}:40000"), "user": user,
        "device": null, "endpoint": "socket_gateway", "since_ms": 1_700_000_000_000_u64 + id,
        "calls": id, "in_flight": id, "bytes_in": id, "bytes_out": id,
    })
}

#[tokio::test]
async fn of_ten_thousand_the_newest_hundred_come_first() {
    let (ids, matched) = found(&ten_thousand(), "").await;
    assert_eq!(ids, (9901..=10_000).rev().collect::<Vec<_>>());
    assert_eq!(matched, 10_000);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let fake = ten_thousand();
    assert_eq!(found(&fake, "limit=2&offset=3").await.0, [9997, 9996]);
    assert_eq!(found(&fake, "limit=5&offset=9998").await.0, [2, 1]);
    assert_eq!(found(&fake, "offset=10000").await, (vec![], 10_000));
}

#[tokio::test]
async fn a_page_has_no_more_than_a_thousand() {
    let fake = ten_thousand();
    assert_eq!(found(&fake, "limit=1000000").await.0.len(), 1000);
    assert_eq!(found(&fake, "limit=0").await, (vec![], 10_000));
}

#[tokio::test]
async fn peers_users_and_endpoints_are_searched() {
    let fake = ten_thousand();
    assert_eq!(found(&fake, "q=10.0.39.16%3A").await, (vec![10_000], 1));
    let (ids, matched) = found(&fake, "q=uSeR3").await;
    assert_eq!((ids[0], matched), (9993, 1000));
    assert_eq!(found(&fake, "q=SOCKET_gate").await.1, 10_000);
    assert_eq!(found(&fake, "q=nobody").await, (vec![], 0));
}

#[tokio::test]
async fn letters_of_every_script_are_searched() {
    let named = |id, user: &str| ConnectionRow {
        user: Some(user.to_owned()),
        ..row(id)
    };
    let fake = Fake::with_rows([named(1, "小猫"), named(2, "ÉMILE"), named(3, "Zoë")]);
    assert_eq!(found(&fake, "q=%E5%B0%8F").await.0, [1]);
    assert_eq!(found(&fake, "q=%C3%A9mile").await.0, [2]);
}

#[tokio::test]
async fn the_busiest_come_first_where_that_is_asked() {
    let fake = Fake::with_rows([
        ConnectionRow {
            calls: 9,
            in_flight: 0,
            bytes_in: 1,
            bytes_out: 1,
            ..row(1)
        },
        ConnectionRow {
            calls: 1,
            in_flight: 5,
            bytes_in: 0,
            bytes_out: 0,
            ..row(2)
        },
        ConnectionRow {
            calls: 1,
            in_flight: 0,
            bytes_in: 0,
            bytes_out: 7,
            ..row(3)
        },
    ]);
    assert_eq!(found(&fake, "sort=calls").await.0, [1, 3, 2]);
    assert_eq!(found(&fake, "sort=in_flight").await.0, [2, 3, 1]);
    assert_eq!(found(&fake, "sort=bytes").await.0, [3, 1, 2]);
    assert_eq!(found(&fake, "sort=newest").await.0, [3, 2, 1]);
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_answered_with_400() {
    let server = serve(&Fake::default()).await;
    for query in ["limit=-1", "limit=x", "sort=best", "offset=1e9", "page=2"] {
        let answer = get(server.address, &format!("/api/state?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
    }
}
