//! Files of an earlier version, read through the `git` program.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

use tce_idl::{
    diagnostic::nearest,
    loader::{self, FileSystem, Loader, MAX_FILE_BYTES},
};

use super::{home::Home, tree::Tree};

/// A version of a repository, as a person names it.
#[derive(Debug, Clone)]
pub(super) enum Revision {
    /// A branch, here or at `origin`.
    Branch(String),
    Tag(String),
    /// Whatever git takes for a commit.
    Commit(String),
}

impl Revision {
    fn name(&self) -> &str {
        let (Self::Branch(name) | Self::Tag(name) | Self::Commit(name)) = self;
        name
    }

    /// The names by which git may know it.
    fn candidates(&self) -> Vec<String> {
        match self {
            // A fresh clone for CI has the other branches at `origin` alone.
            Self::Branch(name) => vec![
                format!("refs/heads/{name}"),
                format!("refs/remotes/origin/{name}"),
            ],
            Self::Tag(name) => vec![format!("refs/tags/{name}")],
            Self::Commit(name) => vec![name.clone()],
        }
    }

    /// What is wrong with a name that git does not know.
    fn unknown(&self) -> String {
        let (what, pattern) = match self {
            Self::Branch(_) => ("branch", "refs/heads"),
            Self::Tag(_) => ("tag", "refs/tags"),
            Self::Commit(name) => return format!("git knows no commit `{name}`"),
        };
        let names = git(&["for-each-ref", "--format=%(refname:lstrip=2)", pattern]);
        let names = names.unwrap_or_default();
        let names: Vec<&str> = names.lines().collect();
        let name = self.name();
        match nearest(name, &names) {
            Some(near) => format!("there is no {what} `{name}`: did you mean `{near}`?"),
            None => format!("there is no {what} `{name}`; if it is at a remote, fetch it first"),
        }
    }
}

/// One version of the repository of the working folder.
///
/// Its files have paths of their own: `main:/idl/test.idl` is `idl/test.idl`
/// from the top of the repository. Other paths are those of the file system.
#[derive(Debug)]
pub(super) struct Repository {
    revision: Revision,
    commit: String,
    /// `main:`
    root: PathBuf,
}

impl Repository {
    pub(super) fn open(revision: &Revision) -> Result<Self, String> {
        git(&["rev-parse", "--git-dir"]).map_err(|why| format!("can't compare with git: {why}"))?;
        let candidates = revision.candidates();
        let commit = candidates.iter().find_map(|name| {
            let commit = format!("{name}^{{commit}}");
            git(&[
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &commit,
            ])
            .ok()
        });
        let commit = commit.ok_or_else(|| revision.unknown())?;
        Ok(Self {
            revision: revision.clone(),
            commit: commit.trim().to_owned(),
            root: PathBuf::from(format!("{}:", revision.name())),
        })
    }

    /// What a person calls this version.
    pub(super) fn name(&self) -> &str {
        self.revision.name()
    }

    /// Where files are in this version: `subdir` stands in for the working
    /// folder, or else the folder of the same name.
    pub(super) fn home(&self, subdir: Option<&Path>) -> Result<Home, String> {
        let Some(subdir) = subdir else {
            let line = |text: String| text.trim_end_matches('\n').to_owned();
            let folder = self.root.join(line(git(&["rev-parse", "--show-prefix"])?));
            let top = line(git(&["rev-parse", "--show-toplevel"])?);
            return Ok(Home::within(folder, top.into(), self.root.clone()));
        };
        let folder = self.root.join(subdir);
        match self.kind(&folder).as_deref() {
            Some("tree") => Home::new(folder),
            _ => Err(format!(
                "{} has no folder `{}`",
                self.name(),
                subdir.display()
            )),
        }
    }

    /// `blob` for a file, `tree` for a folder.
    fn kind(&self, path: &Path) -> Option<String> {
        let kind = git(&["cat-file", "-t", &self.object(path)?]).ok()?;
        Some(kind.trim().to_owned())
    }

    /// What git prints of the names in a folder, each with its path from there.
    fn names(&self, folder: &Path, args: &[&str]) -> Vec<String> {
        let object = self.object(folder).unwrap_or_default();
        // Else git keeps to the part that has the name of the working folder.
        let all = ["--full-tree", "-z", "--name-only", "--end-of-options"];
        let names = git(&[&["ls-tree"], args, &all, &[&object]].concat());
        let names = names.unwrap_or_default();
        names.split_terminator('\0').map(str::to_owned).collect()
    }

    /// How git calls a file of this version; `None` outside of the repository.
    fn object(&self, path: &Path) -> Option<String> {
        let inside = loader::plain(path.strip_prefix(&self.root).ok()?);
        let is_below = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !inside.components().all(is_below) {
            return None;
        }
        // Git has `/` between folders everywhere.
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
        blob(&object.ok_or(io::ErrorKind::NotFound)?)
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

impl Tree for Repository {
    fn idl(&self, path: &Path) -> Vec<PathBuf> {
        let path = &self.identity(path);
        match self.kind(path).as_deref() {
            Some("tree") => {
                let names = self.names(path, &["-r"]).into_iter();
                let idl = names.filter(|name| name.ends_with(".idl"));
                idl.map(|name| path.join(name)).collect()
            }
            Some(_) => vec![path.to_owned()],
            None => Vec::new(),
        }
    }
}

/// What git prints, or the first line of its complaint.
fn git(args: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("can't run it: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.lines().next().unwrap_or("it failed");
    Err(complaint.trim_start_matches("fatal: ").to_owned())
}

/// The bytes of a file, links followed. Of one that is too large, only as many as show that it is.
fn blob(object: &str) -> io::Result<Vec<u8>> {
    let mut child = Command::new("git")
        .args(["cat-file", "--batch", "--follow-symlinks"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // Its end, when this is dropped, ends git.
    if let Some(mut input) = child.stdin.take() {
        writeln!(input, "{object}")?;
    }
    let contents = child.stdout.take().map_or_else(
        || Err(io::ErrorKind::BrokenPipe.into()),
        |output| batch_answer(BufReader::new(output)),
    );
    child.wait()?;
    contents
}

/// What `git cat-file --batch` answers: `<id> blob <size>` and the contents, or what is wrong.
fn batch_answer(mut output: impl BufRead) -> io::Result<Vec<u8>> {
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
        _ => Err(io::Error::other(format!("git answers `{}`", head.trim()))),
    }
}
