//! The linter: golden tests of the examples of the rules; levels, comments, and
//! which files are checked. `BLESS=1` records the findings anew.

#![expect(clippy::unwrap_used, reason = "a test that can't read its cases fails")]

use std::fs;
use std::path::Path;

use tce_idl::diagnostic::{Code, Severity};
use tce_idl::lint::{self, Language, Level, Rule, Settings};
use tce_idl::loader::Memory;
use tce_idl::lock::Lock;
use tce_idl::{Compilation, Options, format, lint_with, render};

/// Lints one text, which may import `common`.
fn lint(text: &str, settings: &Settings) -> Compilation {
    let common = "module common { struct Name { string Text; }; }";
    let loader = Memory::new().with("a.idl", text).with("common.idl", common);
    lint_with(&loader, &["a.idl"], &Options::new(), settings)
}

/// The text at the findings of one code.
fn found<'t>(text: &'t str, code: Code, settings: &Settings) -> Vec<&'t str> {
    let diagnostics = lint(text, settings).diagnostics.into_iter();
    let of_code = diagnostics.filter(|it| it.code == code);
    let place = |it: tce_idl::diagnostic::Diagnostic| {
        let span = it.primary.unwrap().span;
        &text[span.start as usize..span.end as usize]
    };
    of_code.map(place).collect()
}

/// Settings that enable a rule that is off by default.
fn speaking(rule: &Rule) -> Settings {
    Settings::new().with(rule.code, Level::Warn)
}

#[test]
fn findings_in_bad_examples_match_their_records() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint");
    let mut records = 0;
    for rule in lint::rules() {
        let compilation = lint(rule.bad, &speaking(rule));
        assert!(compilation.model.is_some(), "{:?}", compilation.diagnostics);
        let of_rule = compilation
            .diagnostics
            .iter()
            .filter(|it| it.code == rule.code);
        let findings: Vec<_> = of_rule.cloned().collect();
        assert!(
            !findings.is_empty(),
            "{} says nothing of its bad example",
            rule.code.name()
        );
        let text = render::human(&findings, &compilation.sources, false);
        let record = folder.join(format!("{}.stderr", rule.code.name()));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&record, &text).unwrap();
        }
        let recorded = fs::read_to_string(&record).unwrap_or_default();
        assert_eq!(text, recorded, "{}: BLESS=1 records anew", record.display());
        records += 1;
    }
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        records + 1,
        "a record without its rule"
    );
}

#[test]
fn good_examples_have_no_findings() {
    for rule in lint::rules() {
        let said = lint(rule.good, &speaking(rule)).diagnostics;
        assert!(said.is_empty(), "{}: {said:?}", rule.code.name());
        for example in [rule.bad, rule.good] {
            assert_eq!(format(example).unwrap(), example, "{}", rule.code.name());
        }
        let sentences = rule.why.trim_end();
        assert!(
            sentences.ends_with('.') && !sentences.contains("  "),
            "{sentences}"
        );
    }
}

#[test]
fn rules_are_sorted_and_found_by_name_and_code() {
    let codes: Vec<Code> = lint::rules().iter().map(|rule| rule.code).collect();
    assert!(codes.is_sorted());
    for code in lint::switchable() {
        assert_eq!(Settings::find(code.name()), Some(code));
        assert_eq!(Settings::find(code.id()), Some(code));
    }
    let switchable: Vec<Code> = lint::switchable().collect();
    assert!(codes.iter().all(|code| switchable.contains(code)));
    assert!(switchable.contains(&Code::SharedIndex));
    for other in ["unknown-type", "TCE0006", "layout", "none"] {
        assert_eq!(Settings::find(other), None);
    }
}

/// After the edit that a finding suggests, the finding is gone.
#[test]
fn edits_fix_their_findings() {
    let mut edits = 0;
    for rule in lint::rules() {
        for finding in lint(rule.bad, &speaking(rule)).diagnostics {
            let Some(edit) = finding.repair.and_then(|repair| repair.edit) else {
                continue;
            };
            edits += 1;
            let mut mended = rule.bad.to_owned();
            mended.replace_range(
                edit.span.start as usize..edit.span.end as usize,
                &edit.replacement,
            );
            let before = found(rule.bad, finding.code, &speaking(rule)).len();
            let after = found(&mended, finding.code, &speaking(rule)).len();
            assert_eq!(after, before - 1, "{mended}");
        }
    }
    assert!(edits > 1);
}

#[test]
fn levels_switch_rules_and_warnings_of_the_compiler() {
    let text = "module m { [colour=1] interface I { void Open(); }; }";
    let severities = |settings: &Settings| -> Vec<(Code, Severity)> {
        let diagnostics = lint(text, settings).diagnostics;
        diagnostics
            .iter()
            .map(|it| (it.code, it.severity))
            .collect()
    };
    let (unknown, case) = (Code::UnknownAnnotation, Code::OperationCase);
    let settings = Settings::new();
    let (error, warning) = (Severity::Error, Severity::Warning);
    assert_eq!(severities(&settings), [(unknown, warning), (case, warning)]);
    let settings = settings.with(unknown, Level::Allow).with(case, Level::Deny);
    assert_eq!(severities(&settings), [(case, error)]);
    assert!(
        lint(text, &settings).model.is_some(),
        "the IDL is right all the same"
    );
}

#[test]
fn findings_are_not_reported_beside_errors() {
    let said = lint("module M { struct s { strng Name; }; }", &Settings::new()).diagnostics;
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].code, Code::UnknownType);
}

#[test]
fn comments_suppress_findings_in_a_declaration_or_a_line() {
    let text = "\
// tce-lint: allow(module-case)
module M {
    /* tce-lint: allow(member-case, TCE0510) */
    struct pet {
        string NAME;
        string OWNER;
    };
    struct Dog {
        string NAME1; // tce-lint: allow(member-case)
        string NAME2;
        # tce-lint: allow(member-case)
        string NAME3;
        // tce-lint: allow(member-case) the list ends here
    };
    [index=0] // tce-lint: allow(operation-case)
    interface I {
        // tce-lint: allow(operation-case)
        [index=4]
        void Open(pet PET, Dog DOG);
        void Close(
            // tce-lint: allow(member-case)
            int AAA,
            int BBB
        );
    };
}
";
    let settings = Settings::new();
    assert!(found(text, Code::ModuleCase, &settings).is_empty());
    assert!(found(text, Code::TypeCase, &settings).is_empty());
    assert_eq!(
        found(text, Code::MemberCase, &settings),
        ["NAME2", "PET", "DOG", "BBB"]
    );
    assert_eq!(found(text, Code::OperationCase, &settings), ["Close"]);
    let odd = found(text, Code::LintComment, &settings);
    assert_eq!(odd, ["// tce-lint: allow(member-case) the list ends here"]);
}

#[test]
fn suppressed_findings_do_not_count_towards_the_limit() {
    let allowed = "// tce-lint: allow(member-case)\nint AAA;\n";
    let members: String = (0..300)
        .map(|at| allowed.replace("AAA", &format!("A{at}")))
        .collect();
    let text = format!("module m {{\nstruct S {{\n{members}int LAST;\n}};\n}}");
    assert_eq!(found(&text, Code::MemberCase, &Settings::new()), ["LAST"]);
}

#[test]
fn only_the_given_files_are_checked() {
    let text = "import common\nmodule m { interface I { void f(common::Name name); }; }";
    assert!(lint(text, &Settings::new()).diagnostics.is_empty());
    let loader = Memory::new()
        .with("a.idl", text)
        .with("common.idl", "module common { struct Name { int N; }; }");
    let both = lint_with(
        &loader,
        &["./a.idl", "common.idl"],
        &Options::new(),
        &Settings::new(),
    );
    let codes: Vec<Code> = both.diagnostics.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::MemberCase]);
}

#[test]
fn languages_choose_the_keywords() {
    let text = "module m { interface I { void f(int None, int match, int foreach); }; }";
    let with = |languages: &[Language]| Settings::new().with_languages(languages);
    let found = |settings: &Settings| found(text, Code::KeywordName, settings);
    assert_eq!(found(&Settings::new()), ["None", "match", "foreach"]);
    assert_eq!(found(&with(&[Language::Rust])), ["match"]);
    assert_eq!(
        found(&with(&[Language::CSharp, Language::Python])),
        ["None", "foreach"]
    );
    assert!(found(&with(&[])).is_empty());
}

#[test]
fn with_a_lock_file_indices_can_be_implicit() {
    let text = "module m { interface I { void f(); }; interface J { void f(); }; }";
    assert_eq!(
        found(text, Code::ImplicitIndex, &Settings::new()),
        ["I", "J"]
    );
    let model = lint(text, &Settings::new()).model.unwrap();
    let lock = Lock::of(&model).to_string();
    let loader = Memory::new().with("a.idl", text).with("tce.lock", lock);
    let options = Options {
        lock_files: vec!["tce.lock".into()],
        ..Options::new()
    };
    let locked = lint_with(&loader, &["a.idl"], &options, &Settings::new());
    assert!(locked.diagnostics.is_empty(), "{:?}", locked.diagnostics);
}

#[test]
fn typical_files_have_no_findings() {
    let zoo = include_str!("../../../tests/idl/zoo.idl");
    let said = lint(zoo, &Settings::new()).diagnostics;
    assert!(said.is_empty(), "{said:?}");
    let test = include_str!("../../../examples/simple/idl/test.idl");
    let said = lint(test, &Settings::new()).diagnostics;
    let codes: Vec<Code> = said.iter().map(|it| it.code).collect();
    assert_eq!(
        codes,
        [Code::ImplicitIndex; 4],
        "four interfaces, by position"
    );
}

#[test]
fn what_legacy_compilers_reject_is_reported() {
    let found = |text: &str| found(text, Code::LegacySyntax, &Settings::new()).len();
    let good = "// a\nimport common\nmodule m {\n[comment=word, index=1]\ninterface I { /// doc\n\
        void f(common::Name name, int count); [index=2] void g(); };\n}\n";
    assert_eq!(found(good), 0);
    for (old, new) in [
        ("import common\n", "import common;\n"),
        ("};\n}\n", "};\n};\n"),
        ("module m {\n", "module m {\n;\n"),
        ("};\n}\n", "};;\n}\n"),
        ("// a\n", "# a\n"),
        ("// a\n", "#/ a\n"),
        ("// a\n", "/* a */\n"),
        ("/// doc\n", "/** doc */\n"),
        ("// a\n", "// a\r"),
        ("}\n", "} // the end"),
        ("module m", "module modules"),
        ("interface I", "interface imports"),
        ("void g", "void extendsTo"),
        (" name", " importance"),
        (" count", " structure"),
        ("[index=2]", "[dictionary_=2]"),
        ("[comment", "sequence<int> exception; [comment"),
        ("[comment", "struct S { int sequence_number; }; [comment"),
    ] {
        let at = good.rfind(old).unwrap();
        let bad = format!("{}{new}{}", &good[..at], &good[at + old.len()..]);
        assert_eq!(found(&bad), 1, "{bad}");
    }
}

/// What the formatter changes, the rule does not report.
#[test]
fn formatted_files_are_legacy_syntax_as_far_as_space_allows() {
    let text =
        "import common;\nmodule m { ; struct S { int a; };; interface I { S f(); }; } ; // x";
    assert_eq!(found(text, Code::LegacySyntax, &Settings::new()).len(), 5);
    let text = format(text).unwrap();
    assert!(
        found(&text, Code::LegacySyntax, &Settings::new()).is_empty(),
        "{text}"
    );
}

/// The IDL files of the project can be compiled by all compilers of TCE.
#[test]
fn the_files_of_the_project_are_legacy_syntax() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seen = 0;
    for folder in [
        "bench/idl",
        "examples",
        "gateway/idl",
        "tests/idl",
        "tce-cli/src/new/template/idl",
    ] {
        for path in tce_idl::loader::idl_files(&root.join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.replace("{{module}}", "project");
            let name = path.display();
            let findings = found(&text, Code::LegacySyntax, &Settings::new());
            assert!(findings.is_empty(), "{name}: {findings:?}");
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} files");
}
