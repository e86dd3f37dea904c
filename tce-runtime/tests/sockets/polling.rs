//! Threads that look for what comes before they sleep.

use std::{sync::mpsc, thread, time::Duration};

use tce_runtime::{BusyPoll, Communicator, config::Options};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::common::{
    probe::{connect, serve, works},
    watching::eventually,
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn polling_for(busy_poll_time: Option<Duration>) -> Communicator {
    Communicator::with_options(Options {
        busy_poll_time,
        ..Options::default()
    })
}

#[test]
fn it_polls_while_a_connection_is_there_that_asks_for_it() {
    runtime().block_on(async {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let server = serve(Options::default()).await;
        let before = tasks();
        let mut more = Vec::new();
        for asks in [None, Some(BusyPoll::LONGEST)] {
            let communicator = polling_for(asks);
            works(&connect(&communicator, server.endpoint()).await).await;
            more.push(tasks() - before);
            communicator.shutdown(Duration::from_secs(5)).await;
            eventually("nothing is left", || tasks() == before).await;
        }
        // The connection's two ends; and the poller.
        assert_eq!(more, [2, 3]);
    });
}

#[test]
fn whose_answers_come_soon_does_not_sleep() {
    const CALLS: u64 = 200;
    let (tell, hear) = mpsc::sync_channel(1);
    let server = thread::spawn(move || {
        runtime().block_on(async {
            let server = serve(Options::default()).await;
            tell.send(server.endpoint().clone()).unwrap();
            eventually("somebody has come", || server.adapter.connections() > 0).await;
            eventually("nobody is left", || server.adapter.connections() == 0).await;
        });
    });
    let endpoint = hear.recv().unwrap();
    runtime().block_on(async {
        let proxy = connect(&polling_for(Some(BusyPoll::LONGEST)), &endpoint).await;
        let slept = || Handle::current().metrics().worker_park_count(0);
        for _ in 0..20 {
            works(&proxy).await;
        }
        let before = slept();
        for _ in 0..CALLS {
            works(&proxy).await;
        }
        assert!(slept() - before < CALLS / 2, "{} times", slept() - before);
    });
    server.join().unwrap();
}
