//! Files whose changes are noticed, with the property `watch`.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

/// How often a watched file is checked.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Identifies a version of a file: its place on the disk, which differs if a link
/// leads to another file or a file was renamed; its time of modification; its size.
pub(super) type FileVersion = Option<(u64, u64, SystemTime, u64)>;

/// The present versions of files.
pub(super) fn versions(files: &[PathBuf]) -> Vec<FileVersion> {
    files.iter().map(|file| file_version(file)).collect()
}

fn file_version(file: &Path) -> FileVersion {
    let data = std::fs::metadata(file).ok()?;
    Some((data.dev(), data.ino(), data.modified().ok()?, data.len()))
}

/// Waits until the files have changed and then stayed the same for a period: before
/// that they may be half written.
pub(super) async fn changed(files: impl Fn() -> Vec<PathBuf>, seen: &mut Vec<FileVersion>) {
    loop {
        sleep(WATCH_PERIOD).await;
        let now = versions(&files());
        if *seen == now || now.contains(&None) {
            continue;
        }
        sleep(WATCH_PERIOD).await;
        if versions(&files()) == now {
            *seen = now;
            return;
        }
    }
}
