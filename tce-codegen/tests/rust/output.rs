//! Files on disk: written only where they changed, and compared.

use std::fs;
use std::time::SystemTime;

use tce_codegen::{
    Error, GeneratedFile, Options, StaleFile, Staleness, check, configure, generate, write,
};
use tce_idl::loader::Memory;
use tempfile::tempdir;

fn code(idl: &str) -> Vec<GeneratedFile> {
    let model = tce_idl::compile_str(idl).model.unwrap();
    generate(&model, "rust", &Options::default()).unwrap()
}

#[test]
fn what_is_written_is_up_to_date() {
    let dir = tempdir().unwrap();
    let files = code("module one { sequence<int> A; } module two { sequence<int> B; }");
    let folder = dir.path().join("made/on/the/way");
    write(&files, &folder).unwrap();
    assert_eq!(check(&files, &folder).unwrap(), []);
}

/// The code of files, each with its name.
fn code_of(files: &[(&str, &str)]) -> Vec<GeneratedFile> {
    let loader = files
        .iter()
        .fold(Memory::new(), |loader, (name, idl)| loader.with(name, *idl));
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let compilation = tce_idl::compile_with(&loader, &names, &tce_idl::Options::new());
    generate(&compilation.model.unwrap(), "rust", &Options::default()).unwrap()
}

const A: (&str, &str) = (
    "a.idl",
    "module m { struct A { int x; }; interface IA { A get(); }; }",
);
const B: (&str, &str) = (
    "b.idl",
    "module m { struct B { int y; }; interface IB { B get(); }; }",
);

#[test]
fn code_from_other_files_is_not_replaced() {
    let dir = tempdir().unwrap();
    write(&code_of(&[A]), dir.path()).unwrap();
    let before = fs::read_to_string(dir.path().join("m.rs")).unwrap();
    // Nothing is written, not even a module that only `b.idl` opens.
    let more = (B.0, &*format!("{} module alone {{}}", B.1));
    let error = write(&code_of(&[more]), dir.path()).unwrap_err();
    assert!(matches!(error, Error::OtherSources { .. }));
    let message = error.to_string();
    for part in ["m.rs` was generated from a.idl", "from b.idl", "one call"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(fs::read_to_string(dir.path().join("m.rs")).unwrap(), before);
    assert!(!dir.path().join("alone.rs").exists());
    // The same file may change, and another may be added to the call.
    write(
        &code_of(&[(A.0, "module m { struct C { int x; }; }")]),
        dir.path(),
    )
    .unwrap();
    write(&code_of(&[A, B]), dir.path()).unwrap();
    write(&code_of(&[A]), dir.path()).unwrap_err();
    // A file that is gone is replaced after its code is deleted, as the error says.
    fs::remove_file(dir.path().join("m.rs")).unwrap();
    write(&code_of(&[A]), dir.path()).unwrap();
}

#[test]
fn one_build_script_does_not_write_a_module_twice() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out");
    let common = ("common.idl", "module common { struct Id { int n; }; }");
    let user = (
        "user.idl",
        "import common\nmodule user { sequence<common::Id> Ids; }",
    );
    // Files of the same name in two folders are two files.
    let other = ("other/a.idl", B.1);
    for (name, idl) in [A, B, common, user, other] {
        fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        fs::write(dir.path().join(name), idl).unwrap();
    }
    let compile = |name: &str| configure().out_dir(&out).compile(&[dir.path().join(name)]);
    compile("a.idl").unwrap();
    for name in ["b.idl", "other/a.idl"] {
        let error = compile(name).unwrap_err();
        assert!(matches!(error, Error::WrittenBefore { .. }), "{error}");
        let message = error.to_string();
        for part in ["m.rs`", "a.idl by an earlier", name, "in one call"] {
            assert!(message.contains(part), "{message}");
        }
    }
    let code = fs::read_to_string(out.join("m.rs")).unwrap();
    assert!(code.contains("struct A "), "{code}");
    // A module that two calls import is the same both times.
    compile("common.idl").unwrap();
    compile("user.idl").unwrap();
    // Other options give other code for it.
    let options = configure().runtime("my_tce").out_dir(&out);
    options.compile(&[dir.path().join("user.idl")]).unwrap_err();
}

#[test]
fn a_file_that_is_up_to_date_is_not_touched() {
    let dir = tempdir().unwrap();
    let files = code("module one { sequence<int> A; }");
    write(&files, dir.path()).unwrap();
    let path = dir.path().join("one.rs");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    write(&files, dir.path()).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().modified().unwrap(),
        SystemTime::UNIX_EPOCH
    );
    write(&code("module one { sequence<long> A; }"), dir.path()).unwrap();
    assert_ne!(
        fs::metadata(&path).unwrap().modified().unwrap(),
        SystemTime::UNIX_EPOCH
    );
}

#[test]
fn stale_files_are_told_apart_and_others_left_out() {
    let dir = tempdir().unwrap();
    write(&code("module gone {} module changed {}"), dir.path()).unwrap();
    fs::write(dir.path().join("own.rs"), "// Written by hand.\n").unwrap();
    fs::write(
        dir.path().join("gone.py"),
        "# Generated by tce from a.idl\n",
    )
    .unwrap();
    let stale = check(
        &code("module changed { sequence<int> A; } module new {}"),
        dir.path(),
    );
    let expected = [
        ("changed.rs", Staleness::Different),
        ("new.rs", Staleness::Missing),
        ("gone.rs", Staleness::Leftover),
    ];
    let expected = expected.map(|(path, reason)| StaleFile {
        path: path.into(),
        reason,
    });
    assert_eq!(stale.unwrap(), expected);
}

#[test]
fn a_folder_that_is_not_there_lacks_every_file() {
    let dir = tempdir().unwrap();
    let stale = check(&code("module one {}"), &dir.path().join("none")).unwrap();
    assert_eq!(
        stale,
        [StaleFile {
            path: "one.rs".into(),
            reason: Staleness::Missing
        }]
    );
}

#[test]
fn an_unknown_language_is_refused_with_those_that_are_known() {
    let error = generate(
        &tce_idl::model::Model::default(),
        "cobol",
        &Options::default(),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no back end writes `cobol`: known are `rust`, `python`, `typescript`"
    );
}
