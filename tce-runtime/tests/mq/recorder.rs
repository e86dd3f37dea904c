//! A servant that records the calls that it executes, and whether they were
//! marked as delivered again.

use std::sync::{Arc, Mutex};

use tce_runtime::{Adapter, Communicator, IncomingCall, Servant, wire::Operation};
use tokio::sync::watch;

use crate::queues::Queues;

/// `void record(int number)`
pub(crate) static RECORD: Operation = Operation::new("recorder::Recorder::record", 9, 0);
/// `void hang(int number)`: never ends
pub(crate) static HANG: Operation = Operation::new("recorder::Recorder::hang", 9, 1);

/// A number, and whether the call was marked as delivered again.
pub(crate) type Record = (i32, bool);

#[derive(Clone)]
pub(crate) struct Recorder(pub(crate) Arc<Records>);

pub(crate) struct Records {
    all: Mutex<Vec<Record>>,
    count: watch::Sender<usize>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self(Arc::new(Records {
            all: Mutex::default(),
            count: watch::channel(0).0,
        }))
    }
}

impl Records {
    fn add(&self, record: Record) {
        self.all.lock().unwrap().push(record);
        self.count.send_modify(|count| *count += 1);
    }

    /// Waits for this number of calls; returns all so far.
    pub(crate) async fn reached(&self, count: usize) -> Vec<Record> {
        let mut changes = self.count.subscribe();
        crate::common::watching::within(changes.wait_for(|now| *now >= count))
            .await
            .expect("the sender is ours");
        self.now()
    }

    pub(crate) fn now(&self) -> Vec<Record> {
        self.all.lock().unwrap().clone()
    }
}

impl Servant for Recorder {
    fn interfaces(&self) -> &[u16] {
        &[9]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        match call.opidx() {
            0 => call.run(&self.0, |records, (number,): (i32,), ctx| async move {
                records.add((number, ctx.is_redelivered()));
                (ctx, Ok(()))
            }),
            1 => call.run(&self.0, |records, (number,): (i32,), ctx| async move {
                records.add((number, ctx.is_redelivered()));
                std::future::pending::<()>().await;
                (ctx, Ok(()))
            }),
            _ => call.unknown_operation(),
        }
    }
}

/// A program that records the calls of a queue.
pub(crate) struct Server {
    pub(crate) communicator: Communicator,
    pub(crate) records: Arc<Records>,
    _adapter: Adapter,
}

pub(crate) async fn record(queues: &Queues) -> Server {
    let communicator = queues.open("reader").await;
    let adapter = Adapter::listen(&communicator, &queues.endpoint())
        .await
        .expect("the queue exists");
    let recorder = Recorder::default();
    adapter.add_servant(recorder.clone()).start();
    Server {
        communicator,
        records: recorder.0,
        _adapter: adapter,
    }
}
