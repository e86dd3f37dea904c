//! Busy polling: threads that poll for I/O before they sleep.

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

fn options(busy_poll_time: Option<Duration>) -> Options {
    Options {
        busy_poll_time,
        ..Options::default()
    }
}

fn polling_for(busy_poll_time: Option<Duration>) -> Communicator {
    Communicator::with_options(options(busy_poll_time))
}

#[test]
fn a_runtime_polls_while_a_connection_asks_for_it() {
    runtime().block_on(async {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let server = serve(options(None)).await;
        let before = tasks();
        let mut more = Vec::new();
        for busy_poll_time in [None, Some(BusyPoll::LONGEST)] {
            let communicator = polling_for(busy_poll_time);
            works(&connect(&communicator, server.endpoint()).await).await;
            more.push(tasks() - before);
            communicator.shutdown(Duration::from_secs(5)).await;
            eventually("no further task is left", || tasks() == before).await;
        }
        // A task for each end of the connection; and the poller.
        assert_eq!(more, [2, 3]);
    });
}

#[test]
fn a_runtime_polls_while_an_adapter_asks_for_it() {
    runtime().block_on(async {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let mut more = Vec::new();
        for busy_poll_time in [None, Some(BusyPoll::LONGEST)] {
            let before = tasks();
            let server = serve(options(busy_poll_time)).await;
            let client = polling_for(None);
            works(&connect(&client, server.endpoint()).await).await;
            more.push(tasks() - before);
            client.shutdown(Duration::from_secs(5)).await;
            server.communicator.shutdown(Duration::from_secs(5)).await;
            eventually("no further task is left", || tasks() == before).await;
        }
        // The poller.
        assert_eq!(more[1], more[0] + 1);
    });
}

#[test]
fn a_client_whose_answers_arrive_quickly_does_not_sleep() {
    const CALLS: u64 = 200;
    let (sender, receiver) = mpsc::sync_channel(1);
    let server = thread::spawn(move || {
        runtime().block_on(async {
            let server = serve(Options::default()).await;
            sender.send(server.endpoint().clone()).unwrap();
            eventually("the client is connected", || {
                server.adapter.connections() > 0
            })
            .await;
            eventually("the client is disconnected", || {
                server.adapter.connections() == 0
            })
            .await;
        });
    });
    let endpoint = receiver.recv().unwrap();
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
