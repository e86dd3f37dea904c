//! Where the token of a login comes from, if it changes.

use std::{error::Error, fmt, pin::Pin, sync::Arc, time::Duration};

use tokio::time::timeout;

type TokenResult = Result<String, Box<dyn Error + Send + Sync>>;
type TokenFuture = Pin<Box<dyn Future<Output = TokenResult> + Send>>;

/// Gives the token of a login (`__token__`): it is asked at each connect and reconnect,
/// and again when four fifths of the time of a login have passed.
///
/// It may return the same token as before while that is valid. If it fails, panics, or
/// takes longer than `connect_time`, the attempt to connect has failed, and is repeated
/// as any other one; a login that is valid stays so until it expires. After a login that
/// was refused it is asked from time to time, at least once a minute, and the connection
/// is made again when it gives another token.
///
/// ```
/// use tce_runtime::config::{Options, TokenProvider};
///
/// async fn fetch() -> Result<String, std::io::Error> {
///     Ok("A1001".to_owned())
/// }
///
/// let options = Options {
///     token_provider: Some(TokenProvider::new(fetch)),
///     ..Options::default()
/// };
/// ```
#[derive(Clone)]
pub struct TokenProvider(Arc<dyn Fn() -> TokenFuture + Send + Sync>);

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token provider {0}")]
pub(crate) struct NoToken(String);

impl TokenProvider {
    /// Asks `provide` for each token.
    #[must_use]
    pub fn new<F, V, E>(provide: F) -> Self
    where
        F: Fn() -> V + Send + Sync + 'static,
        V: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(move || {
            let token = provide();
            Box::pin(async move { token.await.map_err(Into::into) })
        }))
    }

    /// Asks for a token, for at most `limit`. A panic of the provider costs this token
    /// alone, since it runs in a task of its own.
    pub(crate) async fn token(&self, limit: Duration) -> Result<String, NoToken> {
        let provide = Arc::clone(&self.0);
        let mut asking = tokio::spawn(async move { provide().await });
        match timeout(limit, &mut asking).await {
            Ok(Ok(Ok(token))) => Ok(token),
            Ok(Ok(Err(error))) => Err(NoToken(format!("has failed: {error}"))),
            Ok(Err(_)) => Err(NoToken("has panicked".to_owned())),
            Err(_) => {
                asking.abort();
                Err(NoToken(format!("has given none within {limit:?}")))
            }
        }
    }
}

impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProvider")
    }
}
