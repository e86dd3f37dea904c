//! Tokens of operators: the server keeps their hashes alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What each token begins with, so that people and scanners of secrets know it.
const PREFIX: &str = "tceflow_";

/// A token, as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// Whose it is.
    pub user: String,
    /// The SHA-256 of the token, in hexadecimal digits.
    pub sha256: String,
    /// Whether it is for reading alone.
    pub read: bool,
    /// The suites that it is for; empty: all.
    pub suites: Vec<String>,
}

/// Why the file of tokens can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It can't be read or written.
    #[error("can't use the tokens in {path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// It holds something else.
    #[error("{path} does not hold tokens: {error}")]
    Malformed {
        /// The file.
        path: String,
        /// Why.
        error: serde_json::Error,
    },
    /// There is no token of this user.
    #[error("{0} has no token")]
    Unknown(String),
}

/// The file of tokens.
#[derive(Debug, Clone)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// The file, which need not exist.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// All tokens.
    ///
    /// # Errors
    ///
    /// [`TokenError`] if there is a file and it can't be read.
    pub fn read(&self) -> Result<Vec<TokenEntry>, TokenError> {
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.io(error)),
        };
        serde_json::from_slice(&text).map_err(|error| TokenError::Malformed {
            path: self.0.display().to_string(),
            error,
        })
    }

    /// Makes a token from 32 random bytes, and gives it: it is not kept.
    ///
    /// # Errors
    ///
    /// [`TokenError`] if the file can't be read or written.
    pub fn add(
        &self,
        user: &str,
        read: bool,
        suites: Vec<String>,
        random: [u8; 32],
    ) -> Result<String, TokenError> {
        let token = format!("{PREFIX}{}", hexadecimal(&random));
        let mut entries = self.read()?;
        entries.push(TokenEntry {
            user: user.to_owned(),
            sha256: hash(&token),
            read,
            suites,
        });
        self.write(&entries)?;
        Ok(token)
    }

    /// Removes all tokens of a user, and tells how many they were.
    ///
    /// # Errors
    ///
    /// [`TokenError`] if the user has none, or the file can't be read or written.
    pub fn revoke(&self, user: &str) -> Result<usize, TokenError> {
        let mut entries = self.read()?;
        let before = entries.len();
        entries.retain(|entry| entry.user != user);
        if entries.len() == before {
            return Err(TokenError::Unknown(user.to_owned()));
        }
        self.write(&entries)?;
        Ok(before - entries.len())
    }

    /// Replaces the file at once: a server that reads it sees the old one or the new one.
    fn write(&self, entries: &[TokenEntry]) -> Result<(), TokenError> {
        let mut new = self.0.clone().into_os_string();
        new.push(".new");
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file: File = options.open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(entries)?)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, &self.0)
        };
        write().map_err(|error| self.io(error))
    }

    fn io(&self, error: io::Error) -> TokenError {
        TokenError::Io {
            path: self.0.display().to_string(),
            error,
        }
    }
}

/// The hash under which a token is known.
pub(super) fn hash(token: &str) -> String {
    hexadecimal(&Sha256::digest(token.as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_as_its_hash_until_it_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("tokens"));
        let token = file.add("ada", true, vec!["s".into()], [7; 32]).unwrap();
        file.add("ben", false, Vec::new(), [8; 32]).unwrap();
        let entries = file.read().unwrap();
        assert_eq!(entries[0].sha256, hash(&token));
        assert!(!fs::read_to_string(file.path()).unwrap().contains(&token));
        assert_eq!(file.revoke("ada").unwrap(), 1);
        assert!(file.revoke("ada").is_err());
        assert_eq!(file.read().unwrap().len(), 1);
    }
}
