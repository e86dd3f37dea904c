//! Where packages may be installed, and adding one to the frame's file.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use saphyr_parser::{Event, Parser, Span};
use tce_runtime::config::problem::{self, Problems};

use crate::{
    config::FrameConfig,
    deployment::{DeployError, STATE_FOLDER, write_atomically},
};

/// Why a package is not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The path is outside of `install_root`, or within the agent's own files.
    #[error("`{}` is not within `{}`, where packages are installed (`install_root`)", path.display(), root.display())]
    Outside {
        /// The path, after links are resolved.
        path: PathBuf,
        /// The root.
        root: PathBuf,
    },
    /// The folder has files.
    #[error("`{}` has files already", .0.display())]
    NotEmpty(PathBuf),
    /// The frame's file can't be read.
    #[error("{0}")]
    Config(#[from] Problems),
    /// The frame's file is written in a form that can't be edited.
    #[error("`{}`: add `- {entry}` to `path` by hand: the list is written in a form that can't be edited", file.display())]
    Form {
        /// The frame's file.
        file: PathBuf,
        /// What is to be added.
        entry: String,
    },
    /// The file can't be written.
    #[error("{0}")]
    Write(#[from] DeployError),
    /// The path can't be looked up.
    #[error("`{}`: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
}

/// The folder for a package, absolute; relative paths count from `install_root`. It is within the root
/// also after links are resolved, and empty or missing.
///
/// # Errors
/// [`InstallError::Outside`], [`InstallError::NotEmpty`], or a folder that can't be looked up.
pub fn target(install_root: &Path, path: &str) -> Result<PathBuf, InstallError> {
    let failed = |path: &Path, error| InstallError::Io {
        path: path.to_owned(),
        error,
    };
    let root = fs::canonicalize(install_root).map_err(|error| failed(install_root, error))?;
    let outside = |path: &Path| InstallError::Outside {
        path: path.to_owned(),
        root: root.clone(),
    };
    if path.contains('\0') {
        return Err(outside(Path::new("a path with NUL")));
    }
    let wanted = install_root.join(path);
    // The deepest folder that exists is resolved; what follows it is made.
    let mut existing = wanted.clone();
    let mut missing = Vec::new();
    let resolved = loop {
        match fs::canonicalize(&existing) {
            Ok(resolved) => break resolved,
            // A link that leads nowhere would be followed when the folder is made.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && existing.symlink_metadata().is_err() =>
            {
                match existing.components().next_back() {
                    Some(Component::Normal(name)) => missing.push(name.to_owned()),
                    _ => return Err(outside(&wanted)),
                }
                if !existing.pop() {
                    return Err(outside(&wanted));
                }
            }
            Err(error) => return Err(failed(&existing, error)),
        }
    };
    let mut target = resolved;
    target.extend(missing.iter().rev());
    match target.strip_prefix(&root) {
        Ok(inner)
            if inner
                .components()
                .next()
                .is_some_and(|first| first.as_os_str() != STATE_FOLDER) => {}
        _ => return Err(outside(&target)),
    }
    match fs::read_dir(&target) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(InstallError::NotEmpty(target)),
            None => Ok(target),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(target),
        Err(error) => Err(failed(&target, error)),
    }
}

/// Adds a folder to `path` of the frame's file; all else in the file stays as it is, comments too.
///
/// # Errors
/// The file can't be read or written, or its form can't be edited; then it is unchanged.
pub fn add_path(file: &Path, folder: &Path) -> Result<(), InstallError> {
    let source = problem::read_text(file)?;
    let config = FrameConfig::parse(&source, file)?;
    if config.paths.iter().any(|(path, _)| path == folder) {
        return Ok(());
    }
    let base = file
        .parent()
        .and_then(|parent| std::path::absolute(parent).ok());
    let relative = base
        .as_ref()
        .and_then(|base| folder.strip_prefix(base).ok());
    let entry = match relative {
        Some(relative) => format!("./{}", relative.display()),
        None => folder.display().to_string(),
    };
    let entry = scalar(&entry);
    let form = || InstallError::Form {
        file: file.to_owned(),
        entry: entry.clone(),
    };
    let edited = inserted(&source, &entry).ok_or_else(form)?;
    // What counts is how the file reads afterwards.
    let paths = |config: &FrameConfig| {
        config
            .paths
            .iter()
            .map(|(path, _)| path.clone())
            .collect::<Vec<_>>()
    };
    let mut expected = paths(&config);
    expected.push(folder.to_owned());
    let reread = FrameConfig::parse(&edited, file).map_err(|_| form())?;
    if paths(&reread) != expected {
        return Err(form());
    }
    Ok(write_atomically(file, edited.as_bytes())?)
}

/// A text as a YAML scalar.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "./_-".contains(c);
    if text.chars().all(is_plain) && !text.starts_with('-') {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// The text with another item at the end of the list under `path`.
fn inserted(source: &str, entry: &str) -> Option<String> {
    let list = list_of_paths(source)?;
    let byte = |character: usize| {
        source
            .char_indices()
            .nth(character)
            .map_or(source.len(), |(at, _)| at)
    };
    let start = byte(list.span.start.index());
    if source.get(start..)?.starts_with('[') {
        let (at, text) = match list.last {
            Some(last) => (byte(last.end.index()), format!(", {entry}")),
            None => (start + 1, entry.to_owned()),
        };
        return Some(format!("{}{text}{}", &source[..at], &source[at..]));
    }
    // The new item has the indentation and the dash of the last one.
    let item = byte(list.last?.start.index());
    let line = source[..item].rfind('\n').map_or(0, |at| at + 1);
    let indentation = &source[line..item];
    if indentation.trim() != "-" {
        return None;
    }
    let end = byte(list.last?.end.index());
    let end = source[end..].find('\n').map_or(source.len(), |at| end + at);
    let (before, after) = source.split_at(end);
    Some(format!("{before}\n{indentation}{entry}{after}"))
}

/// The list under the key `path` of the file.
struct PathList {
    span: Span,
    /// The last item.
    last: Option<Span>,
}

fn list_of_paths(source: &str) -> Option<PathList> {
    let mut parser = Parser::new_from_str(source);
    let mut depth = 0_usize;
    let (mut is_key, mut is_path) = (true, false);
    let mut list: Option<PathList> = None;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.ok()?;
        match event {
            Event::SequenceStart(..) if depth == 1 && is_path => {
                list = Some(PathList { span, last: None });
                depth += 1;
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => {
                depth = depth.checked_sub(1)?;
                if depth == 1 {
                    if is_path {
                        return list;
                    }
                    is_key = true;
                }
            }
            Event::Scalar(text, ..) if depth == 1 => {
                is_path = is_key && text == "path";
                is_key = !is_key;
            }
            Event::Scalar(..) if depth == 2 && is_path => {
                if let Some(list) = &mut list {
                    list.last = Some(span);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn edit(source: &str, folder: &str) -> Result<String, String> {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("frame.yaml");
        fs::write(&file, source).expect("a file");
        let added = add_path(&file, &root.path().join(folder));
        let after = fs::read_to_string(&file).expect("the file");
        match added {
            Ok(()) => Ok(after),
            Err(error) => {
                assert_eq!(after, source, "unchanged");
                Err(error.to_string())
            }
        }
    }

    #[test]
    fn a_path_is_added_and_comments_stay() {
        let block = "# ours\nservice_group: g # name\npath:  # packages\n  # the first\n  - ./a   # old\n\n  - '/b c'  # quoted\n# end\nagent: {processes: 1}\n";
        let expected = block.replace("# quoted\n", "# quoted\n  - ./calc2\n");
        assert_eq!(edit(block, "calc2"), Ok(expected));
        for (before, after) in [
            ("path:\n- a", "path:\n- a\n- ./c"),
            ("path: [a, './b']  # x\n", "path: [a, './b', ./c]  # x\n"),
            ("path: []\n", "path: [./c]\n"),
            (
                "agent: {log_keep: 2}\npath:\n -   ä\n",
                "agent: {log_keep: 2}\npath:\n -   ä\n -   ./c\n",
            ),
        ] {
            assert_eq!(edit(before, "c").as_deref(), Ok(after));
        }
        assert_eq!(
            edit("path: [a]\n", "it's"),
            Ok("path: [a, './it''s']\n".to_owned())
        );
        assert_eq!(edit("path: [./a]\n", "a"), Ok("path: [./a]\n".to_owned()));
    }

    #[test]
    fn a_form_that_cant_be_edited_is_left_as_it_is() {
        let error = edit("x: &p [a]\npath: *p\n", "c").expect_err("an alias");
        assert!(error.contains("add `- ./c` to `path` by hand"), "{error}");
    }

    #[test]
    fn packages_stay_within_the_root() {
        let machine = tempfile::tempdir().expect("a folder");
        let machine = machine.path().canonicalize().expect("a folder");
        let root = machine.join("root");
        for folder in ["root/full", "root/empty", "root/.tce-frame", "outside"] {
            fs::create_dir_all(machine.join(folder)).expect("a folder");
        }
        fs::write(root.join("full/file"), "").expect("a file");
        symlink(machine.join("outside"), root.join("link")).expect("a link");
        symlink(machine.join("nowhere"), root.join("dangling")).expect("a link");
        let outside = machine.join("root-2").display().to_string();
        for path in [
            "",
            ".",
            "..",
            "../outside/x",
            "/tmp/out",
            "link",
            "link/x",
            "dangling",
            "dangling/x",
            "full/../..",
            "missing/../../x",
            ".tce-frame/x",
            "full",
            "full/file",
            "full/file/x",
            "a\0b",
            &outside,
        ] {
            assert!(target(&root, path).is_err(), "{path:?}");
        }
        assert_eq!(target(&root, "empty").expect("empty"), root.join("empty"));
        assert_eq!(target(&root, "./a/b").expect("new"), root.join("a/b"));
        let absolute = root.join("c").display().to_string();
        assert_eq!(target(&root, &absolute).expect("within"), root.join("c"));
    }
}
