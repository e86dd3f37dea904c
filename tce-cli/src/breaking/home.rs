//! Where the paths of the new version lead in the earlier one.

use std::{
    env,
    path::{Path, PathBuf},
};

/// What stands in for the working folder, and for another that it is below.
pub(super) struct Home {
    /// What relative paths start from.
    folder: PathBuf,
    /// What absolute paths are below, and what stands in for that.
    base: (PathBuf, PathBuf),
}

impl Home {
    /// `folder` instead of the working folder.
    pub(super) fn new(folder: PathBuf) -> Result<Self, String> {
        let here = env::current_dir();
        let here = here.map_err(|error| format!("there is no working folder: {error}"))?;
        let base = (here, folder.clone());
        Ok(Self { folder, base })
    }

    /// The same, with all of `from` found below `to`.
    pub(super) fn within(folder: PathBuf, from: PathBuf, to: PathBuf) -> Self {
        let base = (from, to);
        Self { folder, base }
    }

    /// Where `path` is in the earlier version; nowhere else than now, if it is in none of the folders.
    pub(super) fn find(&self, path: &Path) -> PathBuf {
        let (from, to) = &self.base;
        match path.strip_prefix(from) {
            Ok(inside) => to.join(inside),
            // Joining keeps an absolute path.
            Err(_) => self.folder.join(path),
        }
    }
}
