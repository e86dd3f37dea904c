//! Compares results with golden files.

use std::fs;
use std::path::{Path, PathBuf};

/// The paths in a folder.
pub(crate) fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// Compares `text` with its golden file; an empty text has none.
pub(crate) fn compare(path: &Path, text: &str, differences: &mut Vec<String>) {
    if std::env::var_os("BLESS").is_some() {
        if text.is_empty() {
            let _ = fs::remove_file(path);
        } else {
            fs::write(path, text).unwrap();
        }
        return;
    }
    let recorded = fs::read_to_string(path)
        .unwrap_or_default()
        .replace("\r\n", "\n");
    if recorded != text {
        differences.push(format!(
            "{}\n{}",
            path.display(),
            difference(&recorded, text)
        ));
    }
}

/// The lines between the common start and the common end.
fn difference(recorded: &str, text: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (recorded.lines().collect(), text.lines().collect());
    let start = old
        .iter()
        .zip(&new)
        .take_while(|(old, new)| old == new)
        .count();
    let end = old[start..]
        .iter()
        .rev()
        .zip(new[start..].iter().rev())
        .take_while(|(old, new)| old == new)
        .count();
    let lines = |mark: &str, lines: &[&str]| {
        lines
            .iter()
            .map(|line| format!("  {mark} {line}\n"))
            .collect::<String>()
    };
    let removed = lines("-", &old[start..old.len() - end]);
    format!(
        "  from line {}:\n{removed}{}",
        start + 1,
        lines("+", &new[start..new.len() - end])
    )
}
