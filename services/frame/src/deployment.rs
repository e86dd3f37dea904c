//! The files of a package on this machine: identity, update, rollback.
//!
//! Beside the live folder, `<install_root>/.tce-frame/<kind>.<name>/` has
//!
//! ```text
//! record.json   which files of the live folder belong to the package
//! parts/        files that were fetched, by their SHA-256
//! staged/       tree/ and record.json of the next version, complete before it is exchanged
//! kept-1/       the same of the version before; kept-2/ of the one before that
//! journal.json  an exchange that is not finished
//! ```
//!
//! The live folder is exchanged with `tree/` in one step, so that a crash leaves the old or the new
//! files. What follows it is repeated by [`Deployment::open`] after a crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use crate::{
    config::Kind,
    idl::frame::{self, Manifest},
    manifest::{
        self, HashingWriter, ManifestError, SIGNATURE_FILE, check_manifest, hash, hex, scan,
    },
};

/// The folder in `install_root` for what is not live.
pub const STATE_FOLDER: &str = ".tce-frame";
/// The most bytes that are fetched, or served, at once.
pub const CHUNK: usize = 512 << 10;
/// A record lists at most as many paths as a package has files, and as many that jobs have made.
const MAX_RECORD: u64 = 128 << 20;

/// Why files can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The manifest, or the files of the folder, are refused.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// A file of another agent is not the one of the manifest.
    #[error("the file `{0}` is not the one of the manifest: it was changed at the source")]
    Content(String),
    /// There is no earlier version.
    #[error("there is no version to roll back to")]
    NothingKept,
    /// The state of an earlier run can't be read.
    #[error("`{}`: {reason}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refuses.
    #[error("`{}`: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
}

/// Adds the path to an error of the system.
fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, DeployError> {
    result.map_err(|error| DeployError::Io {
        path: path.to_owned(),
        error,
    })
}

/// Which files of a folder belong to the package. Jobs and functions make others at run time, which
/// are not part of its identity and outlive an update.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: String,
    paths: BTreeSet<String>,
    /// Files that were found beside them: they belong to no later version either.
    made: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Operation {
    Update,
    Rollback,
}

/// An exchange that may have happened.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    operation: Operation,
    /// Of the tree that becomes live: after the exchange the live folder has it.
    inode: u64,
    new: Record,
    old: Record,
}

/// The files of one package.
#[derive(Debug, Clone)]
pub struct Deployment {
    kind: Kind,
    name: String,
    live: PathBuf,
    state: PathBuf,
    /// Whether the file system exchanges two folders in one step.
    can_exchange: bool,
}

/// Called between the steps of a change; an error ends it there, as a crash would.
type Checkpoint<'a> = &'a mut dyn FnMut() -> Result<(), DeployError>;

/// The checkpoint of a change that is not disturbed.
fn go_on() -> Result<(), DeployError> {
    Ok(())
}

impl Deployment {
    /// The files of a package whose folder is `live`. Finishes a change that a crash has interrupted.
    ///
    /// # Errors
    /// The state of an earlier run can't be read, or the change can't be finished.
    pub fn open(
        install_root: &Path,
        kind: Kind,
        name: &str,
        live: &Path,
    ) -> Result<Self, DeployError> {
        let deployment = Self {
            kind,
            name: name.to_owned(),
            live: live.to_owned(),
            state: install_root
                .join(STATE_FOLDER)
                .join(format!("{kind}.{name}")),
            can_exchange: true,
        };
        deployment.recover()?;
        Ok(deployment)
    }

    fn recover(&self) -> Result<(), DeployError> {
        let journal: Option<Journal> = read_json(&self.journal())?;
        if let Some(journal) = journal {
            let other = self.other(journal.operation);
            self.complete_swap(&other)?;
            let live = at(&self.live, fs::metadata(&self.live))?;
            if live.ino() == journal.inode {
                self.finish(&journal, &mut go_on)?;
            } else {
                remove_file(&self.journal())?;
            }
        }
        remove_folder(&self.state.join("staged"))
    }

    fn journal(&self) -> PathBuf {
        self.state.join("journal.json")
    }

    fn record_file(&self) -> PathBuf {
        self.state.join("record.json")
    }

    fn part(&self, sha256: &str) -> PathBuf {
        self.state.join("parts").join(sha256)
    }

    /// The tree that an operation exchanges with the live folder.
    fn other(&self, operation: Operation) -> PathBuf {
        self.other_folder(operation).join("tree")
    }

    fn other_folder(&self, operation: Operation) -> PathBuf {
        self.state.join(match operation {
            Operation::Update => "staged",
            Operation::Rollback => "kept-1",
        })
    }

    /// The live files that belong to `version`, which the `setting.yaml` in the folder gives.
    ///
    /// The first time, these are all files. While the version stays the same, further ones were made
    /// at run time and do not belong to it; with another version all belong to it that were not
    /// found so before.
    ///
    /// # Errors
    /// A file is refused or can't be read.
    pub fn manifest(&self, version: &str) -> Result<Manifest, DeployError> {
        let record: Option<Record> = read_json(&self.record_file())?;
        let (files, record) = match record {
            Some(mut record) if record.version == version => {
                let files = scan(&self.live, |path| record.paths.contains(path))?;
                let present = manifest::paths(&self.live)?
                    .into_iter()
                    .map(|(path, _)| path);
                let made: BTreeSet<_> = present
                    .filter(|path| !record.paths.contains(path))
                    .collect();
                let is_same = record.made == made;
                record.made = made;
                (files, (!is_same).then_some(record))
            }
            earlier => {
                let made = earlier.map(|record| record.made).unwrap_or_default();
                let files = scan(&self.live, |path| !made.contains(path))?;
                let paths = paths_of(&files);
                (
                    files,
                    Some(Record {
                        version: version.to_owned(),
                        paths,
                        made,
                    }),
                )
            }
        };
        if let Some(record) = record {
            self.create_state()?;
            write_json(&self.record_file(), &record)?;
        }
        Ok(Manifest {
            kind: self.kind.to_string(),
            name: self.name.clone(),
            version: version.to_owned(),
            hash: hash(&files),
            files,
            signature: read_signature(&self.live)?,
        })
    }

    fn create_state(&self) -> Result<(), DeployError> {
        at(&self.state, fs::create_dir_all(self.state.join("parts")))
    }

    /// Checks a manifest of another agent, and returns which of its files are neither live nor fetched
    /// already, each content once.
    ///
    /// # Errors
    /// The manifest is refused.
    pub fn missing(&self, manifest: &Manifest) -> Result<Vec<frame::File>, DeployError> {
        check_manifest(manifest)?;
        self.create_state()?;
        let live = self.live_contents()?;
        let mut wanted = BTreeSet::new();
        let is_missing = |file: &&frame::File| {
            !live.contains_key(&file.sha256)
                && self.fetched(file) < u64::try_from(file.size).unwrap_or(0).max(1)
                && wanted.insert(file.sha256.clone())
        };
        Ok(manifest.files.iter().filter(is_missing).cloned().collect())
    }

    /// The live files by their SHA-256; without those that can't be a package's.
    fn live_contents(&self) -> Result<BTreeMap<String, PathBuf>, DeployError> {
        if !self.live.exists() {
            return Ok(BTreeMap::new());
        }
        let record: Option<Record> = read_json(&self.record_file())?;
        let belongs = |path: &str| {
            record
                .as_ref()
                .is_none_or(|record| record.paths.contains(path))
        };
        let files = scan(&self.live, belongs)?;
        let by_content = files
            .into_iter()
            .map(|file| (file.sha256, self.live.join(file.path)));
        Ok(by_content.collect())
    }

    /// How many bytes of a file are fetched: where the next chunk begins.
    #[must_use]
    pub fn fetched(&self, file: &frame::File) -> u64 {
        fs::metadata(self.part(&file.sha256)).map_or(0, |metadata| metadata.len())
    }

    /// Appends a chunk of a file.
    ///
    /// # Errors
    /// The file would be larger than in the manifest: it was changed at the source. What was fetched
    /// is discarded.
    pub fn append(&self, file: &frame::File, chunk: &[u8]) -> Result<(), DeployError> {
        let path = self.part(&file.sha256);
        let size = self.fetched(file) + u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if size > u64::try_from(file.size).unwrap_or(0) {
            remove_file(&path)?;
            return Err(DeployError::Content(file.path.clone()));
        }
        let writing = || -> io::Result<()> {
            let mut part = OpenOptions::new().create(true).append(true).open(&path)?;
            part.write_all(chunk)
        };
        at(&path, writing())
    }

    /// Makes the next version from the live and the fetched files, and exchanges it with the live one.
    ///
    /// # Errors
    /// A file is missing or is not the one of the manifest. The live files are unchanged then.
    pub fn update(&self, manifest: &Manifest) -> Result<(), DeployError> {
        self.update_with(manifest, &mut go_on)
    }

    fn update_with(
        &self,
        manifest: &Manifest,
        checkpoint: Checkpoint<'_>,
    ) -> Result<(), DeployError> {
        self.stage(manifest)?;
        checkpoint()?;
        let old: Option<Record> = read_json(&self.record_file())?;
        let old = match old {
            Some(old) => old,
            None => Record {
                paths: paths_of(&scan(&self.live, |_| true)?),
                ..Record::default()
            },
        };
        let new = self.record_of(manifest);
        link_made(&self.live, &self.other(Operation::Update), &old, &new)?;
        self.exchange(Operation::Update, new, old, checkpoint)?;
        remove_folder(&self.state.join("parts"))
    }

    /// Puts a package into its folder, which is empty or missing.
    ///
    /// # Errors
    /// As for [`Deployment::update`].
    pub fn install(&self, manifest: &Manifest) -> Result<(), DeployError> {
        self.stage(manifest)?;
        if let Some(parent) = self.live.parent() {
            at(parent, fs::create_dir_all(parent))?;
        }
        write_json(&self.record_file(), &self.record_of(manifest))?;
        // An empty folder is replaced.
        at(
            &self.live,
            fs::rename(self.other(Operation::Update), &self.live),
        )?;
        sync_parent(&self.live)?;
        remove_folder(&self.state.join("staged"))?;
        remove_folder(&self.state.join("parts"))
    }

    /// Exchanges the live files with those before the last update. Once more: the other way.
    ///
    /// # Errors
    /// No earlier version is kept.
    pub fn rollback(&self) -> Result<(), DeployError> {
        self.rollback_with(&mut go_on)
    }

    fn rollback_with(&self, checkpoint: Checkpoint<'_>) -> Result<(), DeployError> {
        let kept = self.other_folder(Operation::Rollback);
        let new: Option<Record> = read_json(&kept.join("record.json"))?;
        let new = new.ok_or(DeployError::NothingKept)?;
        let old: Record = read_json(&self.record_file())?.unwrap_or_default();
        link_made(&self.live, &kept.join("tree"), &old, &new)?;
        self.exchange(Operation::Rollback, new, old, checkpoint)
    }

    fn record_of(&self, manifest: &Manifest) -> Record {
        Record {
            version: manifest.version.clone(),
            paths: paths_of(&manifest.files),
            made: BTreeSet::new(),
        }
    }

    /// Writes the files of a manifest to `staged/tree`, each verified and synced.
    fn stage(&self, manifest: &Manifest) -> Result<(), DeployError> {
        check_manifest(manifest)?;
        self.create_state()?;
        let staged = self.state.join("staged");
        remove_folder(&staged)?;
        let tree = staged.join("tree");
        at(&tree, fs::create_dir_all(&tree))?;
        let live = self.live_contents()?;
        for file in &manifest.files {
            let part = self.part(&file.sha256);
            let source = live.get(&file.sha256).unwrap_or(&part);
            if let Err(error) = copy_verified(source, &tree.join(&file.path), file) {
                // It would not be better the next time.
                remove_file(&part)?;
                return Err(error);
            }
        }
        if !manifest.signature.is_empty() {
            write_signature(&tree, &manifest.signature)?;
        }
        sync_folders(&tree)
    }

    fn exchange(
        &self,
        operation: Operation,
        new: Record,
        old: Record,
        checkpoint: Checkpoint<'_>,
    ) -> Result<(), DeployError> {
        let other = self.other(operation);
        let inode = at(&other, fs::metadata(&other))?.ino();
        let journal = Journal {
            operation,
            inode,
            new,
            old,
        };
        write_json(&self.journal(), &journal)?;
        checkpoint()?;
        self.swap(&other, checkpoint)?;
        checkpoint()?;
        self.finish(&journal, checkpoint)
    }

    /// Exchanges the live folder with `other`.
    fn swap(&self, other: &Path, checkpoint: Checkpoint<'_>) -> Result<(), DeployError> {
        let exchanged = if self.can_exchange {
            rustix::fs::renameat_with(CWD, other, CWD, &self.live, RenameFlags::EXCHANGE)
        } else {
            Err(Errno::INVAL)
        };
        match exchanged {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let displaced = displaced(other);
                at(&self.live, fs::rename(&self.live, &displaced))?;
                checkpoint()?;
                self.complete_swap(other)?;
            }
            Err(error) => return at(&self.live, Err(error.into())),
        }
        sync_parent(&self.live)?;
        sync_parent(other)
    }

    /// Finishes an exchange by renames that has begun. While it has not, this changes nothing.
    fn complete_swap(&self, other: &Path) -> Result<(), DeployError> {
        if !self.live.exists() && other.exists() {
            at(&self.live, fs::rename(other, &self.live))?;
        }
        let displaced = displaced(other);
        if displaced.exists() && !other.exists() {
            at(other, fs::rename(&displaced, other))?;
        }
        Ok(())
    }

    /// What follows the exchange. Each step may have been done before.
    fn finish(&self, journal: &Journal, checkpoint: Checkpoint<'_>) -> Result<(), DeployError> {
        let folder = self.other_folder(journal.operation);
        let was_moved = !folder.exists();
        if !was_moved {
            // Files that were made since the first pass.
            link_made(&folder.join("tree"), &self.live, &journal.old, &journal.new)?;
            write_json(&folder.join("record.json"), &journal.old)?;
        }
        checkpoint()?;
        if journal.operation == Operation::Update && !was_moved {
            let (first, second) = (self.state.join("kept-1"), self.state.join("kept-2"));
            if first.exists() {
                remove_folder(&second)?;
                at(&second, fs::rename(&first, &second))?;
            }
            checkpoint()?;
            at(&first, fs::rename(&folder, &first))?;
        }
        checkpoint()?;
        write_json(&self.record_file(), &journal.new)?;
        checkpoint()?;
        remove_file(&self.journal())
    }

    /// A chunk of a live file of the package, by its SHA-256 and path; empty after its end.
    ///
    /// # Errors
    /// The package has no such file, or it can't be read.
    pub fn read_chunk(&self, path: &str, offset: u64) -> Result<Vec<u8>, DeployError> {
        let full = self.live.join(path);
        let reading = || -> io::Result<Vec<u8>> {
            use std::io::Seek as _;
            let mut file = File::open(&full)?;
            file.seek(io::SeekFrom::Start(offset))?;
            let mut chunk = Vec::new();
            let limit = u64::try_from(CHUNK).unwrap_or(u64::MAX);
            file.take(limit).read_to_end(&mut chunk)?;
            Ok(chunk)
        };
        at(&full, reading())
    }
}

fn paths_of(files: &[frame::File]) -> BTreeSet<String> {
    files.iter().map(|file| file.path.clone()).collect()
}

/// Where the live folder is between two renames.
fn displaced(other: &Path) -> PathBuf {
    other.with_file_name("displaced")
}

/// Links the files of `from` that belong to neither version into `to`, where they are missing.
fn link_made(from: &Path, to: &Path, old: &Record, new: &Record) -> Result<(), DeployError> {
    for (path, _) in manifest::paths(from)? {
        let target = to.join(&path);
        if old.paths.contains(&path)
            || new.paths.contains(&path)
            || target.symlink_metadata().is_ok()
        {
            continue;
        }
        let linking = || -> io::Result<()> {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::hard_link(from.join(&path), &target)
        };
        // A job may have removed it, or the new version has a file where its folder was.
        if let Err(error) = linking() {
            tracing::warn!(
                path,
                "a file that was made at run time is left behind: {error}"
            );
        }
    }
    Ok(())
}

fn copy_verified(source: &Path, target: &Path, file: &frame::File) -> Result<(), DeployError> {
    if let Some(parent) = target.parent() {
        at(parent, fs::create_dir_all(parent))?;
    }
    let copying = || -> io::Result<String> {
        let mut reading = File::open(source)?;
        let mut writing = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(target)?;
        let (mut hasher, mut buffer) = (HashingWriter::default(), vec![0; 64 << 10]);
        loop {
            let count = reading.read(&mut buffer)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            hasher.write_all(bytes)?;
            writing.write_all(bytes)?;
        }
        let mode = if manifest::is_program(file) {
            0o755
        } else {
            0o644
        };
        writing.set_permissions(fs::Permissions::from_mode(mode))?;
        writing.sync_all()?;
        Ok(hasher.finish())
    };
    match copying() {
        Ok(sha256) if sha256 == file.sha256 => Ok(()),
        Ok(_) => Err(DeployError::Content(file.path.clone())),
        // An empty file is not fetched.
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.size == 0 => at(
            target,
            File::create(target).and_then(|file| file.sync_all()),
        ),
        Err(error) => at(source, Err(error)),
    }
}

fn read_signature(folder: &Path) -> Result<Vec<u8>, DeployError> {
    let path = folder.join(SIGNATURE_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return at(&path, Err(error)),
    };
    let text = text.trim();
    let digits = text.is_ascii().then(|| text.as_bytes().chunks(2));
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let bytes = digits.and_then(|digits| digits.map(byte).collect::<Option<Vec<_>>>());
    bytes.ok_or_else(|| DeployError::State {
        path,
        reason: "it is not a signature in hexadecimal".to_owned(),
    })
}

/// Writes the signature of the package in a folder.
///
/// # Errors
/// The file can't be written.
pub fn write_signature(folder: &Path, signature: &[u8]) -> Result<(), DeployError> {
    let path = folder.join(SIGNATURE_FILE);
    write_atomically(&path, format!("{}\n", hex(signature)).as_bytes())
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, DeployError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return at(path, Err(error)),
    };
    let mut text = Vec::new();
    at(path, file.take(MAX_RECORD).read_to_end(&mut text))?;
    let value = serde_json::from_slice(&text).map_err(|error| DeployError::State {
        path: path.to_owned(),
        reason: error.to_string(),
    });
    value.map(Some)
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), DeployError> {
    let text = serde_json::to_vec(value).map_err(|error| DeployError::State {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    write_atomically(path, &text)
}

/// Replaces a file by one with these bytes: after a crash it is the old or the new one.
///
/// # Errors
/// The system refuses.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DeployError> {
    let writing = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        if let Ok(metadata) = fs::metadata(path) {
            file.as_file().set_permissions(metadata.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    at(path, writing())?;
    sync_parent(path)
}

fn remove_file(path: &Path) -> Result<(), DeployError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => at(path, Err(error)),
        _ => Ok(()),
    }
}

fn remove_folder(path: &Path) -> Result<(), DeployError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => at(path, Err(error)),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), DeployError> {
    at(
        folder,
        File::open(folder).and_then(|folder| folder.sync_all()),
    )
}

fn sync_parent(path: &Path) -> Result<(), DeployError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => Ok(()),
    }
}

/// Makes the entries of a folder and of those within it durable.
fn sync_folders(folder: &Path) -> Result<(), DeployError> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in at(&folder, fs::read_dir(&folder))? {
            let entry = at(&folder, entry)?;
            if at(&folder, entry.file_type())?.is_dir() {
                folders.push(entry.path());
            }
        }
        sync_folder(&folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
