//! What operators ask of a running gateway.

use std::time::Duration;

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::timeout,
};

use super::error::GatewayError;
use crate::{
    admin::{
        Disconnection, OnLineCount, OnLineUsers, Operation, Operator, OperatorError, SessionRow,
    },
    control::{ControlError, GatewayControl},
    idl::gateway::Session,
};

/// How long an operator waits for a reload, which goes on afterwards: less than a
/// connection of the admin page may last.
const RELOAD_TIME: Duration = Duration::from_secs(8);

/// Answers operators of a running gateway.
pub(super) struct LiveOperator {
    pub(super) control: GatewayControl,
    pub(super) reloads: ReloadRequester,
}

impl From<ControlError> for OperatorError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Invalid(text) => Self::Invalid(text),
            ControlError::Presence(error) => Self::Unavailable(error.to_string()),
        }
    }
}

impl Operator for LiveOperator {
    fn users(&self, cursor: String, limit: usize) -> Operation<'_, OnLineUsers> {
        Box::pin(async move {
            let page = self.control.on_line(&cursor, limit).await?;
            Ok(OnLineUsers {
                users: page.users,
                cursor: page.cursor,
            })
        })
    }

    fn sessions(&self, user: String) -> Operation<'_, Vec<SessionRow>> {
        Box::pin(async move {
            let sessions = self.control.sessions(&user).await?;
            Ok(sessions.into_iter().map(row).collect())
        })
    }

    fn count(&self) -> Operation<'_, OnLineCount> {
        Box::pin(async move {
            let count = self.control.count().await?;
            Ok(OnLineCount {
                gateways: count.gateways,
                users: count.users,
                sessions: count.sessions,
            })
        })
    }

    fn disconnect(&self, which: Disconnection) -> Operation<'_, usize> {
        Box::pin(async move {
            let Disconnection {
                user,
                device,
                reason,
            } = which;
            match user {
                Some(user) => Ok(self.control.disconnect(&user, &device, &reason).await?),
                None if device.is_empty() => Ok(self.control.disconnect_all(&reason).await?),
                None => {
                    let text = "a device is that of a user: name the user, too";
                    Err(OperatorError::Invalid(text.to_owned()))
                }
            }
        })
    }

    fn reload(&self) -> Operation<'_, ()> {
        Box::pin(self.reloads.reload())
    }
}

fn row(session: Session) -> SessionRow {
    SessionRow {
        user: session.user_id,
        device: session.device_id,
        gateway: session.gateway,
        address: session.address,
        endpoint: session.endpoint,
        connection: session.connection_id,
        since_ms: session.since,
    }
}

type ReloadReply = oneshot::Sender<Result<(), String>>;

/// Requests reloads of the task that waits for signals.
#[derive(Clone)]
pub(super) struct ReloadRequester(mpsc::Sender<ReloadReply>);

/// The requests of operators to reload, one at a time.
pub(super) struct ReloadRequests(Mutex<mpsc::Receiver<ReloadReply>>);

pub(super) fn reload_requests() -> (ReloadRequester, ReloadRequests) {
    let (sender, receiver) = mpsc::channel(1);
    (
        ReloadRequester(sender),
        ReloadRequests(Mutex::new(receiver)),
    )
}

impl ReloadRequester {
    async fn reload(&self) -> Result<(), OperatorError> {
        let (reply, outcome) = oneshot::channel();
        let unavailable = |text: &str| OperatorError::Unavailable(text.to_owned());
        self.0
            .try_send(reply)
            .map_err(|_| unavailable("a reload waits already"))?;
        match timeout(RELOAD_TIME, outcome).await {
            Ok(Ok(outcome)) => outcome.map_err(OperatorError::Invalid),
            Ok(Err(_)) => Err(unavailable("the gateway ends")),
            Err(_) => Err(unavailable("the reload has not ended yet: see the log")),
        }
    }
}

impl ReloadRequests {
    /// Waits for a request.
    pub(super) async fn next(&self) -> Option<ReloadRequest> {
        self.0.lock().await.recv().await.map(ReloadRequest)
    }
}

/// A request that is to be answered.
pub(super) struct ReloadRequest(ReloadReply);

impl ReloadRequest {
    pub(super) fn answer(self, result: Result<(), &GatewayError>) {
        // The operator may not wait any longer.
        let _ = self.0.send(result.map_err(ToString::to_string));
    }
}
