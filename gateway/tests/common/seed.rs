//! The server of TCE's own example, whose `echo` also does what tests ask for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tce_runtime::{Context, ErrorCode, Fault, TypedProxy};
use tce_tests::test::{BaseServer, ITerminal, ITerminalPrx, Server};
use tokio::sync::{Semaphore, mpsc, watch};

use super::watching::within;

/// What has happened at a server, and what its servant waits for.
pub(crate) struct Seen {
    /// How many calls of `echo` there were.
    pub(crate) echoed: AtomicUsize,
    /// How many calls have come to the gate.
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
    /// Waits until so many calls have come to the gate.
    pub(crate) async fn gate_reached(&self, count: usize) {
        let mut at_gate = self.at_gate.subscribe();
        within(at_gate.wait_for(|now| *now >= count))
            .await
            .expect("the sender is in the caller's hand");
    }

    /// Lets all through, now and later.
    pub(crate) fn open_gate(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

/// The servant.
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) seen: Arc<Seen>,
    /// Hears what `heartbeat` was told.
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
    /// Says which server it is.
    async fn datetime(&self, _: &Context) -> Result<String, Fault> {
        Ok(self.name.clone())
    }
}

impl Server for Seed {
    /// What the first word asks for:
    ///
    /// - `who`: the user
    /// - `extra`: what came along, sorted
    /// - `fail CODE TEXT`
    /// - `large SIZE`: so many bytes
    /// - `gate`: waits until the gate opens
    /// - `push USER TEXT`: calls that user back
    /// - else what the example says
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
                let terminal = ITerminalPrx::to_user(ctx.connection(), word());
                terminal.on_message_oneway(word()).await?;
                Ok("pushed".to_owned())
            }
            _ => Ok(format!("Yah! {text}")),
        }
    }

    /// Takes until the gate opens, however many seconds that is.
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

/// A client's servant: hears what servers push.
pub(crate) struct Terminal(pub(crate) mpsc::Sender<String>);

impl ITerminal for Terminal {
    async fn on_message(&self, message: String, _: &Context) -> Result<(), Fault> {
        Ok(self.0.send(message).await?)
    }
}
