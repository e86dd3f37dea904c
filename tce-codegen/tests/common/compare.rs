//! What a back end writes, feature by feature, against the files that are recorded for it.

use std::fs;
use std::path::Path;

use tce_codegen::{GeneratedFile, check, write};

/// Compares the files with those of a folder; `BLESS=1` writes them anew.
#[track_caller]
pub(crate) fn compare(files: &[GeneratedFile], folder: &Path) {
    if std::env::var_os("BLESS").is_some() {
        write(files, folder).unwrap();
    }
    let stale = check(files, folder).unwrap();
    let mut report = String::new();
    for stale in &stale {
        report += &format!("{}: {:?}\n", stale.path.display(), stale.reason);
        let agreed = fs::read_to_string(folder.join(&stale.path)).unwrap_or_default();
        if let Some(file) = files.iter().find(|file| file.path == stale.path) {
            report += &difference(&agreed, &file.contents);
        }
    }
    assert!(
        stale.is_empty(),
        "{report}if the new code is right, record it with BLESS=1"
    );
}

/// The lines between the first and the last that differ, with three around them.
fn difference(agreed: &str, found: &str) -> String {
    let (agreed, found): (Vec<_>, Vec<_>) = (agreed.lines().collect(), found.lines().collect());
    let same = agreed
        .iter()
        .zip(&found)
        .take_while(|(a, b)| a == b)
        .count();
    let most = agreed.len().min(found.len()) - same;
    let after = agreed.iter().rev().zip(found.iter().rev()).take(most);
    let after = after.take_while(|(a, b)| a == b).count();
    let context = same.saturating_sub(3)..same;
    let lines = |sign, lines: &[&str]| -> String {
        lines
            .iter()
            .map(|line| format!("{sign} {line}\n"))
            .collect()
    };
    format!("@@ line {} @@\n", same + 1)
        + &lines(' ', &agreed[context])
        + &lines('-', &agreed[same..agreed.len() - after])
        + &lines('+', &found[same..found.len() - after])
        + &lines(' ', &agreed[agreed.len() - after..][..after.min(3)])
}
