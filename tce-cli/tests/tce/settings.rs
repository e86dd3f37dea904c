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
#[test]
fn a_section_of_a_language_sets_what_is_generated() {
    let settings = r##"
[rust]
runtime = "my_tce"
tasks = true
map-type = "HashMap"
field-attributes = { "Pet.name" = "#[serde(default)]" }
[rust.type-attributes]
"." = "#[derive(serde::Serialize)]"
".shop" = ["#[derive(Eq)]", "#[derive(Hash)]"]
"##;
    let idl = "module shop { struct Pet { string name; }; dictionary<string, Pet> Pets; };";
    let folder = folder(&[("tce.toml", settings), ("shop.idl", idl)]);
    tce_in(folder.path(), &["compile", "-i", "shop.idl"]).exits(0);
    let code = std::fs::read_to_string(folder.path().join("shop.rs")).unwrap();
    for part in [
        "use ::my_tce::codegen as rt;",
        "#[derive(serde::Serialize)]\n#[derive(Eq)]\n#[derive(Hash)]\npub struct Pet {",
        "    #[serde(default)]\n    pub name: String,",
        "use ::tce_tasks::codegen as tasks;",
        "impl tasks::FromJson for Pet {",
        "pub type Pets = ::std::collections::HashMap<String, Pet>;",
    ] {
        assert!(code.contains(part), "no {part} in {code}");
    }
}

#[test]
fn a_wrong_option_of_a_language_is_reported_with_its_line() {
    let settings = "[rust]\nruntime = \"my tce\"\nmap-type = \"Map\"\nmap = 1\n\
         type-attributes = { \".\" = \"derive(Eq)\" }\nfield-attributes = \"#[x]\"\n";
    let folder = folder(&[("tce.toml", settings), ("good.idl", GOOD)]);
    let ran = tce_in(folder.path(), &["compile", "-i", "good.idl"])
        .exits(2)
        .complains("tce.toml:2:11")
        .complains("`my tce` is not the path of a crate")
        .complains("tce.toml:3:12")
        .complains("there is no map type called `Map`")
        .complains("tce.toml:4:1")
        .complains("tce.toml:5:27")
        .complains("`derive(Eq)` is not an attribute")
        .complains("tce.toml:6:20");
    assert_eq!(ran.err.matches("error[").count(), 5, "{}", ran.err);
}

#[test]
fn the_section_for_python_chooses_the_api_and_the_runtime() {
    let settings = "[python]\napi = \"blocking\"\nruntime = \"vendor.tce\"\n";
    let folder = folder(&[("tce.toml", settings), ("good.idl", GOOD)]);
    tce_in(
        folder.path(),
        &["compile", "-i", "good.idl", "-l", "python"],
    )
    .exits(0);
    let code = std::fs::read_to_string(folder.path().join("good.py")).unwrap();
    assert!(
        code.contains("from vendor.tce import codegen as _rt"),
        "{code}"
    );
    assert!(code.contains("class EchoPrx(_rt.BlockingProxy):"), "{code}");

    let settings = "[python]\napi = \"threads\"\nruntime = \"my tce\"\napis = 1\n";
    std::fs::write(folder.path().join("tce.toml"), settings).unwrap();
    let ran = tce_in(folder.path(), &["compile", "-i", "good.idl"])
        .exits(2)
        .complains("tce.toml:2:7")
        .complains("there is no api called `threads`")
        .complains("tce.toml:3:11")
        .complains("`my tce` is not the name of a package")
        .complains("did you mean `api`?");
    assert_eq!(ran.err.matches("error[").count(), 3, "{}", ran.err);
}

#[test]
fn the_section_for_typescript_chooses_the_runtime() {
    let settings = "[typescript]\nruntime = \"@vendor/tce\"\n";
    let folder = folder(&[("tce.toml", settings), ("good.idl", GOOD)]);
    tce_in(
        folder.path(),
        &["compile", "-i", "good.idl", "-l", "typescript"],
    )
    .exits(0);
    let code = std::fs::read_to_string(folder.path().join("good.ts")).unwrap();
    assert!(code.contains("from \"@vendor/tce/codegen\""), "{code}");

    let settings = "[typescript]\nruntime = \"my tce\"\nruntimes = 1\n";
    std::fs::write(folder.path().join("tce.toml"), settings).unwrap();
    let ran = tce_in(folder.path(), &["compile", "-i", "good.idl"])
        .exits(2)
        .complains("tce.toml:2:11")
        .complains("`my tce` is neither the name of a package nor a path")
        .complains("did you mean `runtime`?");
    assert_eq!(ran.err.matches("error[").count(), 2, "{}", ran.err);
}

#[test]
fn commands_without_files_read_the_sources_of_the_project() {
    let folder = folder(&[
        (
            "tce.toml",
            "[idl]\nsources = [\"idl\"]\n\n[compile]\ninclude = [\"idl\"]\n",
        ),
        ("idl/good.idl", GOOD),
        (
            "idl/deep/user.idl",
            "import good;\nmodule user { struct S { int i; }; }\n",
        ),
        ("elsewhere/a", ""),
    ]);
    for args in [
        &["check"][..],
        &["fmt", "--check"],
        &["lint"],
        &["compile"],
        &["describe"],
        &["describe", "Echo"],
        &["doc", "-o", "site"],
        &["lock"],
        &["breaking", "--against", "."],
    ] {
        let ran = tce_in(folder.path(), args);
        assert!(ran.code != Some(2), "{args:?}: {ran:?}");
        // Also from a folder below.
        let ran = tce_in(&folder.path().join("elsewhere"), args);
        assert!(ran.code != Some(2), "{args:?}: {ran:?}");
    }
    tce_in(folder.path(), &["check"])
        .exits(0)
        .complains("no errors in");
    let empty = super::folder(&[]);
    for command in ["check", "fmt", "lint", "compile", "describe", "lock"] {
        tce_in(empty.path(), &[command])
            .exits(2)
            .complains("sources = [");
    }
}

#[test]
fn outputs_of_the_settings_are_written_and_checked() {
    let settings = "[idl]\nsources = [\"idl\"]\n\n[[generate]]\nlang = \"rust\"\nout = \"gen\"\n\n\
                    [[generate]]\nlang = \"python\"\nout = \"gen\"\n\n\
                    [[generate]]\nlang = \"typescript\"\nout = \"web\"\n";
    let folder = folder(&[
        ("tce.toml", settings),
        ("idl/good.idl", GOOD),
        ("below/a", ""),
    ]);
    let wrote = tce_in(folder.path(), &["compile"]).exits(0).out;
    let all = "wrote gen/good.rs\nwrote gen/good.py\nwrote web/good.ts\n";
    assert_eq!(wrote, all);
    let below = folder.path().join("below");
    let checked = tce_in(&below, &["compile", "--check"]).exits(0).out;
    assert_eq!(checked, "../gen is up to date\n../web is up to date\n");
    std::fs::remove_file(folder.path().join("web/good.ts")).unwrap();
    tce_in(folder.path(), &["compile", "--check"])
        .exits(1)
        .prints("gen is up to date\nstale: web/good.ts is missing\n")
        .prints("To update it:\n  tce compile\n");
    // The command line takes precedence.
    let one = ["compile", "-o", "other", "--lang", "python"];
    assert_eq!(
        tce_in(folder.path(), &one).exits(0).out,
        "wrote other/good.py\n"
    );
}

#[test]
fn mistakes_in_outputs_are_reported_with_their_lines() {
    for (settings, place, text) in [
        (
            "[generate]\nlang = \"rust\"\n",
            "tce.toml:1:",
            "[[generate]]",
        ),
        (
            "[[generate]]\nlang = \"rust\"\n",
            "tce.toml:1:",
            "`out = \"FOLDER\"` is missing",
        ),
        (
            "[[generate]]\nout = \"gen\"\n",
            "tce.toml:1:",
            "`lang = \"rust\"`",
        ),
        (
            "[[generate]]\nlang = \"pyton\"\nout = \"gen\"\n",
            "tce.toml:2:",
            "did you mean `python`?",
        ),
        (
            "[[generate]]\nplugin = \"a b\"\nout = \"gen\"\n",
            "tce.toml:2:",
            "a plugin is a NAME",
        ),
        (
            "[[generate]]\nlang = \"rust\"\nplugin = \"go\"\nout = \"gen\"\n",
            "tce.toml:3:",
            "exclude each other",
        ),
        (
            "[[generate]]\nlang = \"rust\"\nfolder = \"gen\"\n",
            "tce.toml:3:",
            "expected one of `lang`",
        ),
        ("generate = [1]\n", "tce.toml:1:", "an output is a table"),
        (
            "[idl]\nsource = [\"idl\"]\n",
            "tce.toml:2:",
            "did you mean `sources`?",
        ),
    ] {
        let folder = folder(&[("tce.toml", settings), ("good.idl", GOOD)]);
        tce_in(folder.path(), &["check", "good.idl"])
            .exits(2)
            .complains(place)
            .complains(text);
    }
}
