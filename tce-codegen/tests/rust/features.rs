//! The IDL of every feature, compiled.

use std::path::{Path, PathBuf};

use tce_codegen::{GeneratedFile, Options, generate};
use tce_idl::{compile, render};

/// The folder of the features' IDL and of the code recorded for it.
pub(crate) fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The code that each `.idl` of the folder gives now, sorted by path.
pub(crate) fn golden() -> Vec<GeneratedFile> {
    let entries = golden_dir().read_dir().unwrap();
    let mut features: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    features.retain(|path| path.extension().is_some_and(|extension| extension == "idl"));
    assert!(
        !features.is_empty(),
        "no .idl in {}",
        golden_dir().display()
    );
    let mut files: Vec<_> = features.iter().flat_map(|feature| code(feature)).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn code(feature: &Path) -> Vec<GeneratedFile> {
    let options = tce_idl::Options::new().include_dir(golden_dir().join("import"));
    let compilation = compile(&[feature], &options);
    let Some(model) = compilation.model else {
        panic!(
            "{}",
            render::human(&compilation.diagnostics, &compilation.sources, false)
        );
    };
    generate(&model, "rust", &Options::default()).unwrap()
}
