//! Texts that are too large, too deep or have too many errors: always a result.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use tce_idl::diagnostic::{Code, MAX_REPORTED, Severity};
use tce_idl::loader::{MAX_FILE_BYTES, Memory};
use tce_idl::{Compilation, Options, compile, compile_str, compile_with, render};

fn codes(compilation: &Compilation) -> Vec<Code> {
    compilation
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect()
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let spaces = |bytes| compile_str(&" ".repeat(bytes));
    assert_eq!(codes(&spaces(MAX_FILE_BYTES)), []);
    assert_eq!(codes(&spaces(MAX_FILE_BYTES + 1)), [Code::FileTooLarge]);
}

#[test]
fn errors_past_the_limit_are_counted() {
    let members: String = (0..150).map(|n| format!("nonsense{n} m{n};\n")).collect();
    let compilation = compile_str(&format!("module m {{ struct S {{ {members} }}; }}"));
    assert_eq!(compilation.diagnostics.len(), MAX_REPORTED + 1);
    let last = &compilation.diagnostics[MAX_REPORTED];
    assert_eq!(
        (last.code, last.message.as_str()),
        (
            Code::MoreErrors,
            "50 more errors not shown: fix these first"
        )
    );
}

#[test]
fn warnings_past_the_limit_hide_no_error_and_stop_nothing() {
    let operations: String = (0..101)
        .map(|n| format!("[odd{n}=1] void f{n}();\n"))
        .collect();
    let text = format!("module m {{ interface I {{ {operations} }}; }}");
    let compilation = compile_str(&text);
    assert!(compilation.model.is_some());
    assert_eq!(codes(&compilation).last(), Some(&Code::MoreWarnings));
    let compilation = compile_str(&text.replace("void f100()", "void f100(nonsense x)"));
    assert!(compilation.model.is_none());
    assert!(codes(&compilation).contains(&Code::UnknownType));
}

/// Chains that would overflow the stack of a recursive walk, on a stack just large enough for a parse.
#[test]
fn long_chains_do_not_overflow_the_stack() {
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let chains = thread.spawn(|| {
        let (text, circles) = (chains(5000, false), chains(5000, true));
        let Compilation {
            diagnostics,
            sources,
            ..
        } = compile_str(&text);
        assert_eq!(render::human(&diagnostics, &sources, false), "");
        let expected = [Code::RecursiveStruct, Code::EndlessType, Code::CircularBase];
        assert_eq!(codes(&compile_str(&circles)), expected);
    });
    chains.expect("a thread").join().expect("an answer");
}

/// A struct in a struct in a struct, a sequence of sequences, an interface on
/// an interface; the first of each refers to the last if they are `closed`.
fn chains(length: usize, closed: bool) -> String {
    let last = length - 1;
    let (structure, element, base) = match closed {
        true => (
            format!("S{last}"),
            format!("L{last}"),
            format!("extends I{last}"),
        ),
        false => ("int".to_owned(), "int".to_owned(), String::new()),
    };
    let mut structs = format!("struct S0 {{ {structure} x; }};\n");
    let mut sequences = format!("sequence<{element}> L0;\n");
    let mut interfaces = format!("interface I0 {base} {{ void f0(); }};\n");
    for n in 1..length {
        let under = n - 1;
        let _ = writeln!(structs, "struct S{n} {{ S{under} x; }};");
        let _ = writeln!(sequences, "sequence<L{under}> L{n};");
        let _ = writeln!(
            interfaces,
            "interface I{n} extends I{under} {{ void f{n}(); }};"
        );
    }
    format!("module m {{ {structs}{sequences}{interfaces} }}")
}

#[test]
fn a_long_chain_of_imports_is_read() {
    let loader = (0..5000).fold(Memory::new(), |loader, n| {
        loader.with(
            format!("f{n}.idl"),
            format!("import f{}; module m{n} {{ }}", (n + 1) % 5000),
        )
    });
    let compilation = compile_with(&loader, &["f0.idl"], &Options::new());
    let model = compilation.model.expect("circles are fine");
    assert_eq!(
        (model.modules.len(), model.modules[0].name.as_str()),
        (5000, "m4999")
    );
}

#[test]
fn more_interfaces_than_indices_are_an_error() {
    let interfaces: String = (0..65_537)
        .map(|n| format!("interface I{n}{{void f();}};\n"))
        .collect();
    let compilation = compile_str(&format!("module m {{ {interfaces} }}"));
    let codes = codes(&compilation);
    assert!(
        codes.contains(&Code::BadIndex) && codes.contains(&Code::ReservedIndex),
        "{codes:?}"
    );
}

#[test]
fn deep_xml_does_not_overflow_the_stack() {
    for text in [
        "<a>".repeat(100_000),
        "<interfaces>".repeat(100_000),
        "&lol;".repeat(1000),
    ] {
        let loader = Memory::new()
            .with("a.idl", "module m { }")
            .with("i.xml", text);
        let compilation = compile_with(&loader, &["a.idl"], &Options::new().index_file("i.xml"));
        assert_eq!(codes(&compilation), [Code::IndexFileSyntax]);
    }
}

#[test]
fn imports_on_disk_are_found_beside_and_on_the_include_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &[u8]| std::fs::write(path(name), text).expect("a file");
    std::fs::create_dir(path("include")).expect("a folder");
    write(
        "main.idl",
        b"import beside; import far; import main; module m { sequence<far::Pet> Pets; }",
    );
    write("beside.idl", b"module beside { }");
    write(
        "include/far.idl",
        b"import beside; module far { struct Pet { int x; }; }",
    );
    write("list.txt", b"m.Nothing=1\n");
    let options = Options::new()
        .include_dir(folder.path())
        .include_dir(path("include"))
        .index_file(path("list.txt"));
    let compilation = compile(&[path("main.idl")], &options);
    assert!(compilation.model.is_some());
    let read: Vec<&Path> = compilation
        .sources
        .files()
        .iter()
        .map(tce_idl::source::SourceFile::path)
        .collect();
    let expected = [
        path("main.idl"),
        path("beside.idl"),
        path("include/far.idl"),
        path("list.txt"),
    ];
    assert_eq!(
        read,
        expected.iter().map(PathBuf::as_path).collect::<Vec<_>>()
    );
    let compilation = compile(&[path("mian.idl"), path("include")], &Options::new());
    let text = render::human(&compilation.diagnostics, &compilation.sources, false);
    assert!(
        text.contains("main.idl`?") && text.contains("it is a folder"),
        "{text}"
    );
    assert!(
        compilation
            .diagnostics
            .iter()
            .all(|diagnostic| diagnostic.severity == Severity::Error)
    );
}

#[test]
fn colour_is_added_only_when_asked_for() {
    let Compilation {
        diagnostics,
        sources,
        ..
    } = compile_str("module m { struct S { }; }");
    assert!(!render::human(&diagnostics, &sources, false).contains('\u{1b}'));
    assert!(render::human(&diagnostics, &sources, true).contains('\u{1b}'));
}
