//! The recorded code in a crate with strict lints: clippy and rustdoc find nothing,
//! in either edition, and rustfmt changes nothing.

use std::fs;
use std::process::Command;

use tce_codegen::{GeneratedFile, Options, generate, write};
use tce_idl::{compile_str, render};

use crate::features::golden_dir;
use crate::golden::golden;
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

/// Code that a program keeps beside its own passes `cargo fmt --check`.
#[test]
fn rustfmt_changes_nothing() {
    for edition in ["2021", "2024"] {
        rustfmt(edition, &golden());
    }
}

/// Each kind of line at every length around that at which rustfmt breaks it.
#[test]
fn rustfmt_changes_no_line_of_any_length() {
    let compilation = compile_str(&names_of_every_length());
    let Some(model) = &compilation.model else {
        let report = render::human(&compilation.diagnostics, &compilation.sources, false);
        panic!("{report}");
    };
    let files = generate(model, "rust", &Options::default()).unwrap();
    rustfmt("2024", &files);
}

/// A module with structs and interfaces whose names have 2 to 25 characters, and one
/// that uses them.
fn names_of_every_length() -> String {
    let mut idl = String::new();
    for (module, types) in [("lengths", ""), ("uses_lengths", "lengths::")] {
        let mut elements = String::new();
        for length in 1..25 {
            let name = "x".repeat(length);
            let ty = format!("{types}S{name}");
            let member = |number: usize| format!("{ty} {name}{number}");
            let list = |count: usize| (0..count).map(member).collect::<Vec<_>>().join(", ");
            let operations = [0, 1, 2, 4, 13].map(|count| {
                let (twoway, oneway) = (list(count), list(count));
                format!("{ty} t{count}{name}({twoway}); void v{count}{name}({oneway});")
            });
            let members = [1, 4].map(|count| {
                let members: String = (0..count).map(|it| member(it) + ";").collect();
                format!("struct M{count}{name} {{ {members} }};")
            });
            if types.is_empty() {
                elements += &format!("struct S{name} {{ int {name}; }};");
            }
            elements += &members.concat();
            elements += &format!(
                "sequence<{ty}> L{name}; dictionary<string, {ty}> D{name};
                interface I{name} {{ {operations} }};
                interface J{name} extends {types}I{name} {{ {ty} j{name}({ty} {name}); }};",
                operations = operations.concat(),
            );
        }
        idl += &format!("module {module} {{ {elements} }};\n");
    }
    idl
}

/// Fails if rustfmt changes a file.
fn rustfmt(edition: &str, files: &[GeneratedFile]) {
    let folder = tempfile::tempdir().unwrap();
    write(files, folder.path()).unwrap();
    let paths = files.iter().map(|file| folder.path().join(&file.path));
    let rustfmt = std::env::var_os("RUSTFMT").unwrap_or_else(|| "rustfmt".into());
    let mut command = Command::new(&rustfmt);
    let arguments = ["--check", "--color=never", "--edition", edition];
    let output = command.args(arguments).args(paths).output().unwrap();
    let changes = String::from_utf8_lossy(&output.stdout);
    let changes: Vec<_> = changes.lines().take(40).collect();
    assert!(output.status.success(), "{}", changes.join("\n"));
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
