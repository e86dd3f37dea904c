//! `tce lint`.

use super::{BAD, GOOD, folder, json_lines, tce_in};

const ODD: &str = "module odd { interface I { void Open(); }; }\n";

#[test]
fn findings_are_shown_and_counted_and_the_status_is_1() {
    let folder = folder(&[("odd.idl", ODD), ("good.idl", GOOD), ("deep/odd.idl", ODD)]);
    tce_in(folder.path(), &["lint", "odd.idl"])
        .exits(1)
        .complains("warning[TCE0512]: operation `Open`")
        .complains("odd.idl:1:33")
        .complains("rename it to `open`")
        .complains("\n\nno errors and 1 warning in 1 file\n");
    let ran = tce_in(folder.path(), &["lint", "good.idl"]).exits(0);
    assert_eq!(ran.err, "no errors in 1 file\n");
    tce_in(folder.path(), &["lint", "deep"])
        .exits(1)
        .complains("deep/odd.idl:1:33");
}

#[test]
fn compiler_errors_are_shown_too() {
    let folder = folder(&[("bad.idl", BAD)]);
    tce_in(folder.path(), &["lint", "bad.idl"])
        .exits(1)
        .complains("TCE0200");
    tce_in(folder.path(), &["lint", "none.idl"])
        .exits(1)
        .complains("TCE0001");
}

#[test]
fn settings_set_levels_and_languages() {
    let settings = "[lint]\nallow = [\"operation-case\"]\nwarn = [\"TCE0520\"]\n";
    let folder = folder(&[("tce.toml", settings), ("odd.idl", ODD), ("good.idl", GOOD)]);
    let args = ["lint", "--error-format", "json", "odd.idl"];
    let objects = json_lines(&tce_in(folder.path(), &args).exits(1).err);
    let names: Vec<&str> = objects
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["missing-docs"; 3]);

    let write = |text| std::fs::write(folder.path().join("tce.toml"), text).unwrap();
    write("[lint]\ndeny = [\"operation-case\"]");
    tce_in(folder.path(), &["lint", "odd.idl"])
        .exits(1)
        .complains("error[TCE0512]");
    write("[lint]\nallow = [\"operation-case\"]\nlanguages = [\"java\"]");
    std::fs::write(folder.path().join("odd.idl"), ODD.replace("Open", "match")).unwrap();
    tce_in(folder.path(), &["lint", "odd.idl"]).exits(0);
}

#[test]
fn mistakes_in_the_settings_are_reported() {
    let settings = "[lint]\nalow = []\nallow = [\"operation-cas\", \"unknown-type\"]\n\
        deny = [\"TCE0512\"]\nwarn = [\"operation-case\"]\nlanguages = [\"jva\"]\n";
    let folder = folder(&[("tce.toml", settings), ("odd.idl", ODD)]);
    let ran = tce_in(folder.path(), &["lint", "odd.idl"])
        .exits(2)
        .complains("there is no setting of [lint] called `alow`")
        .complains("did you mean `operation-case`?")
        .complains("there is no rule called `unknown-type`")
        .complains("`tce lint --list` shows all rules")
        .complains("is set twice")
        .complains("did you mean `java`?");
    assert_eq!(ran.err.matches("error[").count(), 5, "{}", ran.err);
}

#[test]
fn rules_are_listed_with_their_levels() {
    let folder = folder(&[("tce.toml", "[lint]\ndeny = [\"type-case\"]\n")]);
    let ran = tce_in(folder.path(), &["lint", "--list"])
        .exits(0)
        .prints("TCE0510  type-case             deny   The name of")
        .prints("TCE0520  missing-docs          allow")
        .prints("TCE0304  shared-index          warn");
    let codes: Vec<&str> = ran.out.lines().map(|line| &line[..7]).collect();
    assert!(codes.is_sorted() && codes.len() > 15, "{codes:?}");
}

#[test]
fn rules_and_codes_are_explained() {
    let folder = folder(&[]);
    let ran = tce_in(folder.path(), &["lint", "--explain", "tce0510"]).exits(0);
    let by_name = tce_in(folder.path(), &["lint", "--explain", "type-case"]).exits(0);
    assert_eq!(ran.out, by_name.out);
    let ran = ran
        .prints("TCE0510 type-case\nThe name of a type")
        .prints("\n    module shop {\n        struct pet {\n")
        .prints("// tce-lint: allow(type-case)");
    assert!(
        ran.out.lines().all(|line| line.chars().count() <= 80),
        "{}",
        ran.out
    );
    tce_in(folder.path(), &["lint", "--explain", "TCE0200"])
        .exits(0)
        .prints("TCE0200 unknown-type\nA type is not declared.\n");
    tce_in(folder.path(), &["lint", "--explain", "type-cas"])
        .exits(2)
        .complains("did you mean `type-case`?");
}

#[test]
fn usage_errors_have_status_2() {
    let folder = folder(&[("empty/readme.txt", "")]);
    tce_in(folder.path(), &["lint"])
        .exits(2)
        .complains("name IDL files or folders");
    for command in ["lint", "fmt"] {
        tce_in(folder.path(), &[command, "empty"])
            .exits(2)
            .complains("there is no .idl file in `empty`");
    }
    tce_in(folder.path(), &["lint", "--list", "a.idl"]).exits(2);
}
