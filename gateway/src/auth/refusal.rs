//! Why a client is not let in.

use std::{borrow::Cow, fmt};

/// Why a client is not let in: words for the client, and more for the log.
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
    /// A refusal with words that the client gets to read. They should not help
    /// whoever guesses tokens.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            detail: None,
            is_temporary: false,
        }
    }

    /// Nobody could say who the client is; later somebody may.
    #[must_use]
    pub fn unavailable() -> Self {
        Self {
            is_temporary: true,
            ..Self::new("nobody can log in at the moment; try again later")
        }
    }

    /// The same with the reason, for the log alone. No token belongs in it.
    #[must_use]
    pub fn because(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// What the client gets to read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the same client may be let in later: the one who decides could
    /// not be asked.
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
