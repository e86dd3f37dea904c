//! The files of a package: what identifies them, and what is refused from another agent.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::idl::frame::{File, Manifest};

/// The most files of a package.
pub const MAX_FILES: usize = 10_000;
/// The most bytes of all files of a package.
pub const MAX_BYTES: u64 = 256 << 20;
/// The most folders within each other, the file included.
pub const MAX_DEPTH: usize = 32;
/// The most bytes of the name of a file or folder.
const MAX_NAME: usize = 255;
/// Of a path; the deepest one with the longest names is longer, and no system opens it.
const MAX_PATH: usize = 4096;
const FILE_MODE: i32 = 0o644;
const PROGRAM_MODE: i32 = 0o755;

/// Why the files of a package are refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A path that could lead out of the package, or that not every system has.
    #[error("the path `{path}` is refused: {reason}")]
    Path {
        /// The path, escaped.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A limit is exceeded.
    #[error("the package has more than {0}")]
    TooLarge(String),
    /// The hash in the manifest is not that of its files.
    #[error("the hash of the manifest is not that of its files")]
    Hash,
    /// A file can't be read.
    #[error("`{}`: {error}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
}

fn refused(path: &str, reason: &'static str) -> ManifestError {
    ManifestError::Path {
        path: path.escape_debug().take(200).collect(),
        reason,
    }
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text
}

/// The file with the signature of the package in whose folder it is.
pub(crate) const SIGNATURE_FILE: &str = ".signature";

/// Whether a file or folder belongs to no package: caches of Python, the history of git, signatures.
fn is_ignored(name: &str) -> bool {
    name == "__pycache__" || name == ".git" || name == SIGNATURE_FILE || name.ends_with(".pyc")
}

/// The files of a folder that `belongs` takes, in the order of their paths.
///
/// # Errors
/// A link, a device, a name or a size that [`check`] refuses, or a file that can't be read.
pub fn scan(folder: &Path, belongs: impl Fn(&str) -> bool) -> Result<Vec<File>, ManifestError> {
    let mut files = Vec::new();
    let mut left = MAX_BYTES;
    for (path, kind) in paths(folder)? {
        if !belongs(&path) {
            continue;
        }
        check_path(&path)?;
        if !kind.is_file() {
            return Err(refused(&path, "it is a link or a device"));
        }
        if files.len() == MAX_FILES {
            return Err(too_many_files());
        }
        let file = read_file(folder, path, left)?;
        left = left.saturating_sub(u64::try_from(file.size).unwrap_or(u64::MAX));
        files.push(file);
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    check(&files)?;
    Ok(files)
}

/// The paths of all that is no folder, with its type. Files that a job has made may be among them, so
/// the limit is ten times that of a package.
pub(crate) fn paths(folder: &Path) -> Result<Vec<(String, fs::FileType)>, ManifestError> {
    let mut found = Vec::new();
    let mut folders = vec![(String::new(), 0)];
    while let Some((relative, depth)) = folders.pop() {
        for (name, kind) in entries(&folder.join(&relative))? {
            let path = match relative.as_str() {
                "" => name,
                parent => format!("{parent}/{name}"),
            };
            if !kind.is_dir() {
                found.push((path, kind));
            } else if depth == MAX_DEPTH {
                return Err(refused(&path, "it has more than 32 parts"));
            } else {
                folders.push((path, depth + 1));
            }
            if found.len() + folders.len() > 10 * MAX_FILES {
                return Err(too_many_files());
            }
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<(String, fs::FileType)>, ManifestError> {
    let failed = |error| ManifestError::Read {
        path: folder.to_owned(),
        error,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().into_string().map_err(|name| {
            let name = name.to_string_lossy();
            refused(&name, "its name is not UTF-8")
        })?;
        if !is_ignored(&name) {
            found.push((name, entry.file_type().map_err(failed)?));
        }
    }
    Ok(found)
}

/// Reads a file of at most `left` bytes.
fn read_file(folder: &Path, path: String, left: u64) -> Result<File, ManifestError> {
    let full = folder.join(&path);
    let reading = || -> io::Result<(u64, String, bool)> {
        let file = fs::File::open(&full)?;
        let is_program = file.metadata()?.permissions().mode() & 0o111 != 0;
        let mut hasher = HashingWriter::default();
        let size = io::copy(&mut file.take(left + 1), &mut hasher)?;
        Ok((size, hasher.finish(), is_program))
    };
    let (size, sha256, is_program) =
        reading().map_err(|error| ManifestError::Read { path: full, error })?;
    if size > left {
        return Err(too_many_bytes());
    }
    Ok(File {
        path,
        mode: if is_program { PROGRAM_MODE } else { FILE_MODE },
        size: i64::try_from(size).unwrap_or(i64::MAX),
        sha256,
    })
}

/// The SHA-256 of what is written.
#[derive(Default)]
pub(crate) struct HashingWriter(Sha256);

impl HashingWriter {
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

impl io::Write for HashingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_many_files() -> ManifestError {
    ManifestError::TooLarge(format!("{MAX_FILES} files"))
}

fn too_many_bytes() -> ManifestError {
    ManifestError::TooLarge(format!("{} MiB", MAX_BYTES >> 20))
}

/// The identity of a package's files: the SHA-256 over the path, executable bit, size and SHA-256 of
/// each, in the order of their paths.
#[must_use]
pub fn hash(files: &[File]) -> String {
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let mut hasher = Sha256::new();
    for file in sorted {
        let bit = if is_program(file) { 'x' } else { '-' };
        // A path has no NUL, so that no two lists give the same bytes.
        let line = format!("{}\0{bit}\0{}\0{}\n", file.path, file.size, file.sha256);
        hasher.update(line.as_bytes());
    }
    hex(&hasher.finalize())
}

/// Whether a file is executable.
#[must_use]
pub fn is_program(file: &File) -> bool {
    file.mode & 0o111 != 0
}

/// Checks a manifest of another agent before anything is written.
///
/// # Errors
/// The first path, limit or hash that is refused.
pub fn check_manifest(manifest: &Manifest) -> Result<(), ManifestError> {
    check(&manifest.files)?;
    if hash(&manifest.files) == manifest.hash {
        Ok(())
    } else {
        Err(ManifestError::Hash)
    }
}

/// Checks the paths, modes and sizes of files.
///
/// # Errors
/// The first that is refused.
pub fn check(files: &[File]) -> Result<(), ManifestError> {
    if files.len() > MAX_FILES {
        return Err(too_many_files());
    }
    let mut total = 0_u64;
    let (mut paths, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for file in files {
        check_path(&file.path)?;
        if !matches!(file.mode, FILE_MODE | PROGRAM_MODE) {
            return Err(refused(&file.path, "it is neither a file nor a program"));
        }
        if file.sha256.len() != 64 || !file.sha256.bytes().all(is_hex) {
            return Err(refused(&file.path, "its SHA-256 is not one"));
        }
        let size = u64::try_from(file.size);
        let size = size.map_err(|_| refused(&file.path, "its size is negative"))?;
        total = total.saturating_add(size);
        if total > MAX_BYTES {
            return Err(too_many_bytes());
        }
        let folded = file.path.to_lowercase();
        let parents = folded.match_indices('/').map(|(at, _)| &folded[..at]);
        folders.extend(parents.map(str::to_owned));
        if !paths.insert(folded) {
            return Err(refused(
                &file.path,
                "another one differs from it only by case",
            ));
        }
    }
    match paths.intersection(&folders).next() {
        Some(both) => Err(refused(both, "it is a file and a folder")),
        None => check_case_of_folders(files),
    }
}

/// Folders that differ only by case are one on some systems.
fn check_case_of_folders(files: &[File]) -> Result<(), ManifestError> {
    let (mut exact, mut folded) = (BTreeSet::new(), BTreeSet::new());
    for file in files {
        for (at, _) in file.path.match_indices('/') {
            let folder = &file.path[..at];
            if exact.insert(folder) && !folded.insert(folder.to_lowercase()) {
                return Err(refused(folder, "another one differs from it only by case"));
            }
        }
    }
    Ok(())
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn check_path(path: &str) -> Result<(), ManifestError> {
    let refuse = |reason| Err(refused(path, reason));
    if path.len() > MAX_PATH {
        return refuse("it is too long");
    }
    if path.starts_with('/') {
        return refuse("it is absolute");
    }
    if path.contains('\\') {
        return refuse("it has a backslash");
    }
    if path.contains(char::is_control) {
        return refuse("it has a control character");
    }
    let mut depth = 0;
    for part in path.split('/') {
        depth += 1;
        match part {
            "" | "." => return refuse("a part is empty or `.`"),
            ".." => return refuse("it leads out of the package"),
            _ if part.len() > MAX_NAME => return refuse("a name has more than 255 bytes"),
            // It would be invisible to the identity.
            _ if is_ignored(part) => return refuse("it belongs to no package"),
            _ => {}
        }
    }
    if depth > MAX_DEPTH {
        return refuse("it has more than 32 parts");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(path: &str, size: i64) -> File {
        File {
            path: path.to_owned(),
            mode: FILE_MODE,
            size,
            sha256: "0".repeat(64),
        }
    }

    fn reason(files: &[File]) -> String {
        check(files).expect_err("refused").to_string()
    }

    #[test]
    fn paths_that_leave_the_package_are_refused() {
        let long = format!("{}.py", "a".repeat(254));
        let deep = ["a"; 33].join("/");
        for path in [
            "",
            "../x",
            "/etc/x",
            "a/../../x",
            "a\\x",
            "a//b",
            "a/./b",
            "a/",
            "a\0b",
            "a\nb",
            ".git/config",
            "x/__pycache__/y",
            "m.pyc",
            &long,
            &deep,
        ] {
            assert!(check(&[file(path, 1)]).is_err(), "{path:?}");
        }
        check(&[file("a/b.py", 1), file("..x", 1), file("a/c", 0)]).expect("good paths");
    }

    #[test]
    fn names_that_collide_are_refused() {
        assert!(reason(&[file("a", 1), file("A", 1)]).contains("only by case"));
        assert!(reason(&[file("D/a", 1), file("d/b", 1)]).contains("only by case"));
        assert!(reason(&[file("a", 1), file("a/b", 1)]).contains("a file and a folder"));
    }

    #[test]
    fn the_limits_hold() {
        let many: Vec<_> = (0..=MAX_FILES).map(|n| file(&format!("f{n}"), 0)).collect();
        assert!(reason(&many).contains("10000 files"));
        check(&many[1..]).expect("as many as are allowed");
        assert!(reason(&[file("a", 257 << 20)]).contains("256 MiB"));
        assert!(reason(&[file("a", -1)]).contains("negative"));
        assert!(reason(&[file("a", i64::MAX), file("b", i64::MAX)]).contains("256 MiB"));
        let link = File {
            mode: 0o120_777,
            ..file("a", 1)
        };
        assert!(reason(&[link]).contains("neither a file nor a program"));
    }

    #[test]
    fn the_identity_is_that_of_the_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("__init__.py", "x = 1\n");
        write("sub/data.txt", "");
        let identity = || hash(&scan(folder.path(), |_| true).expect("files"));
        let first = identity();
        write("__pycache__/m.pyc", "cache");
        write("old.pyc", "cache");
        write(".git/HEAD", "ref");
        assert_eq!(identity(), first);
        let program = folder.path().join("sub/data.txt");
        fs::set_permissions(program, fs::Permissions::from_mode(0o700)).expect("a mode");
        let with_bit = identity();
        assert_ne!(with_bit, first);
        write("__init__.py", "x = 2\n");
        assert_ne!(identity(), with_bit);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).expect("a link");
        let error = scan(folder.path(), |_| true)
            .expect_err("a link")
            .to_string();
        assert_eq!(
            error,
            "the path `link` is refused: it is a link or a device"
        );
    }

    proptest! {
        #[test]
        fn an_accepted_path_stays_within_its_folder(path in "[a./\\\\]{0,12}") {
            if check(&[file(&path, 0)]).is_ok() {
                let parts: Vec<_> = Path::new(&path).components().collect();
                let is_normal = |part: &std::path::Component| matches!(part, std::path::Component::Normal(_));
                prop_assert!(!parts.is_empty() && parts.iter().all(is_normal));
            }
        }

        #[test]
        fn no_manifest_panics(paths in prop::collection::vec(".{0,20}", 0..6), size in any::<i64>(), mode in any::<i32>()) {
            let files: Vec<_> = paths.iter().map(|path| File { mode, ..file(path, size) }).collect();
            let _ = check(&files);
        }
    }
}
