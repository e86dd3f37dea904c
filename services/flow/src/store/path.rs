//! What operators do with the file of a store while no server uses it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::file::{StoreError, failed};
use super::recovery::{Recovered, Summary, examine};
use super::writer::{Source, Store, lock};

fn io(error: std::io::Error) -> StoreError {
    failed(redb::Error::Io(error))
}

/// Looks through a store without changing it.
///
/// # Errors
///
/// [`StoreError`] if a server uses it, it does not exist, can't be read, or is damaged.
pub fn check(path: &Path) -> Result<Summary, StoreError> {
    Ok(examine(&lock(path)?, None)?.summary)
}

/// Puts a store with the state after a record in the place of one, which is kept beside it. Gives
/// where that is, and what is in the new store.
///
/// # Errors
///
/// [`StoreError`] if a server uses the store, it can't be read up to that record, or the new one
/// can't be written: then the old one is where it was.
pub fn recover_to(path: &Path, record: u64) -> Result<(PathBuf, Summary), StoreError> {
    let storage = lock(path)?;
    let Recovered {
        machine, summary, ..
    } = examine(&storage, Some(record))?;
    if summary.last != record {
        let text = format!(
            "there is no record {record}; the last one is {}",
            summary.last
        );
        return Err(io(std::io::Error::other(text)));
    }
    let new = beside(path, "new")?;
    let mut opened = Store::open(&Source::File(new.clone()))?;
    opened.store.write_snapshot(&machine, record)?;
    drop(opened);
    let old = beside(path, &format!("before-{record}"))?;
    // At no moment is there no file of this name: a server would begin an empty one.
    fs::hard_link(path, &old).map_err(io)?;
    fs::rename(&new, path).map_err(io)?;
    // Makes both names durable.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(io)?;
    folder.sync_all().map_err(io)?;
    Ok((old, summary))
}

/// A name beside a file that is not in use.
fn beside(path: &Path, ending: &str) -> Result<PathBuf, StoreError> {
    let names = (0..1000).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{ending}"));
        if number > 0 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    });
    let mut free = names.filter(|name| !name.exists());
    free.next()
        .ok_or_else(|| io(std::io::ErrorKind::AlreadyExists.into()))
}
