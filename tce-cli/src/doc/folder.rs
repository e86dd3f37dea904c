//! The site's files on disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{links::MODULE_PAGE, site::Page};

/// Every file begins with it, so that nobody else's file is ever overwritten.
pub(super) const MARK: &str = "Written by tce doc.";

/// Within how many bytes of its start a file has the mark.
const MARK_WITHIN: usize = 64;

/// Why the site is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten {
    #[error("`{}` was not written by tce doc: choose another folder", .0.display())]
    Foreign(PathBuf),
    #[error("can't write to `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Writes all pages, or none where one would take a foreign file's place.
/// Pages of modules that are gone go too.
pub(super) fn write(pages: &[Page], folder: &Path) -> Result<(), NotWritten> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| NotWritten::Io { path, source }
    };
    for page in pages {
        let path = folder.join(&page.name);
        if path.exists() && !is_ours(&path).map_err(at(&path))? {
            return Err(NotWritten::Foreign(path));
        }
    }
    fs::create_dir_all(folder).map_err(at(folder))?;
    for page in pages {
        let path = folder.join(&page.name);
        fs::write(&path, &page.text).map_err(at(&path))?;
    }
    for path in leftovers(pages, folder).map_err(at(folder))? {
        fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok(())
}

fn is_ours(path: &Path) -> io::Result<bool> {
    let text = fs::read(path)?;
    let start = &text[..text.len().min(MARK_WITHIN)];
    Ok(String::from_utf8_lossy(start).contains(MARK))
}

/// Pages of ours in the folder that belong to no module any more.
fn leftovers(pages: &[Page], folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut leftovers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_known = pages.iter().any(|page| page.name == *name);
        let is_page = name.starts_with(MODULE_PAGE) && entry.file_type()?.is_file();
        if is_page && !is_known && is_ours(&entry.path())? {
            leftovers.push(entry.path());
        }
    }
    Ok(leftovers)
}
