//! Files of an earlier version, read by the `git` program.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

use tce_idl::{
    diagnostic::nearest,
    loader::{self, FileSystem, Loader, MAX_FILE_BYTES},
};

use super::tree::{PathMapping, SourceTree};

/// A version of a repository, as named on the command line.
#[derive(Debug, Clone)]
pub(super) enum Revision {
    /// A branch, local or of a remote.
    Branch(String),
    Tag(String),
    /// Any name that git resolves to a commit.
    Commit(String),
}

impl Revision {
    fn name(&self) -> &str {
        let (Self::Branch(name) | Self::Tag(name) | Self::Commit(name)) = self;
        name
    }

    /// The full names to look up, in this order.
    fn candidates(&self) -> Vec<String> {
        match self {
            // A fresh clone has only its own branch locally.
            Self::Branch(name) => vec![
                format!("refs/heads/{name}"),
                format!("refs/remotes/origin/{name}"),
                // `origin/main`, which a clone in CI has, and no local `main`.
                format!("refs/remotes/{name}"),
            ],
            Self::Tag(name) => vec![format!("refs/tags/{name}")],
            Self::Commit(name) => vec![name.clone()],
        }
    }

    /// The error message for a name that git does not find.
    fn unknown(&self, git: Git) -> String {
        let (what, pattern) = match self {
            Self::Branch(_) => ("branch", "refs/heads"),
            Self::Tag(_) => ("tag", "refs/tags"),
            Self::Commit(name) => return format!("git finds no commit `{name}`"),
        };
        let names = git.output(&["for-each-ref", "--format=%(refname:lstrip=2)", pattern]);
        let names = names.unwrap_or_default();
        let names: Vec<&str> = names.lines().collect();
        let name = self.name();
        match nearest(name, &names) {
            Some(near) => format!("there is no {what} `{name}`: did you mean `{near}`?"),
            None => format!("there is no {what} `{name}`; if a remote has it, fetch it first"),
        }
    }
}

/// One version of the repository of the working folder.
///
/// Paths of its files start with the revision: `main:/idl/test.idl` is `idl/test.idl` below the top
/// of the repository. All other paths are paths of the file system.
#[derive(Debug)]
pub(super) struct Repository {
    git: Git,
    revision: Revision,
    commit: String,
    /// Start of the paths of its files: `main:`.
    root: PathBuf,
}

impl Repository {
    pub(super) fn open(revision: &Revision) -> Result<Self, String> {
        let git = Git::new();
        git.folder()
            .map_err(|why| format!("can't compare with git: {why}"))?;
        let candidates = revision.candidates();
        let commit = candidates.iter().find_map(|name| {
            let commit = format!("{name}^{{commit}}");
            git.output(&[
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &commit,
            ])
            .ok()
        });
        let commit = commit.ok_or_else(|| revision.unknown(git))?;
        Ok(Self {
            git,
            revision: revision.clone(),
            commit: commit.trim().to_owned(),
            root: PathBuf::from(format!("{}:", revision.name())),
        })
    }

    /// The name of this version in messages.
    pub(super) fn name(&self) -> &str {
        self.revision.name()
    }

    /// Maps paths to this version: `subdir` replaces the working folder, if given.
    pub(super) fn path_mapping(&self, subdir: Option<&Path>) -> Result<PathMapping, String> {
        let Some(subdir) = subdir else {
            let line = |text: String| text.trim_end_matches('\n').to_owned();
            let folder = self
                .root
                .join(line(self.git.output(&["rev-parse", "--show-prefix"])?));
            let top = line(self.git.output(&["rev-parse", "--show-toplevel"])?);
            return Ok(PathMapping::with_base(
                folder,
                top.into(),
                self.root.clone(),
            ));
        };
        let folder = self.root.join(subdir);
        match self.kind(&folder).as_deref() {
            Some("tree") => PathMapping::new(folder),
            _ => Err(format!(
                "{} has no folder `{}`",
                self.name(),
                subdir.display()
            )),
        }
    }

    /// The git object type of a path: `blob` for a file, `tree` for a folder.
    fn kind(&self, path: &Path) -> Option<String> {
        let kind = self.git.output(&["cat-file", "-t", &self.object(path)?]);
        Some(kind.ok()?.trim().to_owned())
    }

    /// The names in a folder, as paths relative to it; `args` are options of `git ls-tree`.
    fn names(&self, folder: &Path, args: &[&str]) -> Vec<String> {
        let object = self.object(folder).unwrap_or_default();
        // Without `--full-tree`, git lists only the part below the working folder.
        let all = ["--full-tree", "-z", "--name-only", "--end-of-options"];
        let names = self
            .git
            .output(&[&["ls-tree"], args, &all, &[&object]].concat());
        let names = names.unwrap_or_default();
        names.split_terminator('\0').map(str::to_owned).collect()
    }

    /// The git object name of a path of this version; `None` outside of the repository.
    fn object(&self, path: &Path) -> Option<String> {
        let inside = loader::plain(path.strip_prefix(&self.root).ok()?);
        let is_below = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !inside.components().all(is_below) {
            return None;
        }
        // Git separates folders by `/` on all systems.
        let parts: Option<Vec<&str>> = inside.iter().map(|part| part.to_str()).collect();
        Some(format!("{}:{}", self.commit, parts?.join("/")))
    }
}

impl Loader for Repository {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if !path.starts_with(&self.root) {
            return FileSystem.read(path);
        }
        let object = self.object(path).filter(|object| !object.contains('\n'));
        self.git.read_blob(&object.ok_or(io::ErrorKind::NotFound)?)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(inside) => self.root.join(loader::plain(inside)),
            Err(_) => FileSystem.identity(path),
        }
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        if !folder.starts_with(&self.root) {
            return FileSystem.list(folder);
        }
        self.names(folder, &[])
    }
}

impl SourceTree for Repository {
    fn idl_files(&self, path: &Path) -> Vec<PathBuf> {
        let path = &self.identity(path);
        match self.kind(path).as_deref() {
            Some("tree") => {
                let names = self.names(path, &["-r"]).into_iter();
                let is_hidden = |name: &String| name.split('/').any(loader::is_hidden);
                let idl = names.filter(|name| name.ends_with(".idl") && !is_hidden(name));
                idl.map(|name| path.join(name)).collect()
            }
            Some(_) => vec![path.to_owned()],
            None => Vec::new(),
        }
    }
}

/// The variables by which git names a repository to the programs that it starts: hooks, aliases.
const REPOSITORY_VARIABLES: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
];

/// The program `git`, run in the working folder.
#[derive(Debug, Clone, Copy)]
struct Git {
    /// Whether git finds the repository of the working folder by itself, without
    /// [`REPOSITORY_VARIABLES`].
    finds_repository: bool,
}

impl Git {
    /// A hook inherits `GIT_DIR`, and with it git takes the working folder for the top of the
    /// repository, also where the hook has changed to another folder. So the variables count only
    /// if they name another repository than that of the working folder.
    fn new() -> Self {
        let [finding, named] = [true, false].map(|finds_repository| Self { finds_repository });
        let is_set = |name: &&str| std::env::var_os(name).is_some();
        if !REPOSITORY_VARIABLES.iter().any(is_set) {
            return finding;
        }
        match named.folder() {
            Ok(folder) if finding.folder() != Ok(folder.clone()) => named,
            _ => finding,
        }
    }

    /// The repository's folder `.git`, or what stands for it.
    fn folder(self) -> Result<PathBuf, String> {
        let folder = self.output(&["rev-parse", "--absolute-git-dir"])?;
        let folder = PathBuf::from(folder.trim_end_matches('\n'));
        Ok(folder.canonicalize().unwrap_or(folder))
    }

    fn command(self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(args)
            // Its messages become a part of ours.
            .env("LC_ALL", "C")
            // Commands that only read leave the index as it is.
            .env("GIT_OPTIONAL_LOCKS", "0");
        if self.finds_repository {
            for name in REPOSITORY_VARIABLES {
                command.env_remove(name);
            }
        }
        command
    }

    /// The standard output of a command, or its error message.
    fn output(self, args: &[&str]) -> Result<String, String> {
        let output = self
            .command(args)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("can't run git: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let messages = String::from_utf8_lossy(&output.stderr);
        // Output of `GIT_TRACE` and warnings precede the error, advice follows it.
        let message = messages
            .split_once("fatal: ")
            .map_or(&*messages, |(_, message)| message);
        let lines = message.lines().map(str::trim);
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        match lines.is_empty() {
            true => Err("git failed".to_owned()),
            false => Err(lines.join("; ")),
        }
    }

    /// The bytes of a file, following symbolic links. At most one byte more than
    /// [`MAX_FILE_BYTES`] is read, which shows that the file is too large.
    fn read_blob(self, object: &str) -> io::Result<Vec<u8>> {
        let mut child = self
            .command(&["cat-file", "--batch", "--follow-symlinks"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        // Git ends at the end of its input, when this is dropped.
        if let Some(mut input) = child.stdin.take() {
            writeln!(input, "{object}")?;
        }
        let contents = child.stdout.take().map_or_else(
            || Err(io::ErrorKind::BrokenPipe.into()),
            |output| read_batch_output(BufReader::new(output)),
        );
        child.wait()?;
        contents
    }
}

/// Reads the output of `git cat-file --batch`: `<id> blob <size>` and the contents, or an error.
fn read_batch_output(mut output: impl BufRead) -> io::Result<Vec<u8>> {
    let mut head = String::new();
    output.by_ref().take(4096).read_line(&mut head)?;
    let words: Vec<&str> = head.split_whitespace().collect();
    match words.as_slice() {
        [_, "blob", size] => {
            let size = size.parse().unwrap_or(0);
            let mut bytes = Vec::new();
            output
                .take(size.min(MAX_FILE_BYTES as u64 + 1))
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        [_, "tree", _] => Err(io::ErrorKind::IsADirectory.into()),
        [.., "missing"] | ["dangling" | "notdir", _] => Err(io::ErrorKind::NotFound.into()),
        _ => Err(io::Error::other(format!(
            "unexpected output of git: `{}`",
            head.trim()
        ))),
    }
}
