//! Where an earlier version's files come from.

use std::path::{Path, PathBuf};

use tce_idl::loader::{self, FileSystem, Loader};

/// The files of a version.
pub(super) trait Tree: Loader {
    /// The `.idl` files at a path: those in a folder and below, or the file; none where neither is.
    fn idl(&self, path: &Path) -> Vec<PathBuf>;
}

impl Tree for FileSystem {
    fn idl(&self, path: &Path) -> Vec<PathBuf> {
        match path.exists() {
            true => loader::idl_files(path),
            false => Vec::new(),
        }
    }
}
