//! What the generator writes, feature by feature: `tests/golden/*.idl` and
//! the `.rs` files beside them. `BLESS=1` writes them anew.

use tce_codegen::{GeneratedFile, Options, RustOptions};

use crate::compare::compare;
use crate::features::{self, golden_dir, tasks_dir};

/// The Rust of every feature.
pub(crate) fn golden() -> Vec<GeneratedFile> {
    features::golden("rust", &Options::default())
}

#[test]
fn every_feature_gives_the_recorded_code() {
    compare(&golden(), &golden_dir());
}

#[test]
fn clients_of_tasks_are_as_recorded() {
    let mut options = Options::default();
    options.rust = RustOptions::default().tasks(true);
    compare(&features::tasks("rust", &options), &tasks_dir());
}

#[test]
fn the_same_idl_gives_the_same_code() {
    assert_eq!(golden(), golden());
}

#[test]
fn no_code_silences_a_lint() {
    for file in golden() {
        assert!(!file.contents.contains("allow("), "{}", file.path.display());
    }
}

#[test]
fn multi_calls_are_written_where_they_are_asked_for() {
    let mut options = Options::default();
    options.rust = RustOptions::default().multi_calls(true).clients(false);
    let mut files = features::golden("rust", &options);
    let written = [
        "across.rs",
        "across_base.rs",
        "inheritance.rs",
        "parameters.rs",
    ];
    files.retain(|file| written.iter().any(|name| file.path.as_os_str() == *name));
    compare(&files, &golden_dir().join("multi_calls"));
}
