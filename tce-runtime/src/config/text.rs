//! The text of a configuration file.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::problem::Problems;

/// The bytes that a file may have: some thousand endpoints.
pub const LARGEST: usize = 1 << 20;

/// The text of the file, without the mark that some editors begin it with.
///
/// # Errors
/// A file that can't be read, is larger than 1 MiB or no UTF-8.
pub fn read(path: &Path) -> Result<String, Problems> {
    let file_name = path.display().to_string();
    let bytes = read_bytes(path).map_err(|error| {
        let message = format!("the file can't be read: {error}");
        Problems::one(&file_name, None, message)
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Problems::one(&file_name, line, "this is no UTF-8; save the file as UTF-8")
    })?;
    check_length(text, &file_name)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
}

/// # Errors
/// A text that is larger than 1 MiB.
pub fn check_length(text: &str, file_name: &str) -> Result<(), Problems> {
    if text.len() <= LARGEST {
        return Ok(());
    }
    let message = format!("the file has more than {LARGEST} bytes");
    Err(Problems::one(file_name, None, message))
}

/// One byte more than is allowed tells a file that is too large.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
