//! Clients that come back at another gateway or after a restart, while Redis keeps their
//! pushes; and Redis that stops or loses them.

use std::time::Duration;

use tce_test_redis::RedisServer;
use tokio::time::sleep;

use super::{Pusher, Resuming, login, pushed, raw_at, shared, start};
use crate::common::{
    house::House,
    plan::Front,
    raw::string,
    watching::{eventually, within},
};

/// A push that arrives where the client was, or where it is now.
#[tokio::test]
async fn a_client_resumes_at_another_gateway() {
    let redis = RedisServer::start();
    let house = House::start(shared(&redis).gateways(2)).await;
    let (here, there) = (Pusher::start(&house).await, Pusher::to(&house, 1).await);
    let mut anna = raw_at(&house, 0).await;
    let answer = anna.call(&login("anna", Some(""))).await;
    let (epoch, offset, recovered) = start(&answer);
    assert_eq!((epoch.len(), offset, recovered), (16, "0", "0"));
    here.push("anna", "a").await;
    assert_eq!(pushed(&anna.message().await), (string("a"), Some("1")));
    drop(anna);
    eventually("the gateway notices", || house.gateway().connections() == 0).await;
    here.push("anna", "b").await;
    let resume = format!("{epoch}:1");
    let mut anna = raw_at(&house, 1).await;
    let resumed = anna.call(&login("anna", Some(&resume))).await;
    assert_eq!(start(&resumed), (epoch, "1", "1"));
    assert_eq!(pushed(&anna.message().await), (string("b"), Some("2")));
    // Servers may not know yet where the user is.
    here.push("anna", "c").await;
    assert_eq!(pushed(&anna.message().await), (string("c"), Some("3")));
    there.push("anna", "d").await;
    assert_eq!(pushed(&anna.message().await), (string("d"), Some("4")));
    here.push("anna", "e").await;
    assert_eq!(pushed(&anna.message().await), (string("e"), Some("5")));
    // And back, while the other gateway still has the connection.
    let mut back = raw_at(&house, 0).await;
    let resumed = back.call(&login("anna", Some(&format!("{epoch}:3")))).await;
    assert_eq!(start(&resumed), (epoch, "3", "1"));
    for (text, offset) in [("d", "4"), ("e", "5")] {
        assert_eq!(pushed(&back.message().await), (string(text), Some(offset)));
    }
    anna.closed().await;
    there.push("anna", "f").await;
    assert_eq!(pushed(&back.message().await), (string("f"), Some("6")));
    drop(back);
    house.end().await;
}

#[tokio::test]
async fn a_client_resumes_after_a_restart_of_the_gateway() {
    let redis = RedisServer::start();
    let mut house = House::start(shared(&redis)).await;
    let server = Pusher::start(&house).await;
    let mut anna = house.raw().await;
    let answer = anna.call(&login("anna", Some(""))).await;
    let (epoch, ..) = start(&answer);
    server.push("anna", "a").await;
    assert_eq!(pushed(&anna.message().await), (string("a"), Some("1")));
    house.restart().await;
    anna.closed().await;
    // The queue has it when the gateway starts, before the client is back.
    server.push("anna", "b").await;
    eventually("the push", || house.drops("user_gone") == 0).await;
    sleep(Duration::from_millis(200)).await;
    let mut anna = house.raw().await;
    let resumed = anna.call(&login("anna", Some(&format!("{epoch}:0")))).await;
    assert_eq!(start(&resumed), (epoch, "0", "1"));
    for (text, offset) in [("a", "1"), ("b", "2")] {
        assert_eq!(pushed(&anna.message().await), (string(text), Some(offset)));
    }
    drop(anna);
    house.end().await;
}

/// Pushes wait for Redis, and none is lost or repeated.
#[tokio::test]
async fn redis_stops_for_a_moment() {
    let mut redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let house = House::start(shared(&redis)).await;
    let server = Pusher::start(&house).await;
    let anna = Resuming::start(&house, Front::Socket, "anna").await;
    server.push("anna", "a").await;
    anna.received.is(&["a"]).await;
    redis.kill();
    server.push("anna", "b").await;
    redis.restart();
    server.push("anna", "c").await;
    anna.received.is(&["a", "b", "c"]).await;
    anna.received.logged_in(&[false]).await;
    drop(anna);
    house.end().await;
}

/// Redis comes back without what it knew: the client is told.
#[tokio::test]
async fn redis_loses_its_data() {
    let mut redis = RedisServer::start();
    let house = House::start(shared(&redis)).await;
    let server = Pusher::start(&house).await;
    let anna = Resuming::start(&house, Front::Socket, "anna").await;
    server.push("anna", "a").await;
    anna.received.is(&["a"]).await;
    redis.kill();
    redis.restart();
    server.push("anna", "lost").await;
    anna.received.logged_in(&[false, false]).await;
    server.push("anna", "b").await;
    anna.received.is(&["a", "b"]).await;
    drop(anna);
    house.end().await;
}

/// More is pushed meanwhile than may wait for Redis: the client is told that something is
/// missing, and gets what is pushed afterwards.
#[tokio::test]
async fn redis_stops_until_pushes_are_dropped() {
    let redis = RedisServer::start();
    let plan = shared(&redis).property("resume_memory", "100000");
    let house = House::start(plan).await;
    let server = Pusher::start(&house).await;
    let mut anna = house.raw().await;
    let answer = anna.call(&login("anna", Some(""))).await;
    let (epoch, ..) = start(&answer);
    redis.pause();
    for _ in 0..3 {
        server.push("anna", &"x".repeat(40_000)).await;
    }
    within(anna.closed()).await;
    redis.resume();
    let mut anna = house.raw().await;
    let resumed = anna.call(&login("anna", Some(&format!("{epoch}:0")))).await;
    let (new, offset, recovered) = start(&resumed);
    assert!(new != epoch && (offset, recovered) == ("0", "0"), "{new}");
    server.push("anna", "after").await;
    assert_eq!(pushed(&anna.message().await), (string("after"), Some("1")));
    drop(anna);
    house.end().await;
}
