//! Golden tests of the cases in `tests/breaking`: `expected.txt` has the breaking
//! changes from `old.idl` to `new.idl`; cases called `compatible_…` have none.
//! `BLESS=1` records them anew.

#![expect(clippy::unwrap_used, reason = "a test that can't read its cases fails")]

#[path = "golden/record.rs"]
mod record;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tce_idl::diagnostic::{Code, Diagnostic};
use tce_idl::loader::Memory;
use tce_idl::source::SourceMap;
use tce_idl::{Compilation, Options, compare, compile_beside, compile_with, render};

/// The breaking changes, and the sources of both versions.
fn changes(old: &str, new: &str) -> (Vec<Diagnostic>, SourceMap) {
    let loader = Memory::new().with("old.idl", old).with("new.idl", new);
    let options = Options::new();
    let new = compile_with(&loader, &["new.idl"], &options);
    let old = compile_beside(new.sources.clone(), &loader, &["old.idl"], &options);
    let models = [&old, &new].map(|it: &Compilation| {
        let text = render::human(&it.diagnostics, &it.sources, false);
        it.model.clone().ok_or(text)
    });
    let [old_model, new_model] =
        models.map(|model| model.unwrap_or_else(|text| unreachable!("{text}")));
    (compare(&old_model, &new_model), old.sources)
}

/// The new text after the suggested edits of indices.
fn with_edits(new: &str, changes: &[Diagnostic]) -> String {
    let about_indices = |it: &&Diagnostic| matches!(it.code, Code::IndexMoved | Code::IndexReused);
    let repairs = changes.iter().filter(about_indices);
    let edits = repairs.map(|it| it.repair.clone().unwrap().edit.unwrap());
    let mut edits: Vec<_> = edits.collect();
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.span));
    let mut text = new.to_owned();
    for edit in edits {
        let range = edit.span.start as usize..edit.span.end as usize;
        text.replace_range(range, &edit.replacement);
    }
    text
}

/// Asserts that the edits restore every old index, and give new declarations unused ones.
fn assert_edits_suffice(old: &str, new: &str) {
    let (before, _) = changes(old, new);
    let text = with_edits(new, &before);
    let (after, sources) = changes(old, &text);
    assert_eq!(
        with_edits(&text, &after),
        text,
        "{}",
        render::human(&after, &sources, false)
    );
}

fn cases() -> Vec<PathBuf> {
    record::sorted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/breaking"))
}

#[test]
fn cases_match_their_records_and_cover_every_code() {
    let (mut differences, mut seen) = (Vec::new(), BTreeSet::new());
    let cases = cases();
    assert!(cases.len() >= 45, "only {} cases", cases.len());
    for case in &cases {
        let [old, new] =
            ["old.idl", "new.idl"].map(|name| fs::read_to_string(case.join(name)).unwrap());
        let (changes, sources) = changes(&old, &new);
        let text = render::human(&changes, &sources, false);
        let name = case.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            changes.is_empty(),
            name.starts_with("compatible_"),
            "{name}\n{text}"
        );
        assert!(
            changes
                .iter()
                .all(|it| it.breaks.names().count() > 0 && it.repair.is_some()),
            "{text}"
        );
        record::compare(&case.join("expected.txt"), &text, &mut differences);
        assert_edits_suffice(&old, &new);
        seen.extend(changes.iter().map(|it| it.code));
    }
    assert!(
        differences.is_empty(),
        "BLESS=1 records anew:\n{}",
        differences.join("\n")
    );
    let mut of_two = Code::ALL.iter().filter(|code| code.id() >= "TCE0800");
    assert_eq!(of_two.find(|code| !seen.contains(code)), None);
}

#[test]
fn the_same_version_breaks_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/ok");
    for path in record::sorted(&folder) {
        if path.extension().is_some_and(|extension| extension == "idl") {
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(changes(&text, &text).0, [], "{}", path.display());
        }
    }
}

/// An interface with some of eight operations in any order, some with an index.
/// Each has different parameters, so that none is taken for a renamed one.
fn interface(first_index: usize) -> impl Strategy<Value = String> {
    let operations: Vec<usize> = (0..8).collect();
    let chosen = prop::sample::subsequence(operations, 1..=8).prop_shuffle();
    (chosen, any::<u8>()).prop_map(move |(chosen, explicit)| {
        let operations = chosen.into_iter().map(|at| {
            let index = match explicit >> at & 1 {
                1 => format!("[index={}] ", first_index + at),
                _ => String::new(),
            };
            let parameters: Vec<String> = (0..at).map(|at| format!("int p{at}")).collect();
            format!("{index}void f{at}({});\n", parameters.join(", "))
        });
        format!(
            "module m {{ interface I {{\n{}}}; }};\n",
            operations.collect::<String>()
        )
    })
}

proptest! {
    #[test]
    fn the_indices_to_write_keep_every_old_one(old in interface(10), new in interface(20)) {
        assert_edits_suffice(&old, &new);
    }
}
