//! For any text: no panic, spans inside the text, and a model exactly if there is no error.

#![expect(clippy::unwrap_used, reason = "a test that can't read its cases fails")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use tce_idl::diagnostic::{Diagnostic, Severity};
use tce_idl::loader::Memory;
use tce_idl::source::{SourceMap, Span};
use tce_idl::{Compilation, Options, compile_str, compile_with, render};

/// The valid files of the golden cases.
static VALID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/ok");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files: Vec<_> = paths
        .filter(|path| path.is_file())
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert!(files.len() > 30);
    files
});

const TOKENS: &[&str] = &[
    "module",
    "struct",
    "interface",
    "sequence",
    "dictionary",
    "extends",
    "import",
    "Struct",
    "int",
    "string",
    "void",
    "m",
    "S",
    "I",
    "::",
    "<",
    ">",
    "{",
    "}",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ";",
    ",",
    "=",
    "1",
    "65535",
    "-1",
    "index",
    "comment",
    "\"x\"",
    "\"",
    "/*",
    "*/",
    "//",
    "///",
    "/** d */",
    "#",
    "\n",
    "；",
    "é",
    "\u{a0}",
    "enum",
    "out",
    "list",
    "struct S {",
    "interface I {",
    "module m {",
    "int x;",
    "void f();",
    "};",
    "sequence<S> L;",
];

fn token_soup() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(TOKENS), 0..120).prop_map(|tokens| tokens.join(" "))
}

/// A valid file with some of its bytes replaced, cut out or doubled.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        0..4u8,
        any::<u8>(),
        1..20usize,
    );
    let file = (0..VALID.len()).prop_map(|index| VALID[index].clone());
    (file, prop::collection::vec(edit, 1..8)).prop_map(|(mut bytes, edits)| {
        for (index, kind, byte, length) in edits {
            let at = index.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            match kind {
                0 => bytes.insert(at, byte),
                1 => drop(bytes.drain(at..end)),
                2 => bytes.extend_from_within(at..end),
                _ => bytes
                    .splice(
                        at..at,
                        "{};<>()[]\"".bytes().skip(usize::from(byte) % 10).take(1),
                    )
                    .for_each(drop),
            }
        }
        bytes
    })
}

fn holds(compilation: &Compilation) {
    let Compilation {
        model,
        diagnostics,
        sources,
    } = compilation;
    let errors = diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error);
    assert_eq!(model.is_none(), errors);
    for span in diagnostics.iter().flat_map(spans) {
        inside(span, sources);
    }
    for color in [true, false] {
        let text = render::human(diagnostics, sources, color);
        assert!(
            diagnostics
                .iter()
                .all(|diagnostic| text.contains(diagnostic.code.id()))
        );
    }
    for line in render::json(diagnostics, sources).lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

fn spans(diagnostic: &Diagnostic) -> Vec<Span> {
    let labels = diagnostic
        .primary
        .iter()
        .chain(&diagnostic.notes)
        .map(|label| label.span);
    let edit = diagnostic
        .repair
        .iter()
        .filter_map(|repair| Some(repair.edit.as_ref()?.span));
    labels.chain(edit).collect()
}

fn inside(span: Span, sources: &SourceMap) {
    let text = sources.get(span.file).text();
    assert!(
        text.get(span.start as usize..span.end as usize).is_some(),
        "{span:?} is not in {text:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_has_an_answer(text in "\\PC*") {
        holds(&compile_str(&text));
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let loader = Memory::new().with("a.idl", bytes.clone()).with("i.txt", bytes.clone()).with("i.xml", bytes);
        let options = Options::new().index_file("i.txt").index_file("i.xml");
        holds(&compile_with(&loader, &["a.idl"], &options));
    }

    #[test]
    fn token_soup_has_an_answer(text in token_soup()) {
        holds(&compile_str(&text));
        holds(&compile_str(&format!("module m {{ {text}")));
    }

    #[test]
    fn mutated_files_have_an_answer(bytes in mutated()) {
        let loader = Memory::new().with("a.idl", bytes);
        holds(&compile_with(&loader, &["a.idl"], &Options::new()));
    }

    #[test]
    fn index_files_have_an_answer(text in "((m|x|I|\\.|=|,|false|7|-|\n|<if|name|\"m.I\"|/>|<interfaces>|</interfaces>| ){0,40})") {
        let loader = Memory::new().with("a.idl", "module m { interface I { void f(); }; }");
        let loader = loader.with("i.txt", text.clone()).with("i.xml", text);
        let options = Options::new().index_file("i.txt").index_file("i.xml");
        holds(&compile_with(&loader, &["a.idl"], &options));
    }

    #[test]
    fn lock_files_have_an_answer(text in "((m|x|I|f|\\.|=|0|7|-| |\u{3000}|\n|\nm\\.I = |m\\.I\\.f = |retired|version|#|<<<<<<<){0,40})") {
        let loader = Memory::new().with("a.idl", "module m { interface I { void f(); void g(); }; }");
        let loader = loader.with("t.lock", text);
        holds(&compile_with(&loader, &["a.idl"], &Options::new().lock_file("t.lock")));
    }

    /// Compiling the same input twice gives the same result.
    #[test]
    fn one_text_has_one_answer(text in token_soup()) {
        let render = |compilation: Compilation| render::human(&compilation.diagnostics, &compilation.sources, false);
        prop_assert_eq!(render(compile_str(&text)), render(compile_str(&text)));
    }

    /// After the edit that a diagnostic suggests, that diagnostic is gone.
    #[test]
    fn missing_semicolons_can_be_mended_by_their_edits(keep in prop::collection::vec(any::<bool>(), 6)) {
        let end = |at: usize| if keep[at] { ";" } else { "" };
        let text = format!(
            "module m {{ struct S {{ int a{}\nint b{} }}{}\ninterface I {{ void f(){}\nvoid g(){} }}{}\n }}",
            end(0), end(1), end(2), end(3), end(4), end(5),
        );
        let Compilation { diagnostics, .. } = compile_str(&text);
        let mut mended = text;
        for diagnostic in diagnostics.iter().rev() {
            let edit = diagnostic.repair.as_ref().and_then(|repair| repair.edit.as_ref()).unwrap();
            mended.replace_range(edit.span.start as usize..edit.span.end as usize, &edit.replacement);
        }
        prop_assert!(compile_str(&mended).model.is_some(), "{}", mended);
    }
}
