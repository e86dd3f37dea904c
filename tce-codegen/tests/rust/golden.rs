//! What the generator writes, feature by feature: `tests/golden/*.idl` and
//! the `.rs` files beside them. `BLESS=1` writes them anew.

use tce_codegen::{GeneratedFile, Options};

use crate::compare::compare;
use crate::features::{self, golden_dir};

/// The Rust of every feature.
pub(crate) fn golden() -> Vec<GeneratedFile> {
    features::golden("rust", &Options::default())
}

#[test]
fn every_feature_gives_the_recorded_code() {
    compare(&golden(), &golden_dir());
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
