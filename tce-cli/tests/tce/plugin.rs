//! `tce compile --plugin`: back ends outside this repository.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use super::{CommandOutput, GOOD, command, folder, ran};

/// A back end in `sh`: a file that lists the operations.
const LIST: &str = r#"#!/bin/sh
names=$(sed -n 's/^ *"name": "\([^"]*\)".*/\1/p' | tr '\n' ' ')
printf '{"files": [{"path": "list/names.txt", "contents": "%s"}]}' "$names"
"#;

/// Makes a program in the folder.
fn program(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder with `good.idl` and the plugin `go`, in a folder of `PATH`.
fn project(plugin: &str) -> tempfile::TempDir {
    let folder = folder(&[("good.idl", GOOD)]);
    program(folder.path(), "bin/tce-gen-go", plugin);
    folder
}

/// Compiles `good.idl` to `gen`, with `bin` first in `PATH`.
fn compile(folder: &Path, args: &[&str]) -> CommandOutput {
    let path = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(folder.join("bin")).chain(std::env::split_paths(&path));
    ran(command()
        .args(["compile", "-i", "good.idl", "-o", "gen"])
        .args(args)
        .env("PATH", std::env::join_paths(path).unwrap())
        .current_dir(folder))
}

/// What `tce` says of a plugin that prints this.
#[track_caller]
fn refused(printed: &str) -> CommandOutput {
    let project = project(&format!("#!/bin/sh\ncat <<'END'\n{printed}\nEND\n"));
    let output = compile(project.path(), &["--plugin", "go"]).exits(1);
    assert!(!project.path().join("gen").exists(), "{printed}: it wrote");
    assert_eq!(fs::read_dir(project.path()).unwrap().count(), 2);
    output
}

#[test]
fn a_plugin_writes_its_files_from_the_model() {
    let project = project(LIST);
    let output = compile(project.path(), &["--plugin", "go"]).exits(0);
    assert_eq!(output.out, "wrote gen/list/names.txt\n");
    assert_eq!(output.err, "");
    let names = fs::read_to_string(project.path().join("gen/list/names.txt")).unwrap();
    assert_eq!(names, "good Echo echo text ");
    for name in ["go", "tce-gen-go", "./bin/tce-gen-go"] {
        compile(project.path(), &["--plugin", name])
            .exits(0)
            .prints("gen is up to date");
    }
}

#[test]
fn a_plugin_reads_what_describe_prints() {
    let project = project("#!/bin/sh\ncat > model.json\necho '{\"files\": []}'\n");
    compile(project.path(), &["--plugin", "go"]).exits(0);
    let described = ran(command()
        .args(["describe", "good.idl", "--format", "json"])
        .current_dir(project.path()));
    let read = fs::read_to_string(project.path().join("model.json")).unwrap();
    assert_eq!(read, described.exits(0).out);
    assert!(read.starts_with("{\n  \"version\": 1,"), "{read}");
}

#[test]
fn a_plugin_learns_for_which_languages_there_is_no_servant_code() {
    let idl = "module m {
        [skeleton_go=false] interface A { void a(); };
        interface B { void b(); };
    }";
    let folder = folder(&[("good.idl", idl)]);
    let reads = "#!/bin/sh\ncat > model.json\necho '{\"files\": []}'\n";
    program(folder.path(), "bin/tce-gen-go", reads);
    compile(folder.path(), &["--plugin", "go"]).exits(0);
    let text = fs::read_to_string(folder.path().join("model.json")).unwrap();
    let model: serde_json::Value = serde_json::from_str(&text).unwrap();
    let interfaces = &model["modules"][0]["interfaces"];
    assert_eq!(interfaces[0]["skeletons"]["go"], false);
    assert!(interfaces[1].get("skeletons").is_none(), "{text}");
}

#[test]
fn plugins_and_languages_are_written_and_checked_together() {
    let project = project(LIST);
    let args = ["--lang", "rust", "--plugin", "go"];
    compile(project.path(), &[&args[..], &["--check"]].concat())
        .exits(1)
        .prints("stale: gen/good.rs is missing\n")
        .prints("stale: gen/list/names.txt is missing\n")
        .prints("  tce compile good.idl -o gen --plugin go\n");
    let python = ["--lang", "python", "--plugin", "go", "--check"];
    compile(project.path(), &python)
        .exits(1)
        .prints("  tce compile good.idl -o gen --lang python --plugin go\n");
    compile(project.path(), &args)
        .exits(0)
        .prints("wrote gen/good.rs\nwrote gen/list/names.txt\n");
    compile(project.path(), &[&args[..], &["--check"]].concat()).exits(0);
    fs::write(project.path().join("gen/list/names.txt"), "mine").unwrap();
    compile(project.path(), &["--plugin", "go", "--check"])
        .exits(1)
        .prints("stale: gen/list/names.txt differs from the generated code\n");
}

#[test]
fn a_missing_program_is_a_usage_error_that_names_it() {
    let project = project(LIST);
    compile(project.path(), &["--plugin", "cobol"])
        .exits(2)
        .complains("there is no program `tce-gen-cobol`: install it in a folder of PATH");
    compile(project.path(), &["--plugin", "./bin/cobol"])
        .exits(2)
        .complains("there is no file `./bin/cobol`");
    compile(project.path(), &["--plugin", "a b"])
        .exits(2)
        .complains("a plugin is a NAME");
}

#[test]
fn a_program_that_does_not_start_is_told() {
    let project = project("#!/nowhere/interpreter\n");
    compile(project.path(), &["--plugin", "./bin/tce-gen-go"])
        .exits(1)
        .complains("can't run the plugin `./bin/tce-gen-go`");
    fs::write(project.path().join("bin/plain"), LIST).unwrap();
    compile(project.path(), &["--plugin", "./bin/plain"])
        .exits(1)
        .complains("`chmod +x` makes it so");
    program(project.path(), "bin/bare", "echo '{}'\n");
    compile(project.path(), &["--plugin", "./bin/bare"])
        .exits(1)
        .complains("a script starts with a line `#!");
}

#[test]
fn a_plugin_that_fails_is_told_after_its_own_complaint() {
    let project = project("#!/bin/sh\necho 'no bytes in Go yet' >&2\nexit 3\n");
    let output = compile(project.path(), &["--plugin", "go"]).exits(1);
    let expected = "no bytes in Go yet\n\
        error: the plugin `tce-gen-go` failed with exit status: 3; nothing was written\n";
    assert_eq!(output.err, expected);
    assert!(!project.path().join("gen").exists());
}

#[test]
fn a_plugin_that_fails_writes_no_file_of_another_language() {
    let project = project("#!/bin/sh\nexit 1\n");
    compile(project.path(), &["--lang", "rust", "--plugin", "go"]).exits(1);
    assert!(!project.path().join("gen").exists());
}

#[test]
fn a_plugin_that_hangs_is_killed() {
    let began = Instant::now();
    for hangs in [
        "exec sleep 100",
        // Has printed everything, but does not end.
        "echo '{\"files\": []}'; exec sleep 100 >&-",
        // Has ended, but a process that it has started keeps its output open.
        "sleep 100 2>&- & exit 0",
    ] {
        let project = project(&format!("#!/bin/sh\n{hangs}\n"));
        compile(
            project.path(),
            &["--plugin", "go", "--plugin-timeout", "300ms"],
        )
        .exits(1)
        .complains("the plugin `tce-gen-go` did not end within 300ms and was killed")
        .complains("raise --plugin-timeout");
    }
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_plugin_that_reads_nothing_is_no_error() {
    // More than a pipe holds.
    let members: String = (0..20_000).map(|at| format!("int m{at};")).collect();
    let idl = format!("module m {{ struct S {{ {members} }}; }}");
    let folder = folder(&[("good.idl", &idl)]);
    let plugin = "#!/bin/sh\necho '{\"files\": [{\"path\": \"a\", \"contents\": \"é\"}]}'\n";
    program(folder.path(), "bin/tce-gen-go", plugin);
    compile(folder.path(), &["--plugin", "go"]).exits(0);
    assert_eq!(
        fs::read_to_string(folder.path().join("gen/a")).unwrap(),
        "é"
    );
}

#[test]
fn output_that_is_no_list_of_files_says_what_is_wrong() {
    for (printed, why) in [
        ("", "its output is empty"),
        ("compiling…", "its output is no JSON, expected"),
        ("[]", "its output is no JSON object"),
        ("{}", "`files` is no list"),
        (r#"{"files": {}}"#, "`files` is no list"),
        (r#"{"files": [], "version": 2}"#, "`version` is unknown"),
        (r#"{"files": ["a"]}"#, "`files[0]` is no object"),
        (
            r#"{"files": [{"contents": ""}]}"#,
            "`files[0]` has no `path`",
        ),
        (
            r#"{"files": [{"path": "a", "content": ""}]}"#,
            "`files[0]` has no `contents`",
        ),
        (
            r#"{"files": [{"path": "a", "contents": 1}]}"#,
            "`files[0]` has a `contents` that is no string",
        ),
        (
            r#"{"files": [{"path": "a", "contents": "", "mode": 7}]}"#,
            "`files[0]` has an unknown `mode`",
        ),
    ] {
        refused(printed)
            .complains(&format!("the plugin `tce-gen-go` printed no files: {why}"))
            .complains(r#"a plugin prints {"files": [{"path": "shop.go""#);
    }
}

#[test]
fn a_file_outside_of_the_output_folder_is_refused() {
    for (path, why) in [
        ("../evil", "starts at a root or has a part"),
        ("a/../../evil", "starts at a root or has a part"),
        ("/tmp/evil", "starts at a root or has a part"),
        ("./evil", "starts at a root or has a part"),
        (r"..\\evil", "a character that paths can't have"),
        ("C:evil", "a character that paths can't have"),
        (r"a\u0000b", "a character that paths can't have"),
        ("a/", "which is a folder"),
        ("", "which is empty"),
    ] {
        let printed = format!(
            r#"{{"files": [{{"path": "fine", "contents": ""}}, {{"path": "{path}", "contents": ""}}]}}"#
        );
        refused(&printed)
            .complains(why)
            .complains("it has to be a path below the output folder");
    }
}

#[test]
fn two_files_of_one_path_are_refused() {
    let same = r#"{"files": [{"path": "a", "contents": "1"}, {"path": "a", "contents": "2"}]}"#;
    refused(same).complains("the plugin `go` gives the file `a` twice");
    let good = r#"#!/bin/sh
echo '{"files": [{"path": "good.rs", "contents": ""}]}'
"#;
    let project = project(good);
    compile(project.path(), &["--lang", "rust", "--plugin", "go"])
        .exits(1)
        .complains("both the back end for rust and the plugin `go` give the file `good.rs`");
}

#[test]
fn endless_output_is_cut_off() {
    let project = project("#!/bin/sh\nexec yes\n");
    compile(project.path(), &["--plugin", "go"])
        .exits(1)
        .complains("printed more than 64 MiB and was killed");
}
