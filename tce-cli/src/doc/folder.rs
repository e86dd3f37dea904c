//! The files of the site on disk.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path, PathBuf},
};

use serde_json::json;
use tce_idl::loader;

use super::links::MODULE_PAGE;

/// Marks the files that `tce doc` has written: it overwrites no other files.
pub(super) const MARK: &str = "Written by tce doc.";

/// The mark ends within this number of bytes from the start of a file.
const MARK_WITHIN: usize = 64;

/// The script in which a line lists the IDL files of the site.
pub(super) const ENTRIES: &str = "entries.js";

/// Begins that line, which ends with a list in JSON and `;`.
const SOURCES: &str = "const SOURCES = ";

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
    #[error(
        "`{}` documents {}, too, whose pages would be lost: name all files in one command, or \
         choose another folder",
        folder.display(), missing.join(", ")
    )]
    OtherSources {
        folder: PathBuf,
        missing: Vec<String>,
    },
    #[error("can't write to `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Writes all files, and deletes the pages of modules that no longer exist. Writes nothing if a file
/// of the same name has no mark, or if the folder documents an IDL file that still exists and is not
/// one of `sources`. `given` are those of the command line.
pub(super) fn write(
    mut files: Vec<SiteFile>,
    given: &[PathBuf],
    sources: &[PathBuf],
    folder: &Path,
) -> Result<usize, WriteError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError::Io { path, source }
    };
    for file in files.iter_mut().filter(|file| file.name == ENTRIES) {
        file.text += &source_list(given, folder);
    }
    for file in &files {
        let path = folder.join(&file.name);
        if path.exists() && !has_mark(&path).map_err(at(&path))? {
            return Err(WriteError::Foreign(path));
        }
    }
    let missing = missing_sources(sources, folder);
    if !missing.is_empty() {
        let folder = folder.to_owned();
        return Err(WriteError::OtherSources { folder, missing });
    }
    fs::create_dir_all(folder).map_err(at(folder))?;
    for file in &files {
        let path = folder.join(&file.name);
        fs::write(&path, &file.text).map_err(at(&path))?;
    }
    for path in leftovers(&files, folder).map_err(at(folder))? {
        fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok(files.len())
}

/// The line that lists the IDL files of a site, as paths from its folder.
fn source_list(given: &[PathBuf], folder: &Path) -> String {
    let folder = absolute(folder);
    let paths: BTreeSet<String> = given
        .iter()
        .map(|path| between(&folder, &absolute(path)).display().to_string())
        .collect();
    format!("{SOURCES}{};\n", json!(paths))
}

/// The IDL files of the site in `folder` that exist and are not among `sources`.
fn missing_sources(sources: &[PathBuf], folder: &Path) -> Vec<String> {
    let sources: Vec<PathBuf> = sources.iter().map(|path| absolute(path)).collect();
    let entries = fs::read_to_string(folder.join(ENTRIES)).unwrap_or_default();
    let list = entries
        .lines()
        .filter_map(|line| line.strip_prefix(SOURCES)?.strip_suffix(';'))
        .find_map(|list| serde_json::from_str::<Vec<String>>(list).ok());
    let listed = list.iter().flatten().map(|path| folder.join(path));
    listed
        .filter(|path| path.is_file() && !sources.contains(&absolute(path)))
        .map(|path| loader::plain(&path).display().to_string())
        .collect()
}

/// The same path for all paths of one file.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize()
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}

/// The path from a folder to a file, both absolute.
fn between(folder: &Path, file: &Path) -> PathBuf {
    let shared = folder
        .components()
        .zip(file.components())
        .take_while(|(one, other)| one == other)
        .count();
    let up = folder
        .components()
        .skip(shared)
        .map(|_| Component::ParentDir);
    up.chain(file.components().skip(shared)).collect()
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
