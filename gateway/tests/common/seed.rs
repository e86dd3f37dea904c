//! The server of TCE's example, whose `echo` also executes commands of tests.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tce_runtime::{Context, ErrorCode, Fault, TypedProxy};
use tce_tests::test::{BaseServer, ITerminal, ITerminalPrx, Server};
use tokio::sync::{Semaphore, mpsc, watch};

use super::watching::within;

/// What a server has received, and the gate that its servant waits at.
pub(crate) struct Seen {
    /// The number of calls of `echo`.
    pub(crate) echoed: AtomicUsize,
    /// The number of calls that have reached the gate.
    pub(crate) at_gate: watch::Sender<usize>,
    pub(crate) gate: Semaphore,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            echoed: AtomicUsize::default(),
            at_gate: watch::channel(0).0,
            gate: Semaphore::new(0),
        }
    }
}

impl Seen {
    /// Waits until `count` calls have reached the gate.
    pub(crate) async fn gate_reached(&self, count: usize) {
        let mut at_gate = self.at_gate.subscribe();
        within(at_gate.wait_for(|now| *now >= count))
            .await
            .expect("the sender is in the caller's hand");
    }

    /// Opens the gate for all calls, current and later ones.
    pub(crate) fn open_gate(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

/// The servant.
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) seen: Arc<Seen>,
    /// Receives the texts of `heartbeat`.
    pub(crate) heard: mpsc::Sender<String>,
}

impl Seed {
    async fn wait_at_gate(&self) {
        self.seen.at_gate.send_modify(|count| *count += 1);
        self.seen
            .gate
            .acquire()
            .await
            .expect("it is never closed")
            .forget();
    }
}

impl BaseServer for Seed {
    /// Returns the name of the server.
    async fn datetime(&self, _: &Context) -> Result<String, Fault> {
        Ok(self.name.clone())
    }
}

impl Server for Seed {
    /// The first word of the text is a command:
    ///
    /// - `who`: the user
    /// - `extra`: the extra of the call, sorted
    /// - `fail CODE TEXT`
    /// - `large SIZE`: a text of SIZE bytes
    /// - `gate`: waits until the gate opens
    /// - `push USER TEXT`: calls that user back
    /// - `push_to USER/DEVICE TEXT`: calls one device of that user back
    /// - `push-anywhere USER TEXT`: calls that user, at whichever gateways
    /// - otherwise the answer of the example
    async fn echo(&self, text: String, ctx: &Context) -> Result<String, Fault> {
        self.seen.echoed.fetch_add(1, Ordering::Relaxed);
        let mut words = text.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        match word() {
            "who" => Ok(ctx.user_id().unwrap_or("nobody").to_owned()),
            "extra" => {
                let pairs = ctx.extra().iter();
                let mut pairs: Vec<_> =
                    pairs.map(|(key, value)| format!("{key}={value}")).collect();
                pairs.sort_unstable();
                Ok(pairs.join("\n"))
            }
            "fail" => {
                let code = word().parse().expect("the test says a code");
                Err(Fault::new(ErrorCode::from_wire(code), word().to_owned()))
            }
            "large" => Ok("x".repeat(word().parse().expect("the test says a size"))),
            "gate" => {
                self.wait_at_gate().await;
                Ok("through".to_owned())
            }
            "push" => {
                let trace = ctx.extra().iter().filter(|(key, _)| *key == "traceparent");
                let terminal = ITerminalPrx::to_user(ctx.connection(), word());
                let terminal = terminal.with_extra(trace);
                terminal.on_message_oneway(word()).await?;
                Ok("pushed".to_owned())
            }
            "push_to" => {
                let (user, device) = word().split_once('/').expect("the test says both");
                let terminal = ITerminalPrx::to_user(ctx.connection(), user);
                let terminal = terminal.with_extra([("__device_id__", device)]);
                terminal.on_message_oneway(word()).await?;
                Ok("pushed".to_owned())
            }
            "push-anywhere" => {
                let found = ITerminalPrx::to_user_anywhere(ctx.connection(), word()).await;
                match found {
                    Ok(terminal) => {
                        terminal.on_message_oneway(word()).await?;
                        Ok("pushed".to_owned())
                    }
                    Err(error) => Ok(error.code().to_string()),
                }
            }
            _ => Ok(format!("Yah! {text}")),
        }
    }

    /// Waits until the gate opens, whatever the parameter says.
    async fn timeout(&self, _: i32, _: &Context) -> Result<(), Fault> {
        self.wait_at_gate().await;
        Ok(())
    }

    async fn heartbeat(&self, hello: String, _: &Context) -> Result<(), Fault> {
        Ok(self.heard.send(hello).await?)
    }

    async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
        let terminal = ITerminalPrx::to_caller(ctx);
        Ok(terminal.on_message_oneway("server push message!").await?)
    }
}

/// A client's servant, which receives pushes.
pub(crate) struct Terminal(pub(crate) mpsc::Sender<String>);

impl ITerminal for Terminal {
    /// The message, with the trace that it belongs to.
    async fn on_message(&self, message: String, ctx: &Context) -> Result<(), Fault> {
        let traced = match ctx.extra().get("traceparent") {
            Some(trace) => format!("{message} in {trace}"),
            None => message,
        };
        Ok(self.0.send(traced).await?)
    }
}
