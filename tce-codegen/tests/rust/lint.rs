//! The recorded code in a crate with strict lints: clippy and rustdoc find nothing,
//! in either edition.

use std::fs;
use std::process::Command;

use crate::features::{golden, golden_dir};
use crate::package::{Package, workspace};

/// The Rust modules whose names differ from those of their files.
const RENAMED: &[(&str, &str)] = &[("MixedCase", "mixed_case"), ("type", "r#type")];

#[test]
fn clippy_has_nothing_to_say() {
    for edition in ["2021", "2024"] {
        let package = package(&format!("golden-clippy-{edition}"), edition);
        package.cargo(&["clippy", "--quiet", "--", "-D", "warnings"]);
    }
}

#[test]
fn rustdoc_has_nothing_to_say() {
    let package = package("golden-rustdoc", "2024");
    package.cargo(&["doc", "--quiet", "--no-deps"]);
}

/// An example in an IDL's documentation is no Rust: none may become a test.
#[test]
fn rustdoc_finds_no_test() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documentation.rs");
    fs::write(&path, documentation()).unwrap();
    let rustdoc = std::env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into());
    let arguments = ["--test", "--crate-type=lib", "--edition=2024"];
    let output = Command::new(rustdoc).args(arguments).arg(&path).output();
    let output = output.unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(stdout.contains("running 0 tests"), "{stdout}{stderr}");
}

/// The documentation of every feature, of items that need nothing to be built.
fn documentation() -> String {
    let mut code = String::new();
    let mut undocumented = true;
    let files = golden();
    let lines = files.iter().flat_map(|file| file.contents.lines());
    for (number, line) in lines.enumerate() {
        let documents = line.trim_start().starts_with("///");
        if documents {
            code += &format!("{}\n", line.trim_start());
        } else if !undocumented {
            code += &format!("pub fn item_{number}() {{}}\n");
        }
        undocumented = !documents;
    }
    assert!(code.contains("```text"));
    code
}

/// A library package that holds the recorded code of every feature.
fn package(name: &str, edition: &str) -> Package {
    let package = Package::new(name, edition, "tce-runtime", &lints());
    let modules = golden().into_iter().map(|file| {
        let name = file.path.file_stem().unwrap().to_str().unwrap();
        let renamed = RENAMED.iter().find(|(file, _)| *file == name);
        let module = renamed.map_or(name, |(_, module)| module);
        let path = golden_dir().join(&file.path);
        // The lints that `include_idl!` allows.
        format!(
            "/// A feature.\n\
             #[allow(dead_code, missing_docs, clippy::too_many_arguments)]\n\
             pub mod {module} {{\n    include!({path:?});\n}}\n"
        )
    });
    let library = "//! Every feature.\n\n".to_owned() + &modules.collect::<String>();
    package.write("src/lib.rs", &library);
    package
}

/// The lints that this workspace holds its own code to.
fn lints() -> String {
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let (_, lints) = manifest.split_once("[workspace.lints.rust]").unwrap();
    let (lints, _) = lints.split_once("[profile").unwrap();
    assert!(lints.contains("missing_docs"), "{lints}");
    format!("[lints.rust]{lints}").replace("[workspace.lints", "[lints")
}
