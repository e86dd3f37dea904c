//! Logins: an [`Authenticator`] turns the token of a connection's first message
//! into a user id, or refuses it (`spec/gateway.md`, Users).

mod attempts;
mod interface;

mod fetch;

mod jwks;

mod jwt;

use std::{
    borrow::Cow,
    fmt,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use ::metrics::Label;
use arc_swap::ArcSwap;
use tce_runtime::forwarding::LogLimit;

pub use crate::config::{JwtAlgorithm, UnknownAlgorithm};
use crate::metrics::{self, GATEWAY};
pub(crate) use attempts::LoginAttempts;
pub use interface::{AUTHENTICATOR_INDEX, InterfaceAuthenticator};
pub(crate) use interface::{LISTENER_INDEX, UserEvents};
pub use jwt::{BadJwtKey, JwtAuthenticator, JwtOptions};

/// The credentials in a connection's first message.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// `__token__`.
    pub token: String,
    /// `__device_id__`.
    pub device_id: Option<String>,
    /// The address that the client connected from, for the log.
    pub peer: String,
}

impl fmt::Debug for Login {
    /// Without the token, which must not be found in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("device_id", &self.device_id)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// A user who may log in, and how long the login is valid.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tce_gateway::auth::Admission;
///
/// let end = SystemTime::now() + Duration::from_secs(3600);
/// let admission = Admission::new("A1001").until(end);
/// assert_eq!((admission.user(), admission.ends_at()), ("A1001", Some(end)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    user: String,
    ends_at: Option<SystemTime>,
    roles: Vec<String>,
}

impl Admission {
    /// Admits a user as long as the connection is open: an id of 1 to
    /// [`MAX_USER_ID`] bytes, without control and formatting characters.
    #[must_use]
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            ends_at: None,
            roles: Vec::new(),
        }
    }

    /// Ends the login at a time: the gateway then closes the connection.
    #[must_use]
    pub fn until(self, end: SystemTime) -> Self {
        Self {
            ends_at: Some(end),
            ..self
        }
    }

    /// Gives the user roles, which routes may demand (`allow`).
    #[must_use]
    pub fn with_roles<R: Into<String>>(self, roles: impl IntoIterator<Item = R>) -> Self {
        Self {
            roles: roles.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// The roles of the user.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The user id.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// When the login ends; `None` with the connection.
    #[must_use]
    pub fn ends_at(&self) -> Option<SystemTime> {
        self.ends_at
    }
}

impl From<String> for Admission {
    fn from(user: String) -> Self {
        Self::new(user)
    }
}

/// Turns the credentials of a client into a user id.
///
/// Implement it with an `async fn`, or pass a closure:
///
/// ```
/// use tce_gateway::auth::{Admission, Authenticator, Login, Refusal};
///
/// struct Staff;
///
/// impl Authenticator for Staff {
///     async fn authenticate(&self, login: Login) -> Result<Admission, Refusal> {
///         match login.token.strip_prefix("staff-") {
///             Some(name) => Ok(Admission::new(name)),
///             None => Err(Refusal::new("staff only")),
///         }
///     }
/// }
///
/// fn everyone() -> impl Authenticator {
///     |login: Login| async move { Ok(login.token) }
/// }
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Decides about a login. The time limit is `auth_time`.
    ///
    /// # Errors
    /// The login is refused, or can't be decided now.
    fn authenticate(&self, login: Login)
    -> impl Future<Output = Result<Admission, Refusal>> + Send;
}

impl<F, V, U> Authenticator for F
where
    F: Fn(Login) -> V + Send + Sync + 'static,
    V: Future<Output = Result<U, Refusal>> + Send,
    U: Into<Admission>,
{
    async fn authenticate(&self, login: Login) -> Result<Admission, Refusal> {
        self(login).await.map(Into::into)
    }
}

/// Why a login is refused: a text for the client, and a detail for the log.
///
/// ```
/// use tce_gateway::auth::Refusal;
///
/// let refusal = Refusal::new("the token is not accepted").because("no such key");
/// assert_eq!(refusal.text(), "the token is not accepted");
/// assert_eq!(refusal.to_string(), "the token is not accepted (no such key)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    text: Cow<'static, str>,
    detail: Option<Cow<'static, str>>,
    is_temporary: bool,
}

impl Refusal {
    /// A refusal with a text that is sent to the client. It should not help to
    /// guess tokens.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            detail: None,
            is_temporary: false,
        }
    }

    /// A refusal because the authenticator can't answer now.
    #[must_use]
    pub fn unavailable() -> Self {
        Self {
            is_temporary: true,
            ..Self::new("logins are not possible at the moment; try again later")
        }
    }

    /// Adds a detail that is only logged. It must not contain a token.
    #[must_use]
    pub fn because(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// The text for the client.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the same login may succeed later, since the authenticator could
    /// not answer.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.is_temporary
    }
}

impl fmt::Display for Refusal {
    /// For the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

/// Uses the token as the user id (`auth="token"`): for closed networks, where
/// clients are trusted.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenIsUser;

impl Authenticator for TokenIsUser {
    async fn authenticate(&self, login: Login) -> Result<Admission, Refusal> {
        if login.token.is_empty() {
            return Err(Refusal::new("the first message carries no token"));
        }
        Ok(Admission::new(login.token))
    }
}

/// The maximum length of a user id, in bytes.
pub const MAX_USER_ID: usize = 256;

/// The maximum length of a token, in bytes; a longer one is refused unread.
const MAX_TOKEN: usize = 8 * 1024;

/// An [`Authenticator`] with a time limit, whose answers are checked. Clones
/// share the authenticator.
#[derive(Clone)]
pub struct AuthGuard {
    authenticator: Arc<ArcSwap<Box<dyn DynAuthenticator>>>,
    time: Duration,
    /// The gateway that its logins are counted for; `None` outside of gateways.
    gateway: Option<Arc<str>>,
}

impl AuthGuard {
    /// Limits each login to `time`.
    pub fn new(authenticator: impl Authenticator, time: Duration) -> Self {
        Self {
            authenticator: Arc::new(ArcSwap::from_pointee(Box::new(authenticator))),
            time,
            gateway: None,
        }
    }

    /// Counts its logins for a gateway.
    pub(crate) fn of_gateway(self, name: &str) -> Self {
        let gateway = Some(name.into());
        Self { gateway, ..self }
    }

    /// Replaces the authenticator, for logins from now on.
    pub(crate) fn replace(&self, authenticator: impl Authenticator) {
        self.authenticator.store(Arc::new(Box::new(authenticator)));
    }

    /// The user who logs in. Refusals are logged and counted.
    ///
    /// # Errors
    /// The authenticator refuses the login, does not answer in time, or answers
    /// with an invalid user id.
    pub async fn admit(&self, login: Login) -> Result<Admission, Refusal> {
        let (began, peer) = (Instant::now(), login.peer.clone());
        let admitted = self.decide(login).await;
        let result = match &admitted {
            Ok(_) => "admitted",
            Err(refusal) if refusal.is_temporary() => "unavailable",
            Err(_) => "refused",
        };
        let gateway = self.gateway.iter();
        let gateway = gateway.map(|name| Label::new(GATEWAY, Arc::clone(name)));
        let of_gateway: Vec<Label> = gateway.collect();
        let mut labels = of_gateway.clone();
        labels.push(Label::from_static_parts("result", result));
        ::metrics::counter!(metrics::LOGINS, labels).increment(1);
        ::metrics::histogram!(metrics::LOGIN_SECONDS, of_gateway).record(began.elapsed());
        admitted.inspect_err(|refusal| {
            static LIMIT: LogLimit = LogLimit::new();
            if LIMIT.allows("failed logins") {
                tracing::info!(peer, result, "a login failed: {refusal}");
            }
        })
    }

    async fn decide(&self, login: Login) -> Result<Admission, Refusal> {
        check_length(&login.token)?;
        let authenticator = self.authenticator.load_full();
        let decided = authenticator.authenticate(login);
        let decided = tokio::time::timeout(self.time, decided).await;
        let admission = decided.unwrap_or_else(|_| {
            let detail = format!("no answer within {:?}", self.time);
            Err(Refusal::unavailable().because(detail))
        })?;
        checked(admission)
    }
}

impl fmt::Debug for AuthGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthGuard")
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// Refuses a token that is too long to be read.
fn check_length(token: &str) -> Result<(), Refusal> {
    if token.len() > MAX_TOKEN {
        let detail = format!("it is longer than {MAX_TOKEN} bytes");
        return Err(Refusal::new("the token is not accepted").because(detail));
    }
    Ok(())
}

/// Refuses an admission whose user id is invalid.
fn checked(admission: Admission) -> Result<Admission, Refusal> {
    match invalid_reason(&admission.user) {
        Some(reason) => Err(Refusal::new("the token names an invalid user").because(reason)),
        None => Ok(admission),
    }
}

/// Why a user id is invalid. User ids appear in logs, on the wire and on the
/// admin page.
fn invalid_reason(user: &str) -> Option<String> {
    if user.is_empty() {
        Some("the user id is empty".to_owned())
    } else if user.len() > MAX_USER_ID {
        Some(format!("the user id has more than {MAX_USER_ID} bytes"))
    } else if user.contains(char::is_control) {
        Some("the user id has control characters".to_owned())
    } else if user.contains(is_invisible) {
        Some("the user id has characters that are invisible or reorder text".to_owned())
    } else {
        None
    }
}

/// Whether a device id may be used as it is: it follows the rules of user ids.
pub(crate) fn is_valid_id(id: &str) -> bool {
    invalid_reason(id).is_none()
}

/// Whether a character changes how the text around it is shown, or shows nothing:
/// line and paragraph separators, and the format characters (`Cf`) of Unicode that
/// marks of direction, joiners and tags belong to. Two user ids that look the same
/// must be the same.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

type Decision<'a> = Pin<Box<dyn Future<Output = Result<Admission, Refusal>> + Send + 'a>>;

/// The object-safe form of [`Authenticator`].
trait DynAuthenticator: Send + Sync {
    fn authenticate(&self, login: Login) -> Decision<'_>;
}

impl<T: Authenticator> DynAuthenticator for T {
    fn authenticate(&self, login: Login) -> Decision<'_> {
        Box::pin(Authenticator::authenticate(self, login))
    }
}
