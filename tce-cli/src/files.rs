//! Files of the command line, where folders stand for what is in them.

use std::{io::Write, path::PathBuf};

use tce_idl::loader;

use crate::console::{Console, Failure};

/// The files that `paths` stand for. A folder without any is wrong use.
pub(crate) fn expand(paths: &[PathBuf], console: &mut Console) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let found = loader::idl_files(path);
        if found.is_empty() {
            let folder = path.display();
            writeln!(console.err, "error: there is no .idl file in `{folder}`")?;
            return Err(Failure::Misused);
        }
        files.extend(found);
    }
    Ok(files)
}
