//! Where scripts are, and what can be wrong with them.

use std::fmt;
use std::io::{Error, ErrorKind};

use super::Flavor;
use super::command;
use super::variables::Variables;

/// How deep files include others, and values of variables name variables.
pub const MAX_DEPTH: usize = 16;

/// How long a file, or a job, may be, in bytes.
pub const MAX_SIZE: usize = 4 << 20;

/// Reads files.
pub trait Loader {
    /// The bytes of a file.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such file, if it can't be read, or if it is longer than
    /// [`MAX_SIZE`].
    fn read(&self, path: &str) -> Result<Vec<u8>, Error>;
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path of the file, or the name of the variable that holds the text.
    pub file: Box<str>,
    /// The number of the line, from 1.
    pub line: u32,
}

impl Place {
    pub(super) fn new(file: &str, line: u32) -> Self {
        Self {
            file: file.into(),
            line,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// Why there is no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No file is the script.
    #[error("no script; tried {}", .0.join(", "))]
    NoScript(Vec<String>),
    /// The script can't become a job.
    #[error("{place}: {text}")]
    Edit {
        /// Where.
        place: Place,
        /// Why.
        text: String,
    },
}

impl TemplateError {
    pub(super) fn edit(place: Place, text: impl fmt::Display) -> Self {
        Self::Edit {
            place,
            text: text.to_string(),
        }
    }

    pub(super) fn unreadable(place: Place, path: &str, error: &Error) -> Self {
        Self::edit(place, format_args!("can not read {path}: {error}"))
    }
}

/// Whether there is no such file, so that the next place is tried.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Where the script of a task may be, in the order in which the places are tried: the user's; else
/// below ECF_HOME by the path; else below ECF_FILES and below ECF_HOME by the path without its
/// first names, or with ECF_FILES_LOOKUP `prune_leaf` without its last ones.
pub(super) fn candidates(variables: &Variables) -> Result<Vec<String>, TemplateError> {
    let flavor = if variables.is_takler() {
        Flavor::Takler
    } else {
        Flavor::Ecflow
    };
    if let Some(script) = variables.script() {
        return Ok(vec![command(flavor, "ECF_SCRIPT", script, variables)?]);
    }
    let ending = variables.get("ECF_EXTN").unwrap_or(".ecf");
    let path = variables.path();
    let home = variables.get("ECF_HOME").unwrap_or(".");
    let home = command(Flavor::Ecflow, "ECF_HOME", home, variables)?;
    let mut found = vec![format!("{home}{path}{ending}")];
    let is_leaf_pruned = variables.get("ECF_FILES_LOOKUP") == Some("prune_leaf");
    let names: Vec<_> = path.split('/').skip(1).collect();
    let Some(task) = names.last() else {
        return Ok(found);
    };
    for folder in [variables.get("ECF_FILES"), Some(&*home)]
        .into_iter()
        .flatten()
    {
        let folder = command(Flavor::Ecflow, "ECF_FILES", folder, variables)?;
        for cut in 0..names.len() {
            let parents = names.len() - 1;
            let kept = if is_leaf_pruned {
                &names[..parents - cut]
            } else {
                &names[cut..parents]
            };
            let mut place = folder.clone();
            for name in kept.iter().chain([task]) {
                place.push('/');
                place.push_str(name);
            }
            place.push_str(ending);
            if !found.contains(&place) {
                found.push(place);
            }
        }
    }
    Ok(found)
}
