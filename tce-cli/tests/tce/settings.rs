//! `tce.toml`.

use super::{GOOD, folder, json_lines, tce_in};

const USER: &str = "import good;\nmodule user { struct S { int i; }; }\n";

#[test]
fn settings_are_found_upwards_and_their_paths_are_relative_to_them() {
    let folder = folder(&[
        (
            "tce.toml",
            "[compile]\ninclude = [\"common\"]\nindex-files = [\"indices.txt\"]\n",
        ),
        ("common/good.idl", GOOD),
        ("indices.txt", "good.Ehco=5\n"),
        ("a/b/user.idl", USER),
    ]);
    tce_in(&folder.path().join("a/b"), &["check", "user.idl"])
        .exits(0)
        .complains("TCE0401")
        .complains("../../indices.txt:1:");
    tce_in(
        folder.path(),
        &["compile", "-i", "a/b/user.idl", "-o", "gen"],
    )
    .exits(0);
}

#[test]
fn the_nearest_settings_apply_unless_others_are_named() {
    let folder = folder(&[
        ("tce.toml", "[compile]\ninclude = [\"common\"]\n"),
        ("common/good.idl", GOOD),
        ("a/tce.toml", ""),
        ("a/user.idl", USER),
    ]);
    let inside = folder.path().join("a");
    tce_in(&inside, &["check", "user.idl"])
        .exits(1)
        .complains("TCE0002");
    tce_in(&inside, &["check", "--config", "../tce.toml", "user.idl"]).exits(0);
}

#[test]
fn every_mistake_is_reported_with_its_line_and_is_a_usage_error() {
    let settings = "[compile]\ninclud = []\ninclude = \"common\"\nindex-files = [1]\n[compil]\n";
    let folder = folder(&[("tce.toml", settings), ("good.idl", GOOD)]);
    let ran = tce_in(folder.path(), &["check", "good.idl"])
        .exits(2)
        .complains("TCE0601")
        .complains("tce.toml:2:1")
        .complains("did you mean `include`?")
        .complains("tce.toml:3:11")
        .complains("TCE0602")
        .complains("tce.toml:4:16")
        .complains("tce.toml:5:2")
        .complains("did you mean `compile`?");
    assert_eq!(ran.err.matches("error[").count(), 4, "{}", ran.err);
    let args = ["check", "--error-format", "json", "good.idl"];
    let ran = tce_in(folder.path(), &args).exits(2);
    assert_eq!(json_lines(&ran.err)[0]["primary"]["line"], 2);
}

#[test]
fn invalid_toml_is_reported_with_its_line() {
    let folder = folder(&[("tce.toml", "[compile]\ninclude = [\n"), ("good.idl", GOOD)]);
    tce_in(folder.path(), &["check", "good.idl"])
        .exits(2)
        .complains("TCE0600")
        .complains("tce.toml:");
    std::fs::write(folder.path().join("tce.toml"), b"\xff").unwrap();
    tce_in(folder.path(), &["check", "good.idl"])
        .exits(2)
        .complains("TCE0600")
        .complains("it is not UTF-8");
    tce_in(
        folder.path(),
        &["check", "--config", "none.toml", "good.idl"],
    )
    .exits(2)
    .complains("can't read `none.toml`");
}

#[test]
fn commands_without_idl_do_not_read_settings() {
    let folder = folder(&[("tce.toml", "nonsense")]);
    tce_in(folder.path(), &["completions", "bash"]).exits(0);
}
