//! Drives clients: callers that each wait for their answers, or a sender that waits for none.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    case::Case,
    control::Counter,
    meter::{Measurement, Meter},
    payload::Payload,
};

/// How long all that was sent oneway may take to arrive after the last of it was written.
const DRAIN: Duration = Duration::from_secs(10);

/// A client of some peer; clones share its connection.
pub(crate) trait Client: Clone + Send + 'static {
    fn echo(&mut self, text: &str) -> impl Future<Output = Result<String>> + Send;
}

/// What one client process has to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) case: Case,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

impl Load {
    /// Calls over one client a connection: as many tasks as calls are in flight, each calling in a
    /// loop over a clone.
    pub(crate) async fn call<C: Client>(&self, clients: &[C]) -> Result<Measurement> {
        let in_flight = self.case.shape.in_flight();
        let meter = Arc::new(Meter::new(clients.len() * in_flight)?);
        let mut callers = JoinSet::new();
        for client in clients {
            for _ in 0..in_flight {
                let caller = callers.len();
                let payload = Payload::new(caller, self.case.payload);
                callers.spawn(call_in_a_loop(
                    client.clone(),
                    u64::try_from(caller)?,
                    payload,
                    Arc::clone(&meter),
                ));
            }
        }
        self.measure(&meter, callers).await
    }

    /// Runs the clock beside callers that already run, each of which returns how many of its calls
    /// were complete while the meter measured.
    pub(crate) async fn measure(
        &self,
        meter: &Meter,
        mut callers: JoinSet<Result<u64>>,
    ) -> Result<Measurement> {
        let elapsed = meter.run(self.warm_up, self.measured).await;
        let mut calls = 0;
        while let Some(caller) = callers.join_next().await {
            calls += caller??;
        }
        Ok(meter.measurement(calls, elapsed))
    }

    /// Runs the clock beside a sender that returns how many messages it sent in all; the rate is
    /// what the server has received by its own clock, and nothing may be lost.
    pub(crate) async fn measure_oneway(
        &self,
        control: SocketAddr,
        meter: &Meter,
        sender: impl Future<Output = Result<u64>>,
    ) -> Result<Measurement> {
        let mut counter = Counter::connect(control).await?;
        let clock = async {
            tokio::time::sleep(self.warm_up).await;
            let first = counter.read().await?;
            tokio::time::sleep(self.measured).await;
            let last = counter.read().await?;
            meter.stop();
            Ok((first, last))
        };
        let ((first, last), sent) = tokio::try_join!(clock, sender)?;
        timeout(DRAIN, counter.wait_for(sent))
            .await
            .with_context(|| format!("not all of {sent} messages arrived"))??;
        let received = last.count - first.count;
        ensure!(received > 0, "no message arrived while measuring");
        Ok(Measurement::of_calls(received, last.at - first.at))
    }
}

async fn call_in_a_loop<C: Client>(
    mut client: C,
    caller: u64,
    payload: Payload,
    meter: Arc<Meter>,
) -> Result<u64> {
    let mut counted = 0;
    let mut nth = 0;
    while !meter.is_over() {
        let started = meter.start(caller, nth);
        let answer = client.echo(payload.text()).await?;
        payload.check(nth, answer.as_bytes())?;
        nth += 1;
        if meter.is_measuring() {
            counted += 1;
            if let Some(started) = started {
                meter.record(started.elapsed());
            }
        }
    }
    Ok(counted)
}
