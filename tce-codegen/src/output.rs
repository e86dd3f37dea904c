//! Generated files on disk: written, or compared with those that exist.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::source::origins;
use crate::{Error, GeneratedFile};

/// A file on disk that isn't what the compiler would write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleFile {
    /// Its path, relative to the output folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Staleness,
}

/// What is wrong with a [`StaleFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staleness {
    /// It does not exist.
    Missing,
    /// Its contents differ from what the IDL gives.
    Different,
    /// It was generated from a module that the IDL no longer has.
    Leftover,
}

/// Writes the files into `dir`, which is created if it does not exist, with the
/// folders that the files name.
///
/// A file that already has the right contents keeps its time of change, so that
/// cargo builds nothing again because of it.
///
/// # Errors
/// [`Error::OtherSources`], before anything is written, if a file in `dir` was
/// generated from an IDL file that its new contents don't come from;
/// [`Error::Io`], at the first file that can't be read or written.
pub fn write(files: &[GeneratedFile], dir: &Path) -> Result<(), Error> {
    for file in files {
        let path = dir.join(&file.path);
        let old = read(&path)?.and_then(|found| origins(&found));
        let new = origins(file.contents.as_bytes()).unwrap_or_default();
        if let Some(old) = old
            && old.iter().any(|name| !new.contains(name))
        {
            return Err(Error::OtherSources { path, old, new });
        }
    }
    replace(files, dir)
}

/// Like [`write()`], whatever the files in `dir` were generated from.
pub(crate) fn replace(files: &[GeneratedFile], dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(at(dir))?;
    for file in files {
        let path = dir.join(&file.path);
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder).map_err(at(folder))?;
        if read(&path)?.as_deref() != Some(file.contents.as_bytes()) {
            fs::write(&path, &file.contents).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Lists the files of `dir` that [`write()`] would change, and generated files of
/// the same language that no module of the IDL gives any more. Changes nothing.
///
/// # Errors
/// [`Error::Io`], at the first file or folder that can't be read.
pub fn check(files: &[GeneratedFile], dir: &Path) -> Result<Vec<StaleFile>, Error> {
    let mut stale = Vec::new();
    for file in files {
        let reason = match read(&dir.join(&file.path))? {
            None => Staleness::Missing,
            Some(found) if found != file.contents.as_bytes() => Staleness::Different,
            Some(_) => continue,
        };
        stale.push(StaleFile {
            path: file.path.clone(),
            reason,
        });
    }
    stale.extend(leftovers(files, dir)?.into_iter().map(|path| StaleFile {
        path,
        reason: Staleness::Leftover,
    }));
    Ok(stale)
}

/// The generated files directly in `dir` that `files` doesn't name, sorted.
fn leftovers(files: &[GeneratedFile], dir: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let expected: BTreeSet<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    let extensions: BTreeSet<Option<&OsStr>> = expected.iter().map(|p| p.extension()).collect();
    let mut found = BTreeSet::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(at(dir))?,
    };
    for entry in entries {
        let path = PathBuf::from(entry.map_err(at(dir))?.file_name());
        let candidate =
            extensions.contains(&path.extension()) && !expected.contains(path.as_path());
        if candidate && is_generated(&dir.join(&path))? {
            found.insert(path);
        }
    }
    Ok(found)
}

fn is_generated(path: &Path) -> Result<bool, Error> {
    let contents = if path.is_file() { read(path)? } else { None };
    Ok(contents.is_some_and(|contents| origins(&contents).is_some()))
}

/// The bytes of a file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io {
        path: path.to_owned(),
        source,
    }
}
