//! Who a client is: an [`Authenticator`] turns the token of its first message
//! into a user id, or refuses it (`spec/gateway.md`, Users).

mod guard;
mod interface;
mod jwt;
mod refusal;
mod token;

use std::fmt;

pub use guard::{Guard, MAX_USER_ID};
pub use interface::{AUTHENTICATOR_INDEX, ByInterface};
pub use jwt::{BadJwtKey, Jwt, JwtAlgorithm, JwtOptions, UnknownAlgorithm};
pub use refusal::Refusal;
pub use token::TokenIsUser;

/// What a client says of itself with its first message.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// `__token__`; empty where the client sent none.
    pub token: String,
    /// `__device_id__`.
    pub device_id: Option<String>,
    /// The address that the client connected from, for the log.
    pub peer: String,
}

impl fmt::Debug for Login {
    /// Without the token: whoever reads a log must not log in with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("device_id", &self.device_id)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Decides who a client is.
///
/// An `async fn` in an `impl` does, and so does a closure:
///
/// ```
/// use tce_gateway::auth::{Authenticator, Login, Refusal};
///
/// struct Staff;
///
/// impl Authenticator for Staff {
///     async fn authenticate(&self, login: Login) -> Result<String, Refusal> {
///         match login.token.strip_prefix("staff-") {
///             Some(name) => Ok(name.to_owned()),
///             None => Err(Refusal::new("staff only")),
///         }
///     }
/// }
///
/// fn anybody() -> impl Authenticator {
///     |login: Login| async move { Ok(login.token) }
/// }
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// The id of the user who logs in: 1 to [`MAX_USER_ID`] bytes without
    /// control characters, or nobody is let in. The gateway gives it `auth_time`.
    fn authenticate(&self, login: Login) -> impl Future<Output = Result<String, Refusal>> + Send;
}

impl<F, V> Authenticator for F
where
    F: Fn(Login) -> V + Send + Sync + 'static,
    V: Future<Output = Result<String, Refusal>> + Send,
{
    fn authenticate(&self, login: Login) -> impl Future<Output = Result<String, Refusal>> + Send {
        self(login)
    }
}
