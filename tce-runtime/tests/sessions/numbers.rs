//! Options at the ends of their ranges.

use std::time::Duration;

use tce_runtime::config::{ConnectionLimits, Options};

use crate::{
    SCHEMES,
    common::probe::{serve_at, works},
};

async fn connects_and_calls(connection: ConnectionLimits) {
    for scheme in SCHEMES {
        let options = Options {
            connection,
            busy_poll_time: Some(Duration::MAX),
            ..Options::default()
        };
        let server = serve_at(scheme, options.clone()).await;
        let proxy = server.proxy_with(options).await;
        works(&proxy).await;
        assert_eq!(server.adapter.connections(), 1);
        drop(proxy);
    }
}

#[tokio::test]
async fn every_keepalive_time_is_accepted() {
    for time in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_millis(500),
        Duration::from_secs(32_768),
        Duration::from_secs(31_536_000),
        Duration::MAX,
    ] {
        connects_and_calls(ConnectionLimits {
            keepalive_time: Some(time),
            ..ConnectionLimits::default()
        })
        .await;
    }
}

#[tokio::test]
async fn the_largest_limits_are_accepted() {
    connects_and_calls(ConnectionLimits {
        connect_time: Duration::MAX,
        frame_time: Duration::MAX,
        stall_time: Duration::MAX,
        keepalive_time: Some(Duration::MAX),
        ping_interval: Some(Duration::MAX),
        send_buffer: usize::MAX,
        served_calls: usize::MAX,
        calls_in_flight: usize::MAX,
        connections: usize::MAX,
    })
    .await;
}

#[tokio::test]
async fn limits_of_0_count_as_1() {
    connects_and_calls(ConnectionLimits {
        stall_time: Duration::from_secs(1),
        send_buffer: 0,
        served_calls: 0,
        calls_in_flight: 0,
        connections: 0,
        ..ConnectionLimits::default()
    })
    .await;
}
