//! Where files come from: the only module that accesses the file system.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use crate::source::{self, FileId, SourceMap};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// Reads files for the compiler.
pub trait Loader {
    /// The bytes of a file.
    ///
    /// # Errors
    /// The file can't be read. After [`io::ErrorKind::NotFound`], an import tries the next folder.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The same path for all paths of one file, so that it is read only once.
    fn identity(&self, path: &Path) -> PathBuf;

    /// The names of the files in a folder that are not hidden, to suggest one for a
    /// misspelt import; empty if unknown.
    fn list(&self, folder: &Path) -> Vec<String>;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSystem;

impl Loader for FileSystem {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        use io::Read;
        let mut bytes = Vec::new();
        // One byte more than the limit distinguishes a file that is too large from one that just fits.
        let limit = MAX_FILE_BYTES as u64 + 1;
        fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        // A file that does not exist yet keeps its identity when it is created.
        let of_missing = || {
            let folder = path.parent()?;
            Some(folder.canonicalize().ok()?.join(path.file_name()?))
        };
        path.canonicalize()
            .ok()
            .or_else(of_missing)
            .unwrap_or_else(|| path.to_owned())
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !is_hidden(name))
            .collect()
    }
}

/// The file called `name` in `folder`, or in the nearest folder above it. Its
/// path is relative to the working folder if `folder` is.
#[must_use]
pub fn find_upwards(folder: &Path, name: &str) -> Option<PathBuf> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let depth = std::path::absolute(here).map_or(0, |path| path.components().count());
    let mut folder = folder.to_owned();
    for _ in 0..depth {
        let candidate = folder.join(name);
        if candidate.is_file() {
            return Some(candidate);
        }
        match folder.components().next_back() {
            Some(Component::Normal(_)) => {
                folder.pop();
            }
            Some(Component::RootDir | Component::Prefix(_)) => return None,
            Some(Component::CurDir) => folder = PathBuf::from(".."),
            Some(Component::ParentDir) | None => folder.push(".."),
        }
    }
    None
}

/// The `.idl` files in a folder and its subfolders, sorted; a path that is not a
/// folder is returned unchanged. Skips folders that can't be read, symbolic links
/// to folders and to nothing, pipes and devices, and everything whose name begins
/// with a dot: editors and file systems keep files of their own beside others,
/// such as `.#shop.idl` and `._shop.idl`.
#[must_use]
pub fn idl_files(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if is_hidden(&entry.file_name().to_string_lossy()) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                // Follows symbolic links to files.
                Ok(_) if is_idl(&path) && path.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

/// Whether the name of a file or folder hides it: whether a walk over its folder
/// skips it.
#[must_use]
pub fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

fn is_idl(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "idl")
}

/// A path without `.`, and without `..` as far as possible, without access to the file system.
#[must_use]
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// Files in memory, for tests, fuzzing and editors.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Memory {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, or replaces it.
    #[must_use]
    pub fn with(mut self, path: impl AsRef<Path>, bytes: impl Into<Vec<u8>>) -> Self {
        self.files
            .insert(self.identity(path.as_ref()), bytes.into());
        self
    }
}

impl Loader for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files
            .get(&self.identity(path))
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn identity(&self, path: &Path) -> PathBuf {
        plain(path)
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let folder = self.identity(folder);
        let inside = self
            .files
            .keys()
            .filter(|path| path.parent() == Some(&folder));
        inside
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect()
    }
}

/// Adds a file to `sources`. Reports to `sink` if it is too large or not UTF-8.
pub(crate) fn add_text(
    bytes: Vec<u8>,
    path: &Path,
    sources: &mut SourceMap,
    sink: &mut Diagnostics,
) -> Option<FileId> {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!(
            "`{}` is larger than {} MiB",
            path.display(),
            MAX_FILE_BYTES >> 20
        );
        sink.push(Diagnostic::new(Code::FileTooLarge, message));
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => {
            let text = text
                .strip_prefix('\u{feff}')
                .map(str::to_owned)
                .unwrap_or(text);
            Some(sources.add(path.to_owned(), text))
        }
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let valid = String::from_utf8_lossy(valid);
            // A text that ends with a line end has one line more.
            let line = source::lines_with_ends(&format!("{valid}.")).count();
            let message = format!(
                "`{}` is not UTF-8: line {line} has an invalid byte",
                path.display()
            );
            let diagnostic = Diagnostic::new(Code::NotUtf8, message).help("save the file as UTF-8");
            sink.push(diagnostic);
            None
        }
    }
}

/// Reports a file of the command line that can't be read, with the name that may be meant.
pub(crate) fn unreadable(loader: &dyn Loader, path: &Path, error: &io::Error) -> Diagnostic {
    let message = format!("can't read `{}`: {}", path.display(), reason(error));
    let diagnostic = Diagnostic::new(Code::UnreadableFile, message);
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let near = match error.kind() {
        io::ErrorKind::NotFound => nearest(&name, &loader.list(folder)),
        _ => None,
    };
    match near {
        Some(near) => diagnostic.help(format!("did you mean `{}`?", folder.join(near).display())),
        None => diagnostic,
    }
}

/// Why a file could not be read; the common reasons have the same text on every platform.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_above_is_found() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir(root.path().join("a/name")).unwrap();
        fs::write(root.path().join("name"), "").unwrap();
        let found = Some(root.path().join("name"));
        assert_eq!(
            find_upwards(&inner, "name"),
            found,
            "a folder does not count"
        );
        assert_eq!(find_upwards(root.path(), "name"), found);
        assert_eq!(find_upwards(&inner, "there is no such file"), None);
        let up = find_upwards(Path::new("tests"), "Cargo.toml");
        assert_eq!(up.as_deref(), Some(Path::new("Cargo.toml")));
        let up = find_upwards(Path::new("./tests/../.."), "LICENSE");
        assert_eq!(up.as_deref(), Some(Path::new("./tests/../../LICENSE")));
        let up = find_upwards(Path::new(""), "LICENSE");
        assert_eq!(up.as_deref(), Some(Path::new("../LICENSE")));
    }

    #[cfg(unix)]
    #[test]
    fn a_walk_skips_what_no_one_has_named() {
        use std::os::unix::fs::symlink;
        use std::os::unix::net::UnixListener;
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["inner", "folder.idl", ".git", "elsewhere"] {
            fs::create_dir(at(folder)).unwrap();
        }
        let files = [
            "a.idl",
            "inner/b.idl",
            "folder.idl/c.idl",
            "elsewhere/d.txt",
        ];
        let hidden = ["._a.idl", ".idl", ".git/a.idl", "inner/.b.idl"];
        for file in files.iter().chain(&hidden) {
            fs::write(at(file), "").unwrap();
        }
        symlink("ann@host.4711:1700000000", at(".#a.idl")).unwrap();
        symlink("nowhere", at("dangling.idl")).unwrap();
        symlink("elsewhere", at("link.idl")).unwrap();
        symlink(".", at("circle")).unwrap();
        symlink("elsewhere/d.txt", at("d.idl")).unwrap();
        let _socket = UnixListener::bind(at("socket.idl")).unwrap();
        let found = idl_files(root.path());
        let expected = ["a.idl", "d.idl", "folder.idl/c.idl", "inner/b.idl"];
        assert_eq!(found, expected.map(at));
        let mut names = FileSystem.list(root.path());
        names.sort();
        assert_eq!(names, ["a.idl", "d.idl"], "none of the others is suggested");
        // What the user names is read, whatever it is called.
        assert_eq!(idl_files(&at(".git")), [at(".git/a.idl")]);
        assert_eq!(idl_files(&at("._a.idl")), [at("._a.idl")]);
    }
}
