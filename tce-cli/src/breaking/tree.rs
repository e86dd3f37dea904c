//! The files of a version, and where the paths of the command line are in an earlier one.

use std::{
    env,
    path::{Path, PathBuf},
};

use tce_idl::loader::{self, FileSystem, Loader};

/// The files of a version.
pub(super) trait SourceTree: Loader {
    /// The `.idl` files at a path: the file itself, or those in the folder and below; empty if the
    /// path does not exist.
    fn idl_files(&self, path: &Path) -> Vec<PathBuf>;
}

impl SourceTree for FileSystem {
    fn idl_files(&self, path: &Path) -> Vec<PathBuf> {
        match path.exists() {
            true => loader::idl_files(path),
            false => Vec::new(),
        }
    }
}

/// Maps paths of the present version to paths of the earlier version.
pub(super) struct PathMapping {
    /// Replaces the working folder in relative paths.
    folder: PathBuf,
    /// Start of absolute paths, and its replacement.
    base: (PathBuf, PathBuf),
}

impl PathMapping {
    /// `folder` replaces the working folder, in relative and absolute paths.
    pub(super) fn new(folder: PathBuf) -> Result<Self, String> {
        let here = env::current_dir();
        let here = here.map_err(|error| format!("can't find the working folder: {error}"))?;
        let base = (here, folder.clone());
        Ok(Self { folder, base })
    }

    /// `folder` replaces the working folder in relative paths; `to` replaces `from` at the start of
    /// absolute paths.
    pub(super) fn with_base(folder: PathBuf, from: PathBuf, to: PathBuf) -> Self {
        let base = (from, to);
        Self { folder, base }
    }

    /// The path in the earlier version. A path outside of both folders stays as it is.
    pub(super) fn map(&self, path: &Path) -> PathBuf {
        let (from, to) = &self.base;
        match path.strip_prefix(from) {
            Ok(inside) => to.join(inside),
            // Joining keeps an absolute path.
            Err(_) => self.folder.join(path),
        }
    }
}
