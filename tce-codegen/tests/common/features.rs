//! The IDL of every feature, compiled.

use std::path::{Path, PathBuf};

use tce_codegen::{GeneratedFile, Options, generate};
use tce_idl::source::SourceFile;
use tce_idl::{compile, render};

/// The folder of the features' IDL and of the code recorded for it.
pub(crate) fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The code that each `.idl` of the folder gives now, sorted by path.
pub(crate) fn golden(language: &str, options: &Options) -> Vec<GeneratedFile> {
    let features = features(language, options).into_iter();
    let mut files: Vec<_> = features.flat_map(|it| it.files).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The folder of an IDL for clients of tasks, and of the code recorded for it.
pub(crate) fn tasks_dir() -> PathBuf {
    golden_dir().join("tasks")
}

/// The code that the IDL for clients of tasks gives now.
pub(crate) fn tasks(language: &str, options: &Options) -> Vec<GeneratedFile> {
    feature(&tasks_dir().join("tasks.idl"), language, options).files
}

/// An `.idl` of the folder, with its imports, and the code that it gives.
pub(crate) struct Feature {
    pub(crate) idl: String,
    pub(crate) files: Vec<GeneratedFile>,
}

pub(crate) fn features(language: &str, options: &Options) -> Vec<Feature> {
    let entries = golden_dir().read_dir().unwrap();
    let mut features: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    features.retain(|path| path.extension().is_some_and(|extension| extension == "idl"));
    assert!(
        !features.is_empty(),
        "no .idl in {}",
        golden_dir().display()
    );
    features
        .iter()
        .map(|path| feature(path, language, options))
        .collect()
}

fn feature(path: &Path, language: &str, options: &Options) -> Feature {
    let idl_options = tce_idl::Options::new().include_dir(golden_dir().join("import"));
    let compilation = compile(&[path], &idl_options);
    let Some(model) = compilation.model else {
        panic!(
            "{}",
            render::human(&compilation.diagnostics, &compilation.sources, false)
        );
    };
    let sources = compilation.sources.files().iter();
    Feature {
        idl: sources.map(SourceFile::text).collect(),
        files: generate(&model, language, options).unwrap(),
    }
}
