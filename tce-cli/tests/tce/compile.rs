//! `tce compile`.

use std::{fs, path::Path, process::Command};

use super::{BAD, CommandOutput, GOOD, folder, json_lines, tce_in};

/// Runs the commands that `--check` prints.
#[track_caller]
fn update(folder: &Path, report: &CommandOutput) {
    let (_, commands) = report.out.split_once("To update it:\n").unwrap();
    let binaries = Path::new(env!("CARGO_BIN_EXE_tce")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(binaries.to_owned()).chain(std::env::split_paths(&path));
    let output = Command::new("sh")
        .args(["-ec", commands])
        .env("PATH", std::env::join_paths(path).unwrap())
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{commands}: {output:?}");
}

#[test]
fn up_to_date_code_is_not_written_again() {
    let folder = folder(&[("good.idl", GOOD)]);
    let args = [
        "compile", "-i", "good.idl", "-o", "src/gen", "--lang", "rust",
    ];
    let first = tce_in(folder.path(), &args).exits(0);
    assert_eq!(first.out, "wrote src/gen/good.rs\n");
    assert_eq!(first.err, "");
    let path = folder.path().join("src/gen/good.rs");
    let code = fs::read_to_string(&path).unwrap();
    assert!(code.contains("pub struct EchoPrx"), "{code}");

    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let second = tce_in(folder.path(), &args).exits(0);
    assert_eq!(second.out, "src/gen is up to date\n");
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
}

#[test]
fn files_may_be_joined_by_commas_or_repeated() {
    let other = "module other { struct S { int i; }; }";
    let folder = folder(&[("good.idl", GOOD), ("other.idl", other)]);
    let wrote = |args: &[&str]| tce_in(folder.path(), args).exits(0).out;
    let joined = wrote(&["compile", "-i", "good.idl,other.idl", "-o", "a"]);
    assert_eq!(joined, "wrote a/good.rs\nwrote a/other.rs\n");
    let repeated = wrote(&["compile", "-i", "good.idl", "-i", "other.idl", "-o", "b"]);
    assert_eq!(repeated, "wrote b/good.rs\nwrote b/other.rs\n");
}

#[test]
fn include_path_and_index_file_affect_the_code() {
    let folder = folder(&[
        ("common/good.idl", GOOD),
        (
            "user.idl",
            "import good\nmodule user { interface U { void u(); }; }",
        ),
        ("ifx-index-list.txt", "user.U=100\n"),
    ]);
    let index_file = ["--index-file", "ifx-index-list.txt"];
    let args = [
        &["compile", "-i", "user.idl", "-I", "common"][..],
        &index_file,
    ]
    .concat();
    tce_in(folder.path(), &args).exits(0).prints("user.rs");
    let code = fs::read_to_string(folder.path().join("user.rs")).unwrap();
    assert!(code.contains("interface 100"), "{code}");
}

#[test]
fn an_error_in_the_idl_writes_nothing() {
    let folder = folder(&[("bad.idl", BAD), ("good.idl", GOOD)]);
    let args = ["compile", "-i", "good.idl,bad.idl", "-o", "gen"];
    let ran = tce_in(folder.path(), &args)
        .exits(1)
        .complains("TCE0200")
        .complains("1 error in 2 files");
    assert_eq!(ran.out, "");
    assert!(!folder.path().join("gen").exists());

    let json = [&args[..], &["--error-format", "json"]].concat();
    let objects = json_lines(&tce_in(folder.path(), &json).exits(1).err);
    assert_eq!(objects[0]["name"], "unknown-type");
}

#[test]
fn check_names_stale_files_and_the_command_that_updates_them() {
    let folder = folder(&[
        ("common/good.idl", GOOD),
        (
            "my file.idl",
            "import good\nmodule mine { struct S { int i; }; }",
        ),
    ]);
    let args = ["compile", "-i", "my file.idl", "-o", "gen", "-I", "common"];
    let check = [&args[..], &["--check"]].concat();
    let missing = tce_in(folder.path(), &check)
        .exits(1)
        .prints("stale: gen/good.rs is missing\n")
        .prints("stale: gen/mine.rs is missing\n")
        .prints("\n  tce compile -i 'my file.idl' -o gen -I common\n");
    assert!(!folder.path().join("gen").exists(), "--check wrote");
    update(folder.path(), &missing);
    let fresh = tce_in(folder.path(), &check).exits(0);
    assert_eq!(fresh.out, "gen is up to date\n");

    fs::write(folder.path().join("gen/mine.rs"), "// edited").unwrap();
    let different = tce_in(folder.path(), &check)
        .exits(1)
        .prints("stale: gen/mine.rs differs from the generated code\n");
    assert!(!different.out.contains("good.rs"), "{}", different.out);
    update(folder.path(), &different);
    tce_in(folder.path(), &check).exits(0);
}

#[test]
fn check_finds_left_over_files() {
    let other = "module other { struct S { int i; }; }";
    let folder = folder(&[("good.idl", GOOD), ("other.idl", other)]);
    let both = ["compile", "-i", "good.idl,other.idl", "-o", "gen"];
    tce_in(folder.path(), &both).exits(0);
    fs::write(folder.path().join("gen/mod.rs"), "pub mod good;").unwrap();
    let check = ["compile", "-i", "good.idl", "-o", "gen", "--check"];
    let leftover = tce_in(folder.path(), &check)
        .exits(1)
        .prints("stale: gen/other.rs is left over")
        .prints("\n  rm gen/other.rs\n");
    assert!(!leftover.out.contains("mod.rs"), "{}", leftover.out);
    assert!(!leftover.out.contains("tce compile"), "{}", leftover.out);
    update(folder.path(), &leftover);
    tce_in(folder.path(), &check).exits(0);
}

#[test]
fn wrong_options_are_usage_errors() {
    let folder = folder(&[("good.idl", GOOD)]);
    tce_in(
        folder.path(),
        &["compile", "-i", "good.idl", "--lang", "cobol"],
    )
    .exits(2)
    .complains("cobol")
    .complains("[possible values: rust]");
    tce_in(folder.path(), &["compile", "-o", "gen"])
        .exits(2)
        .complains("--input <FILE>");
}

#[test]
fn an_output_folder_that_is_a_file_is_named() {
    let folder = folder(&[("good.idl", GOOD), ("gen", "")]);
    tce_in(folder.path(), &["compile", "-i", "good.idl", "-o", "gen"])
        .exits(1)
        .complains("error: gen");
}

#[test]
fn code_from_other_files_is_not_replaced() {
    let folder = folder(&[
        ("a.idl", "module m { interface IA { void a(); }; }"),
        ("b.idl", "module m { interface IB { void b(); }; }"),
    ]);
    let compile = |files: &[&str]| {
        tce_in(
            folder.path(),
            &[&["compile", "-o", "gen", "-i"], files].concat(),
        )
    };
    compile(&["a.idl"]).exits(0);
    compile(&["a.idl"]).exits(0);
    let refused = compile(&["b.idl"]).exits(1);
    refused.complains("`gen/m.rs` was generated from a.idl");
    let code = fs::read_to_string(folder.path().join("gen/m.rs")).unwrap();
    assert!(code.contains("IAPrx") || code.contains("IaPrx"), "{code}");
    let both = compile(&["a.idl", "-i", "b.idl"]).exits(0);
    assert_eq!(both.out, "wrote gen/m.rs\n");
}
