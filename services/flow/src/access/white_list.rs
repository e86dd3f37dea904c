//! The white list of ecFlow (ECF_LISTS): who may read and write, and below which paths.

use std::fs;
use std::io;
use std::path::Path;

/// The longest file, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Why a file is no white list.
#[derive(Debug, thiserror::Error)]
pub enum WhiteListError {
    /// It can't be read.
    #[error("can't read the white list {path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A line is wrong.
    #[error("{path}:{line}: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Users and what they may do. An empty list allows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WhiteList(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// `*`: every user.
    user: String,
    is_read_only: bool,
    /// At and below which it holds; empty: everywhere.
    paths: Vec<String>,
}

/// What a white list says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    /// The user may read alone.
    ReadOnly,
    /// The user may do nothing, here or anywhere.
    Denied,
}

impl WhiteList {
    pub(super) fn read(path: &Path) -> Result<Self, WhiteListError> {
        let io = |error| WhiteListError::Io {
            path: path.display().to_string(),
            error,
        };
        if fs::metadata(path).map_err(io)?.len() > MAX_SIZE {
            return Err(io(io::ErrorKind::FileTooLarge.into()));
        }
        let text = fs::read_to_string(path).map_err(io)?;
        Self::parse(&text).map_err(|(line, reason)| WhiteListError::Malformed {
            path: path.display().to_string(),
            line,
            reason,
        })
    }

    /// The first line that is not a comment is the version of the format; its number does not
    /// matter.
    fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut rules = Vec::new();
        let mut has_version = false;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if !has_version {
                let is_version = line.split('.').all(|part| part.parse::<u32>().is_ok());
                if !is_version {
                    return Err((number, "the first line has to be a version, such as 4.4.14"));
                }
                has_version = true;
                continue;
            }
            rules.push(rule(line).map_err(|reason| (number, reason))?);
        }
        if has_version {
            Ok(Self(rules))
        } else {
            Err((1, "the first line has to be a version, such as 4.4.14"))
        }
    }

    /// What the list says about a user who wants something of one path.
    pub(super) fn verdict(&self, user: &str, path: &str) -> Verdict {
        if self.0.is_empty() {
            return Verdict::Allowed;
        }
        let rules = self.0.iter().filter(|rule| rule.concerns(user, path));
        let is_read_only = rules.map(|rule| rule.is_read_only);
        // Of several rules the one that allows the most counts.
        match is_read_only.min() {
            Some(false) => Verdict::Allowed,
            Some(true) => Verdict::ReadOnly,
            None => Verdict::Denied,
        }
    }

    /// Whether a user may do anything at all.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|rule| rule.is_of(user))
    }
}

impl Rule {
    fn is_of(&self, user: &str) -> bool {
        self.user == "*" || self.user == user
    }

    fn concerns(&self, user: &str, path: &str) -> bool {
        let is_below = |top: &String| {
            let rest = path.strip_prefix(top.as_str());
            top == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.is_of(user) && (self.paths.is_empty() || self.paths.iter().any(is_below))
    }
}

fn rule(line: &str) -> Result<Rule, &'static str> {
    let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    let first = words.next().ok_or("there is no user")?;
    let user = first.strip_prefix('-').unwrap_or(first);
    let paths: Vec<_> = words.map(str::to_owned).collect();
    if user.is_empty() {
        return Err("there is no user");
    }
    if paths.iter().any(|path| !path.starts_with('/')) {
        return Err("a path begins with `/`");
    }
    Ok(Rule {
        user: user.to_owned(),
        is_read_only: first.starts_with('-'),
        paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_for_users_and_paths() {
        let list = WhiteList::parse(
            "# the tutorial's\n4.4.14 # version\nada\n-ben\n-* /public\ncid /s1,/s2/f\n",
        )
        .unwrap();
        for (user, path, verdict) in [
            ("ada", "/x", Verdict::Allowed),
            ("ben", "/x", Verdict::ReadOnly),
            ("eve", "/x", Verdict::Denied),
            ("eve", "/public/t", Verdict::ReadOnly),
            ("eve", "/publicity", Verdict::Denied),
            ("cid", "/s2/f/t", Verdict::Allowed),
            ("cid", "/s2", Verdict::Denied),
            ("cid", "/s1", Verdict::Allowed),
        ] {
            assert_eq!(list.verdict(user, path), verdict, "{user} {path}");
        }
        let empty = WhiteList::parse("4.4.14\n").unwrap();
        assert_eq!(empty.verdict("eve", "/"), Verdict::Allowed);
        for (text, line) in [
            ("", 1),
            ("ada\n", 1),
            ("5.9.2\nada s1\n", 2),
            ("5\n- \n", 2),
        ] {
            assert_eq!(WhiteList::parse(text).unwrap_err().0, line, "{text}");
        }
    }
}
