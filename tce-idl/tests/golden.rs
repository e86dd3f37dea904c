//! Golden tests of the cases in `tests/cases`: the models and warnings of `ok`, the
//! errors of `fail`. `BLESS=1` records them anew.
//!
//! A case is a file, or a folder: then `main.idl` is compiled, `include` is the
//! include path, each `.txt` and `.xml` an index file, and each `.lock` a lock file.

#![expect(clippy::unwrap_used, reason = "a test that can't read its cases fails")]

#[path = "golden/dump.rs"]
mod dump;
#[path = "golden/record.rs"]
mod record;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tce_idl::diagnostic::{Code, Diagnostic, Label, Severity};
use tce_idl::loader::Memory;
use tce_idl::{Compilation, Options, compile_str, compile_with, render};

fn root(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/cases")
        .join(kind)
}

/// The names of the cases of a kind: folders, and files without their extension.
fn cases(kind: &str) -> Vec<String> {
    let paths = record::sorted(&root(kind)).into_iter();
    let cases = paths.filter(|path| {
        path.is_dir() || path.extension().is_some_and(|extension| extension == "idl")
    });
    cases
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// Compiles a case from memory, so that its paths are the same everywhere.
fn compile(kind: &str, name: &str) -> Compilation {
    compile_with_line_ends(kind, name, "\n")
}

/// The same, with another end for each line of a file that has no CR.
fn compile_with_line_ends(kind: &str, name: &str, end: &str) -> Compilation {
    let read = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        if bytes.contains(&b'\r') {
            return bytes;
        }
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default().to_vec();
        lines.fold(first, |text, line| [&text, end.as_bytes(), line].concat())
    };
    let root = root(kind);
    let folder = root.join(name);
    if !folder.is_dir() {
        let file = format!("{name}.idl");
        let loader = Memory::new().with(&file, read(&root.join(&file)));
        return compile_with(&loader, &[file], &Options::new());
    }
    let mut loader = Memory::new();
    let mut options = Options::new().include_dir(format!("{name}/include"));
    for path in record::sorted(&folder).into_iter().flat_map(|path| {
        if path.is_dir() {
            record::sorted(&path)
        } else {
            vec![path]
        }
    }) {
        let relative = path.strip_prefix(&root).unwrap();
        loader = loader.with(relative, read(&path));
        options = match path.extension().and_then(|extension| extension.to_str()) {
            Some("lock") => options.lock_file(relative),
            Some("idl") => options,
            _ => options.index_file(relative),
        };
    }
    compile_with(&loader, &[format!("{name}/main.idl")], &options)
}

/// Compares every case of a kind with its records. Returns the codes that were reported.
fn run(kind: &str, at_least: usize, good: bool) -> BTreeSet<Code> {
    let names = cases(kind);
    assert!(
        names.len() >= at_least,
        "only {} cases in `{kind}`",
        names.len()
    );
    let mut differences = Vec::new();
    let mut codes = BTreeSet::new();
    for name in &names {
        let compilation = compile(kind, name);
        let Compilation {
            model,
            diagnostics,
            sources,
        } = &compilation;
        let human = render::human(diagnostics, sources, false);
        assert_eq!(model.is_some(), good, "{kind}/{name}:\n{human}");
        json_agrees(&compilation);
        record::compare(
            &root(kind).join(format!("{name}.stderr")),
            &human,
            &mut differences,
        );
        if let Some(model) = model {
            record::compare(
                &root(kind).join(format!("{name}.model")),
                &dump::model(model),
                &mut differences,
            );
        }
        codes.extend(diagnostics.iter().map(|diagnostic| diagnostic.code));
    }
    assert!(
        differences.is_empty(),
        "BLESS=1 records anew:\n{}",
        differences.join("\n")
    );
    codes
}

/// Asserts that the JSON of a compilation is valid and agrees with it.
fn json_agrees(compilation: &Compilation) {
    let Compilation {
        diagnostics,
        sources,
        ..
    } = compilation;
    let json = render::json(diagnostics, sources);
    assert_eq!(json.lines().count(), diagnostics.len());
    for (line, diagnostic) in json.lines().zip(diagnostics) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["code"], diagnostic.code.id());
        assert_eq!(object["message"], diagnostic.message.as_str());
        let Some(label) = &diagnostic.primary else {
            assert!(object.get("primary").is_none());
            continue;
        };
        let source = sources.get(label.span.file);
        let position = source.position(label.span.start);
        let primary = &object["primary"];
        assert_eq!(primary["file"], source.path().to_str().unwrap());
        assert_eq!(
            (&primary["start"], &primary["end"]),
            (&label.span.start.into(), &label.span.end.into())
        );
        assert_eq!(
            (&primary["line"], &primary["column"]),
            (&position.line.into(), &position.column.into())
        );
    }
}

#[test]
fn cases_match_their_records_and_cover_every_code() {
    let mut seen = run("ok", 30, true);
    assert!(seen.iter().all(|code| code.severity() == Severity::Warning));
    seen.extend(run("fail", 60, false));
    // These need files that are too large for the repository: see limits.rs.
    seen.extend([Code::FileTooLarge, Code::MoreErrors, Code::MoreWarnings]);
    // Codes of the linter: see lint/.
    seen.extend(tce_idl::lint::rules().iter().map(|rule| rule.code));
    // Codes of the command: see its tests.
    seen.extend([
        Code::Layout,
        Code::SettingsSyntax,
        Code::UnknownSetting,
        Code::SettingValue,
        Code::LockStale,
    ]);
    // Codes about two versions of an IDL: see breaking.rs.
    let of_one = Code::ALL.iter().filter(|code| code.id() < "TCE0800");
    let missing: Vec<_> = of_one.filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}

/// Every rule sees the same lines, in IDL, index and lock files.
#[test]
fn cases_mean_the_same_with_other_line_ends() {
    let seen = |kind: &str, name: &str, end: &str| {
        let compilation = compile_with_line_ends(kind, name, end);
        let sources = &compilation.sources;
        let said = compilation.diagnostics.iter().map(|it| {
            let place = |label: &Label| {
                let span = label.span;
                (span.file, sources.get(span.file).position(span.start))
            };
            let notes: Vec<_> = it.notes.iter().map(place).collect();
            // The XML parser counts lines in its messages by LF alone.
            let message = it.message.split(" at ").next().unwrap().to_owned();
            (message, it.primary.as_ref().map(place), notes)
        });
        (
            said.collect::<Vec<_>>(),
            compilation.model.as_ref().map(dump::model),
        )
    };
    for kind in ["ok", "fail"] {
        for name in cases(kind) {
            let lf = seen(kind, &name, "\n");
            for end in ["\r\n", "\r"] {
                assert_eq!(seen(kind, &name, end), lf, "{kind}/{name} with {end:?}");
            }
        }
    }
}

/// What an editor offers to change leads to fewer diagnostics of that kind, and to no
/// other error.
#[test]
fn edits_repair_what_they_are_for() {
    let count = |list: &[Diagnostic], code: Code| list.iter().filter(|it| it.code == code).count();
    let errors = |list: &[Diagnostic]| {
        let errors = list.iter().filter(|it| it.severity == Severity::Error);
        errors.count()
    };
    let mut edits = 0;
    for (kind, name) in ["ok", "fail"].map(|kind| (kind, cases(kind))) {
        for name in name.iter().filter(|name| !root(kind).join(name).is_dir()) {
            let before = compile(kind, name);
            for diagnostic in &before.diagnostics {
                let Some(edit) = diagnostic.repair.as_ref().and_then(|it| it.edit.as_ref()) else {
                    continue;
                };
                let mut text = before.sources.get(edit.span.file).text().to_owned();
                let range = edit.span.start as usize..edit.span.end as usize;
                text.replace_range(range, &edit.replacement);
                let after = compile_str(&text).diagnostics;
                let (code, list) = (diagnostic.code, &before.diagnostics);
                assert!(
                    count(&after, code) < count(list, code) && errors(&after) <= errors(list),
                    "{kind}/{name}: {}\n{text}\n{after:?}",
                    diagnostic.message
                );
                edits += 1;
            }
        }
    }
    assert!(edits > 40, "only {edits} edits");
}

#[test]
fn every_record_has_a_case() {
    for kind in ["ok", "fail"] {
        let cases = cases(kind);
        for path in record::sorted(&root(kind)) {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            assert!(
                cases.contains(&stem),
                "{} belongs to no case",
                path.display()
            );
        }
    }
}

#[test]
fn codes_are_ascending_and_have_unique_names() {
    let ids: Vec<_> = Code::ALL.iter().map(|code| code.id()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), ids.len());
    assert!(
        Code::ALL
            .iter()
            .all(|code| code.explanation().ends_with('.'))
    );
}
