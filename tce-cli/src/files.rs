//! Files of the command line, where folders stand for what is in them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use crate::console::{Console, Failure};

/// The files that `paths` stand for. A folder without any is wrong use.
pub(crate) fn expand(paths: &[PathBuf], console: &mut Console) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let found = idl(path);
        if found.is_empty() {
            let folder = path.display();
            writeln!(console.err, "error: there is no .idl file in `{folder}`")?;
            return Err(Failure::Misused);
        }
        files.extend(found);
    }
    Ok(files)
}

/// The `.idl` files in a folder and in those below, by name; any other path as
/// it is. Links to folders and folders that can't be read are passed over, as
/// are those whose names begin with a dot.
pub(crate) fn idl(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !is_hidden => folders.push(path),
                Ok(kind) if !kind.is_dir() && is_idl(&path) => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

fn is_idl(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "idl")
}
