//! The formatter: golden tests of layouts, and properties of any text. `BLESS=1` records the layouts anew.

#![expect(clippy::unwrap_used, reason = "a test that can't read its cases fails")]

#[path = "../golden/dump.rs"]
mod dump;
mod partly;
mod random;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tce_idl::loader::Memory;
use tce_idl::{Compilation, Options, compile_with, format, format_file, render};

/// The `.idl` files in a folder of the repository.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "idl"))
        .collect();
    files.sort();
    files
}

/// Compiles a text, which may import `other`.
fn compiled(text: &str) -> Compilation {
    let loader = Memory::new().with("input.idl", text).with("other.idl", "");
    compile_with(&loader, &["input.idl"], &Options::new())
}

/// The model of a text with its documentation, and its diagnostics without positions.
fn meaning(text: &str) -> (String, Vec<(String, String)>) {
    let compilation = compiled(text);
    let diagnostics = compilation.diagnostics.iter();
    let said = diagnostics
        .map(|it| (it.code.to_string(), it.message.clone()))
        .collect();
    let model = compilation.model.as_ref();
    (model.map(dump::model).unwrap_or_default(), said)
}

/// The comments of a text, without spaces and `*`.
fn comments(text: &str) -> Vec<String> {
    let bare = |comment: &str| {
        let is_space = |c: char| c.is_whitespace() || c == '*';
        comment
            .chars()
            .filter(|c| !is_space(*c))
            .collect::<String>()
    };
    let mut rest = text;
    let mut found = Vec::new();
    while let Some(start) = rest.find(['/', '#', '"']) {
        rest = &rest[start..];
        let end = if let Some(string) = rest.strip_prefix('"') {
            string.find('"').unwrap() + 2
        } else if let Some(block) = rest.strip_prefix("/*") {
            block.find("*/").unwrap() + 4
        } else {
            rest.find(['\n', '\r']).unwrap_or(rest.len())
        };
        if !rest.starts_with('"') {
            found.push(bare(&rest[..end]));
        }
        rest = &rest[end..];
    }
    found
}

/// Asserts the properties of a formatted text, and returns it.
#[track_caller]
fn laid_out(text: &str) -> String {
    let formatted = format(text).unwrap();
    assert_eq!(
        format(&formatted).unwrap(),
        formatted,
        "laid out twice, from:\n{text}"
    );
    assert_eq!(
        meaning(&formatted),
        meaning(text),
        "{formatted}\nfrom:\n{text}"
    );
    assert_eq!(
        comments(&formatted),
        comments(text),
        "{formatted}\nfrom:\n{text}"
    );
    let end = if formatted.contains('\r') {
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
        "\r\n"
    } else {
        "\n"
    };
    let lines: Vec<&str> = formatted.split(end).collect();
    let is_trimmed = |line: &&str| *line == line.trim_end() && !line.contains(['\r', '\n']);
    assert!(lines.iter().all(is_trimmed), "{formatted:?}");
    assert!(formatted.is_empty() || !lines[0].is_empty(), "{formatted}");
    let ending = lines.len().checked_sub(2).map(|last| &lines[last..]);
    assert!(formatted.is_empty() || ending.is_some_and(|it| !it[0].is_empty() && it[1].is_empty()));
    formatted
}

#[test]
fn layouts_match_their_records() {
    let cases = files("tests/format");
    assert!(cases.len() > 5);
    for case in cases {
        let formatted = laid_out(&fs::read_to_string(&case).unwrap());
        let record = case.with_extension("formatted");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&record, &formatted).unwrap();
        }
        let recorded = fs::read_to_string(&record).unwrap_or_default();
        assert_eq!(
            formatted,
            recorded,
            "{}: BLESS=1 records anew",
            case.display()
        );
    }
}

#[test]
fn every_file_of_the_repository_keeps_its_meaning() {
    for folder in [
        "../tests/cases/ok",
        "../tests/idl",
        "../tce-codegen/tests/golden",
    ] {
        for path in files(folder) {
            let bytes = fs::read(&path).unwrap();
            laid_out(
                std::str::from_utf8(&bytes)
                    .unwrap()
                    .trim_start_matches('\u{feff}'),
            );
        }
    }
}

#[test]
fn a_text_with_syntax_errors_is_not_formatted() {
    for path in files("../tests/cases/fail") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let loader = Memory::new().with(name, fs::read(&path).unwrap());
        let checked = compile_with(&loader, &[name], &Options::new());
        let formatted = format_file(&loader, Path::new(name));
        // A text with other errors is formatted.
        let Some(text) = formatted.text else {
            assert!(!formatted.changed);
            let said = render::human(&formatted.diagnostics, &formatted.sources, false);
            let all = render::human(&checked.diagnostics, &checked.sources, false);
            assert!(
                said.split("\n\n").all(|one| all.contains(one)),
                "{name}:\n{said}"
            );
            continue;
        };
        assert_eq!(laid_out(&text), text);
    }
}

/// What `tce fmt` makes of a text, and what `tce fmt --check` says of it.
fn formatted(text: &str) -> (String, String) {
    let formatted = format_file(&Memory::new().with("a.idl", text), Path::new("a.idl"));
    let said: Vec<_> = formatted.difference().into_iter().collect();
    let said = render::human(&said, &formatted.sources, false);
    let text = formatted.text.unwrap();
    assert_eq!(formatted.changed, !said.is_empty());
    (text, said)
}

#[test]
fn line_ends_that_are_all_alike_stay() {
    let good = "module m {\n    // a\n    sequence<int> L;\n}\n";
    for text in [good.to_owned(), good.replace('\n', "\r\n")] {
        assert_eq!(formatted(&text), (text.clone(), String::new()));
        assert_eq!(format(&text).unwrap(), text);
        let wide = text.replace("int", " int ");
        assert_eq!(format(&wide).unwrap(), text);
    }
}

#[test]
fn differences_that_are_not_visible_are_named() {
    let good = "module m {\n    sequence<int> L;\n}\n";
    for (text, what) in [
        (format!("\u{feff}{good}"), "removes the byte-order mark"),
        (
            good.replace("L;\n", "L;\r\n"),
            "2:1 \
             the line ends with CR LF, and should end with LF",
        ),
        (
            good.replace('\n', "\r"),
            "1:1 the line ends with CR alone, and should end with LF",
        ),
        (
            good.replace("{\n", "{\r"),
            "1:1 the line ends with CR alone, and should end with LF",
        ),
        (
            good.trim_end().to_owned(),
            "3:1 the line ends with the file, and should end with LF",
        ),
        (
            good.replace("L;", "L; \t"),
            "2:1 spaces at the end of the line should be removed",
        ),
        (format!("{good}\n"), "4:1 should be empty"),
        (
            good.replace("    ", "\t"),
            "2:1 tabs should be spaces: ` sequence<int> L;`",
        ),
    ] {
        let (laid_out, said) = formatted(&text);
        assert_eq!(laid_out, good, "{text:?}");
        assert_eq!(format(&text).unwrap(), good, "{text:?}");
        let words: Vec<&str> = said.split_whitespace().collect();
        let place = words.iter().find_map(|word| word.strip_prefix("a.idl:"));
        let said = format!(
            "{} {}",
            place.unwrap_or_default(),
            words.join(" ").replace('^', "")
        );
        let (at, text) = what.split_once(' ').unwrap();
        assert!(said.contains(text.trim()), "{said}");
        assert!(!at.contains(':') || said.starts_with(at), "{said}");
    }
}

#[test]
fn the_first_line_that_changes_is_shown() {
    let text = "module m {\n  sequence<int>  L; // é\n}\n";
    let formatted = format_file(&Memory::new().with("a.idl", text), Path::new("a.idl"));
    let said = render::human(
        &[formatted.difference().unwrap()],
        &formatted.sources,
        false,
    );
    assert_eq!(
        said,
        "\
warning[TCE0500]: `a.idl` is not in canonical layout
 --> a.idl:2:1
  |
2 |   sequence<int>  L; // é
  | ^^^^^^^^^^^^^^^^^^^^^^^^ should be `    sequence<int> L; // é`
  |
  = help: `tce fmt` formats it
"
    );
}

#[test]
fn a_file_that_is_not_text_is_reported() {
    let loader = Memory::new().with("a.idl", b"\xff");
    let code = |path| {
        let formatted = format_file(&loader, Path::new(path));
        assert!(formatted.text.is_none() && !formatted.changed);
        formatted.diagnostics[0].code.id()
    };
    assert_eq!(code("a.idl"), "TCE0003");
    assert_eq!(code("b.idl"), "TCE0001");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_models_keep_their_meaning_and_are_laid_out_once(text in random::file()) {
        prop_assert!(compiled(&text).model.is_some(), "the generator makes mistakes:\n{}", text);
        laid_out(&text);
    }

    #[test]
    fn any_text_has_a_result(text in "(module m|struct S|interface I|[{}()\\[\\];,=<>]| |\n|//x|/\\*x\\*/|int a|\"|é|\u{a0}|\r){0,60}") {
        if format(&text).is_ok() {
            laid_out(&text);
        }
    }
}
