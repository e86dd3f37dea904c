//! What holds for every login, whoever decides.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Authenticator, Login, Refusal};
use crate::metrics as metric;

/// The bytes that a user id may have.
pub const MAX_USER_ID: usize = 256;

/// The bytes that a token may have; nobody looks at a longer one.
const MAX_TOKEN: usize = 8 * 1024;

/// An [`Authenticator`] with a time limit, whose answers are looked at before
/// they are believed. Clones share it.
#[derive(Clone)]
pub struct Guard {
    authenticator: Arc<dyn Erased>,
    time: Duration,
}

impl Guard {
    /// Has `authenticator` decide, each time within `time`.
    pub fn new(authenticator: impl Authenticator, time: Duration) -> Self {
        Self {
            authenticator: Arc::new(authenticator),
            time,
        }
    }

    /// The id of the user who logs in. Refusals are logged and counted here.
    ///
    /// # Errors
    /// The words for the client, where it is not let in.
    pub async fn admit(&self, login: Login) -> Result<String, Refusal> {
        let (began, peer) = (Instant::now(), login.peer.clone());
        let admitted = self.decide(login).await;
        let result = match &admitted {
            Ok(_) => "admitted",
            Err(refusal) if refusal.is_temporary() => "unavailable",
            Err(_) => "refused",
        };
        metrics::counter!(metric::LOGINS, "result" => result).increment(1);
        metrics::histogram!(metric::LOGIN_SECONDS).record(began.elapsed());
        admitted.inspect_err(|refusal| tracing::info!(peer, result, "a login failed: {refusal}"))
    }

    async fn decide(&self, login: Login) -> Result<String, Refusal> {
        if login.token.len() > MAX_TOKEN {
            let detail = format!("it has more than {MAX_TOKEN} bytes");
            return Err(Refusal::new("the token is not accepted").because(detail));
        }
        let decided = self.authenticator.authenticate(login);
        let decided = tokio::time::timeout(self.time, decided).await;
        let user = decided.unwrap_or_else(|_| {
            let detail = format!("no answer within {:?}", self.time);
            Err(Refusal::unavailable().because(detail))
        })?;
        match flaw(&user) {
            Some(flaw) => Err(Refusal::new("the token names no valid user").because(flaw)),
            None => Ok(user),
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a user id. It stands in logs, on the wire and on pages.
fn flaw(user: &str) -> Option<String> {
    if user.is_empty() {
        Some("the user id is empty".to_owned())
    } else if user.len() > MAX_USER_ID {
        Some(format!("the user id has more than {MAX_USER_ID} bytes"))
    } else if user.contains(char::is_control) {
        Some("the user id has control characters".to_owned())
    } else {
        None
    }
}

type Deciding<'a> = Pin<Box<dyn Future<Output = Result<String, Refusal>> + Send + 'a>>;

/// An authenticator whose type is not known: `async fn`s have none to name.
trait Erased: Send + Sync {
    fn authenticate(&self, login: Login) -> Deciding<'_>;
}

impl<T: Authenticator> Erased for T {
    fn authenticate(&self, login: Login) -> Deciding<'_> {
        Box::pin(Authenticator::authenticate(self, login))
    }
}
