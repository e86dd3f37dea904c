//! Generates load: callers that wait for their answers, or senders of oneway messages.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    case::Case,
    control::ControlClient,
    meter::{LoadExtent, Measurement, Meter},
    payload::Payload,
};

/// How long oneway messages may take to arrive after the last one was sent.
const DRAIN_TIME: Duration = Duration::from_secs(20);

/// A peer's client for calls; clones share its connection.
pub(crate) trait EchoCaller: Clone + Send + 'static {
    fn echo(&mut self, text: &str) -> impl Future<Output = Result<String>> + Send;
}

/// A peer's client for confirmed oneway messages; clones share its connection.
pub(crate) trait ConfirmedSender: Clone + Send + 'static {
    /// Sends one message and waits until the broker has confirmed it.
    fn send(&self) -> impl Future<Output = Result<()>> + Send;
}

/// The load of one client process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadGenerator {
    pub(crate) case: Case,
    pub(crate) extent: LoadExtent,
}

impl LoadGenerator {
    /// Calls over `clients`, one for each connection. For each call in flight, a task calls in a
    /// loop over a clone.
    pub(crate) async fn call<C: EchoCaller>(&self, clients: &[C]) -> Result<Measurement> {
        let in_flight = self.case.shape.in_flight();
        let meter = Arc::new(Meter::new(clients.len() * in_flight, self.extent)?);
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

    /// Measures running callers. Each returns the number of its calls that completed while the
    /// meter was measuring.
    pub(crate) async fn measure(
        &self,
        meter: &Meter,
        callers: JoinSet<Result<u64>>,
    ) -> Result<Measurement> {
        let started = Instant::now();
        let elapsed = meter.run().await;
        let calls = sum(callers).await?;
        let elapsed = elapsed.unwrap_or_else(|| started.elapsed());
        Ok(meter.measurement(calls, elapsed))
    }

    /// Measures a sender of oneway messages, which returns the number of all messages that it has
    /// sent. The rate is what the server receives by its own clock.
    ///
    /// # Errors
    /// The sender failed, or a message was lost, duplicated or changed.
    pub(crate) async fn measure_oneway(
        &self,
        control: SocketAddr,
        meter: &Meter,
        sender: impl Future<Output = Result<u64>>,
    ) -> Result<Measurement> {
        let mut server = ControlClient::connect(control).await?;
        let started = Instant::now();
        let clock = async {
            let LoadExtent::Time { warm_up, measured } = self.extent else {
                return Ok(None);
            };
            tokio::time::sleep(warm_up).await;
            let first = server.read().await?;
            tokio::time::sleep(measured).await;
            let last = server.read().await?;
            meter.stop();
            Ok(Some((first, last)))
        };
        let (measured, sent) = tokio::try_join!(clock, sender)?;
        timeout(DRAIN_TIME, server.wait_for(sent))
            .await
            .with_context(|| format!("not all of {sent} messages arrived in {DRAIN_TIME:?}"))??;
        let Some((first, last)) = measured else {
            return Ok(Measurement::of_calls(sent, started.elapsed()));
        };
        let received = last.count - first.count;
        ensure!(received > 0, "no message arrived during the measurement");
        Ok(Measurement::of_calls(received, last.at - first.at))
    }

    /// Sends confirmed oneway messages. For each message in flight, a task sends in a loop over a
    /// clone of `sender`.
    pub(crate) async fn send_confirmed<S: ConfirmedSender>(
        &self,
        control: SocketAddr,
        sender: S,
    ) -> Result<Measurement> {
        let meter = Arc::new(Meter::new(1, self.extent)?);
        let mut senders = JoinSet::new();
        for _ in 0..self.case.shape.in_flight() {
            let (sender, meter) = (sender.clone(), Arc::clone(&meter));
            senders.spawn(async move {
                let mut sent = 0;
                while meter.has_more(sent) {
                    sender.send().await?;
                    sent += 1;
                }
                Ok(sent)
            });
        }
        self.measure_oneway(control, &meter, sum(senders)).await
    }
}

async fn call_in_a_loop<C: EchoCaller>(
    mut client: C,
    caller: u64,
    payload: Payload,
    meter: Arc<Meter>,
) -> Result<u64> {
    let mut counted = 0;
    let mut nth = 0;
    while meter.has_more(nth) {
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

/// Waits for all tasks and adds up their counts.
async fn sum(mut tasks: JoinSet<Result<u64>>) -> Result<u64> {
    let mut sum = 0;
    while let Some(count) = tasks.join_next().await {
        sum += count??;
    }
    Ok(sum)
}
