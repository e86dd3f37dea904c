//! The layout of texts with syntax errors.

use std::fs;

use proptest::prelude::*;
use tce_idl::loader::Memory;
use tce_idl::{Options, format, format_partly, inspect_with, lint};

use crate::{comments, files, meaning, random};

/// Every symbol with its documentation and its index.
fn symbols(text: &str) -> Vec<String> {
    let loader = Memory::new().with("input.idl", text).with("other.idl", "");
    let settings = lint::Settings::default();
    let (_, names) = inspect_with(&loader, &["input.idl"], &Options::new(), &settings);
    let described = names.symbols().map(|(id, it)| {
        let name = names.full_name(id);
        let index = it.index.map(|(index, _)| index);
        format!("{} {name} {index:?} {:?}", it.kind.noun(), it.doc)
    });
    described.collect()
}

/// Asserts that only space and redundant punctuation changes, once, and returns the result.
#[track_caller]
fn partly(text: &str) -> String {
    let formatted = format_partly(text);
    let tokens = |text: &str| -> String {
        let is_kept = |c: &char| !c.is_whitespace() && !";,*".contains(*c);
        text.chars().filter(is_kept).collect()
    };
    let sorted = |text: &str| {
        let mut tokens: Vec<char> = tokens(text).chars().collect();
        tokens.sort_unstable();
        tokens
    };
    // A comment may move behind a `;`, but nothing is lost.
    assert_eq!(
        sorted(&formatted),
        sorted(text),
        "{formatted}\nfrom:\n{text}"
    );
    assert_eq!(
        meaning(&formatted),
        meaning(text),
        "{formatted}\nfrom:\n{text}"
    );
    assert_eq!(
        symbols(&formatted),
        symbols(text),
        "{formatted}\nfrom:\n{text}"
    );
    assert_eq!(format_partly(&formatted), formatted, "twice, from:\n{text}");
    formatted
}

#[test]
fn declarations_beside_malformed_ones_are_laid_out() {
    let text = "\
import   a
module m {
  // First.
  struct A{int a;}; // a
  /** Doc. */  [index=2]  interface I { void f( int a ); };
    interface   Bad { void f(; };   // stays
  struct B{ int b; };

  garbage   here ;  // stays, too
    /// Of C.
 sequence< int >  C; sequence<int> D;

  struct E{int e;}; garbage
  struct F{int f;};
  [index = 1]
}
";
    let expected = "\
import   a
module m {
    // First.
    struct A {
        int a;
    }; // a

    /** Doc. */
    [index=2]
    interface I {
        void f(int a);
    };
    interface   Bad { void f(; };   // stays
    struct B {
        int b;
    };

  garbage   here ;  // stays, too
    /// Of C.
    sequence<int> C;
    sequence<int> D;

  struct E{int e;}; garbage
    struct F {
        int f;
    };
  [index = 1]
}
";
    assert_eq!(partly(text), expected);
    let windows = |text: &str| text.replace('\n', "\r\n");
    assert_eq!(partly(&windows(text)), windows(expected));
}

#[test]
fn an_open_brace_or_comment_changes_nothing_behind_it() {
    let text = "module m {\n  struct A{int a;};\n struct B{int b;\n  struct C{int c;};\n/* open\n sequence< int > D;";
    let formatted = partly(text);
    assert!(formatted.starts_with("module m {\n    struct A {\n        int a;\n    };\n"));
    assert!(
        formatted.ends_with("/* open\n sequence< int > D;"),
        "{formatted}"
    );
    for text in ["", "}", "module", "module m {", "module m { ; }"] {
        assert_eq!(partly(text), text);
    }
    assert_eq!(format_partly("\u{feff}}"), "}");
}

#[test]
fn every_malformed_case_keeps_its_errors() {
    for path in files("../tests/cases/fail") {
        let Ok(text) = String::from_utf8(fs::read(&path).unwrap()) else {
            continue;
        };
        partly(text.trim_start_matches('\u{feff}'));
    }
}

/// A text with something inserted somewhere.
fn with_mistake() -> impl Strategy<Value = String> {
    let mistakes = [
        "{", "}", ";", "strng", "[", "(", "\"", "/*", "struct", "= 7;", "𝄞", "\n",
    ];
    let mistake = prop::sample::select(mistakes.to_vec());
    let inserted = (random::file(), mistake, any::<prop::sample::Index>());
    inserted.prop_map(|(text, mistake, at)| {
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let at = match starts.is_empty() {
            true => 0,
            false => *at.get(&starts),
        };
        format!("{}{mistake}{}", &text[..at], &text[at..])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn texts_with_a_mistake_keep_their_meaning(text in with_mistake()) {
        partly(&text);
    }

    #[test]
    fn bodies_are_laid_out_as_in_a_valid_text(text in random::file()) {
        let whole = format(&text).unwrap();
        prop_assert_eq!(comments(&partly(&text)), comments(&text));
        // What is laid out as a whole does not change.
        prop_assert_eq!(format_partly(&whole), whole);
    }

    #[test]
    fn any_text_keeps_its_meaning(text in "(module m ?\\{|struct S ?\\{|interface I|[{}()\\[\\];,=<>]| |\n|//x|/\\*x\\*/|int a;?|\"|é|\u{a0}|\r){0,60}") {
        partly(&text);
    }
}
