//! The files of the site on disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::links::MODULE_PAGE;

/// Marks the files that `tce doc` has written: it overwrites no other files.
pub(super) const MARK: &str = "Written by tce doc.";

/// The mark ends within this number of bytes from the start of a file.
const MARK_WITHIN: usize = 64;

/// A file of the site.
pub(super) struct SiteFile {
    pub(super) name: String,
    pub(super) text: String,
}

/// Why the site can't be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("`{}` was not written by tce doc: choose another folder", .0.display())]
    Foreign(PathBuf),
    #[error("can't write to `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Writes all files, and deletes the pages of modules that no longer exist. Writes nothing if a file
/// of the same name has no mark.
pub(super) fn write(files: &[SiteFile], folder: &Path) -> Result<(), WriteError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError::Io { path, source }
    };
    for file in files {
        let path = folder.join(&file.name);
        if path.exists() && !has_mark(&path).map_err(at(&path))? {
            return Err(WriteError::Foreign(path));
        }
    }
    fs::create_dir_all(folder).map_err(at(folder))?;
    for file in files {
        let path = folder.join(&file.name);
        fs::write(&path, &file.text).map_err(at(&path))?;
    }
    for path in leftovers(files, folder).map_err(at(folder))? {
        fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok(())
}

fn has_mark(path: &Path) -> io::Result<bool> {
    let text = fs::read(path)?;
    let start = &text[..text.len().min(MARK_WITHIN)];
    Ok(String::from_utf8_lossy(start).contains(MARK))
}

/// Pages in the folder, with the mark, of modules that no longer exist.
fn leftovers(files: &[SiteFile], folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut leftovers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_known = files.iter().any(|file| file.name == *name);
        let is_page = name.starts_with(MODULE_PAGE) && entry.file_type()?.is_file();
        if is_page && !is_known && has_mark(&entry.path())? {
            leftovers.push(entry.path());
        }
    }
    Ok(leftovers)
}
