//! The agreed code, in a crate of somebody who is strict: clippy and rustdoc
//! have nothing to say, in either edition, and every public item is documented.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{golden, golden_dir};

/// Where the Rust module is not called as the file: the rule is in the crate's documentation.
const RENAMED: &[(&str, &str)] = &[("MixedCase", "mixed_case"), ("type", "r#type")];

#[test]
fn clippy_has_nothing_to_say() {
    for edition in ["2021", "2024"] {
        let package = package("clippy", edition);
        cargo(
            &package,
            &["clippy", "--offline", "--quiet", "--", "-D", "warnings"],
        );
    }
}

#[test]
fn rustdoc_has_nothing_to_say() {
    let package = package("rustdoc", "2024");
    cargo(&package, &["doc", "--offline", "--quiet", "--no-deps"]);
    // An example in an IDL's documentation is no Rust: none may become a test.
    let tests = cargo(&package, &["test", "--offline", "--quiet", "--doc"]);
    assert!(tests.contains("running 0 tests"), "{tests}");
}

/// Writes a library package that holds the agreed code of every feature.
fn package(name: &str, edition: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{edition}"));
    fs::create_dir_all(package.join("src")).unwrap();
    let manifest = format!(
        r#"[package]
name = "golden-{name}-{edition}"
version = "0.0.0"
edition = "{edition}"

[dependencies]
tce-runtime.path = {runtime:?}

[lints.rust]
missing_docs = "deny"
unreachable_pub = "deny"
unused_qualifications = "deny"
unsafe_code = "forbid"

[lints.clippy]
unwrap_used = "deny"
expect_used = "deny"
panic = "deny"
cast_possible_truncation = "deny"
needless_pass_by_value = "deny"

[workspace]
"#,
        runtime = workspace.join("tce-runtime")
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::copy(workspace.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    fs::write(package.join("src/lib.rs"), library()).unwrap();
    package
}

fn library() -> String {
    let modules = golden().into_iter().map(|file| {
        let name = file.path.file_stem().unwrap().to_str().unwrap();
        let renamed = RENAMED.iter().find(|(file, _)| *file == name);
        let module = renamed.map_or(name, |(_, module)| module);
        let path = golden_dir().join(&file.path);
        format!("/// A feature.\npub mod {module} {{\n    include!({path:?});\n}}\n")
    });
    "//! Every feature.\n\n".to_owned() + &modules.collect::<String>()
}

/// Runs cargo on the package and gives what it printed.
fn cargo(package: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(package)
        // Kept between runs, and apart from the build that runs this test.
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("target"),
        )
        .env("RUSTDOCFLAGS", "-D warnings")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo {arguments:?} in {}:\n{stderr}",
        package.display()
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
