//! The caller of a request, and whether it may make it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, RwLock};

use super::token::{TokenEntry, TokenFile, hash};
use super::white_list::{Verdict, WhiteList, WhiteListError};

/// How long what the file of tokens said counts.
const TOKEN_AGE: Duration = Duration::from_secs(1);
/// A user that a client does not name.
const NOBODY: &str = "nobody";

/// How far a listener's clients are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// They are on this machine: the user that they name counts, as in ecFlow.
    Local,
    /// Each request needs a token.
    Token,
}

/// What a request is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It reads.
    Read,
    /// It changes something.
    Write,
}

/// Why a request is refused, in ecFlow's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[ authentication failed ] {0}")]
pub struct Denied(String);

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    user: String,
    is_read_only: bool,
    /// The suites that its token is for; empty: all.
    suites: Vec<String>,
}

/// Where the rules are.
#[derive(Debug, Clone, Default)]
pub struct AccessOptions {
    /// The file of tokens.
    pub tokens: PathBuf,
    /// ECF_LISTS: the white list.
    pub white_list: Option<PathBuf>,
    /// The user that the server runs as, who may always do everything.
    pub own_user: String,
}

/// The rules of a server.
#[derive(Debug)]
pub struct Access {
    own_user: String,
    list_path: Option<PathBuf>,
    white_list: RwLock<WhiteList>,
    token_file: TokenFile,
    tokens: Mutex<KnownTokens>,
}

#[derive(Debug, Default)]
struct KnownTokens {
    entries: Vec<TokenEntry>,
    changed_at: Option<SystemTime>,
    looked_at: Option<Instant>,
}

impl Access {
    /// The rules of these files.
    ///
    /// # Errors
    ///
    /// [`WhiteListError`] if there should be a white list and there is none.
    pub fn new(options: AccessOptions) -> Result<Self, WhiteListError> {
        let path = options.white_list.as_deref();
        let white_list = path.map(WhiteList::read).transpose()?;
        Ok(Self {
            own_user: options.own_user,
            white_list: RwLock::new(white_list.unwrap_or_default()),
            list_path: options.white_list,
            token_file: TokenFile::new(options.tokens),
            tokens: Mutex::default(),
        })
    }

    /// Reads the white list again. One that is wrong changes nothing.
    ///
    /// # Errors
    ///
    /// [`WhiteListError`] if it can't be read; the server may have none.
    pub fn reload(&self) -> Result<(), WhiteListError> {
        if let Some(path) = &self.list_path {
            *self.white_list.write() = WhiteList::read(path)?;
        }
        Ok(())
    }

    /// Who makes a request: by the name that it says where that is believed, else by its token.
    ///
    /// # Errors
    ///
    /// [`Denied`] if a token is needed, and missing or unknown.
    pub fn caller(
        &self,
        trust: Trust,
        user: Option<&str>,
        token: Option<&str>,
    ) -> Result<Caller, Denied> {
        if let Some(token) = token {
            let entry = self.token(token);
            return match entry {
                Some(entry) => Ok(Caller {
                    user: entry.user,
                    is_read_only: entry.read,
                    suites: entry.suites,
                }),
                None => Err(Denied("The token is not known.".to_owned())),
            };
        }
        match trust {
            Trust::Token => Err(Denied("This listener needs a token.".to_owned())),
            Trust::Local => Ok(Caller {
                user: user.unwrap_or(NOBODY).to_owned(),
                is_read_only: false,
                suites: Vec::new(),
            }),
        }
    }

    /// Whether a caller may do something at all of these paths; of the server as a whole if there
    /// are none.
    ///
    /// # Errors
    ///
    /// [`Denied`] if it may not.
    pub fn check(&self, caller: &Caller, need: Need, paths: &[&str]) -> Result<(), Denied> {
        let user = &caller.user;
        if need == Need::Write && caller.is_read_only {
            let text = format!("User '{user}' is not allowed write access.");
            return Err(Denied(text));
        }
        let paths = if paths.is_empty() { &["/"] } else { paths };
        for path in paths {
            if !caller.reaches(path) {
                return Err(Denied(format!(
                    "User '{user}' is not allowed access to {path}."
                )));
            }
        }
        if *user == self.own_user {
            return Ok(());
        }
        let list = self.white_list.read();
        if !list.knows(user) {
            return Err(Denied(format!("User '{user}' is not allowed any access.")));
        }
        for path in paths {
            let text = match (list.verdict(user, path), need) {
                (Verdict::Allowed, _) | (Verdict::ReadOnly, Need::Read) => continue,
                (Verdict::ReadOnly, Need::Write) => {
                    format!("User '{user}' is not allowed write access.")
                }
                (Verdict::Denied, _) => format!("User '{user}' is not allowed access to {path}."),
            };
            return Err(Denied(text));
        }
        Ok(())
    }

    fn token(&self, token: &str) -> Option<TokenEntry> {
        let wanted = hash(token);
        let mut known = self.tokens.lock();
        let is_fresh = |at: Instant| at.elapsed() < TOKEN_AGE;
        if !known.looked_at.is_some_and(is_fresh) {
            known.refresh(&self.token_file);
        }
        // The hash tells nothing about the token, however long the comparison takes.
        let mut entries = known.entries.iter();
        entries.find(|entry| entry.sha256 == wanted).cloned()
    }
}

impl KnownTokens {
    /// Reads the file if it has changed. One that is wrong holds no token.
    fn refresh(&mut self, file: &TokenFile) {
        self.looked_at = Some(Instant::now());
        let changed_at = fs::metadata(file.path()).and_then(|file| file.modified());
        let changed_at = changed_at.ok();
        if changed_at.is_some() && changed_at == self.changed_at {
            return;
        }
        self.changed_at = changed_at;
        self.entries = file.read().unwrap_or_else(|error| {
            tracing::error!("{error}");
            Vec::new()
        });
    }
}

impl Caller {
    /// The name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether its token is for some suites alone.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        !self.suites.is_empty()
    }

    /// Whether its token is for a path. The server itself is for those that are not limited.
    #[must_use]
    pub fn reaches(&self, path: &str) -> bool {
        if self.suites.is_empty() {
            return true;
        }
        let suite = path.trim_start_matches('/').split(['/', ':']).next();
        self.suites
            .iter()
            .any(|known| Some(known.as_str()) == suite)
    }
}
