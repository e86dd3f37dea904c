//! The extension for Visual Studio Code: its files refer to each other correctly,
//! and its grammar has every reserved word. `npm test` there tests its code.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't read the extension fails"
)]

use std::{fs, path::PathBuf};

use serde_json::Value;

fn extension() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../editors/vscode")
}

fn json(path: &str) -> Value {
    let text = fs::read_to_string(extension().join(path)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_files_that_the_extension_names_exist() {
    let package = json("package.json");
    let language = &package["contributes"]["languages"][0];
    json(language["configuration"].as_str().unwrap());
    for grammar in package["contributes"]["grammars"].as_array().unwrap() {
        let file = json(grammar["path"].as_str().unwrap());
        assert_eq!(file["scopeName"], grammar["scopeName"]);
    }
}

#[test]
fn the_grammar_has_every_reserved_word() {
    let grammar = json("syntaxes/tce-idl.tmLanguage.json").to_string();
    let pest = include_str!("../../tce-idl/src/syntax/grammar.pest");
    let rule = |name: &str| {
        let start = pest.find(&format!("\n{name} ")).unwrap() + 1;
        pest[start..].lines().next().unwrap()
    };
    let words = [rule("builtin"), rule("reserved")].join("\n");
    let words: Vec<&str> = words.split('"').skip(1).step_by(2).collect();
    assert_eq!(words.len(), 16);
    for word in words {
        assert!(!tce_idl::symbols::is_name(word));
        let is_there =
            |around: [&str; 2]| grammar.contains(&format!("{}{word}{}", around[0], around[1]));
        let anywhere = [["|", "|"], ["(", "|"], ["|", ")"], ["(", ")"]];
        assert!(
            anywhere.into_iter().any(is_there),
            "the grammar lacks `{word}`"
        );
    }
}
