//! `tce fmt`.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use super::{BAD, CommandOutput, command, folder, json_lines, tce_in};

const UGLY: &str = "module m{struct S{int  a;};}\n";
const FINE: &str = "module m {\n    struct S {\n        int a;\n    };\n}\n";

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// Runs `tce fmt` with a text as its standard input.
fn piped(args: &[&str], text: &str) -> CommandOutput {
    let command: &mut Command = &mut command();
    let mut child = command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    CommandOutput {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn files_and_folders_are_formatted_in_place() {
    let folder = folder(&[
        ("a.idl", UGLY),
        ("idl/b.idl", UGLY),
        ("idl/deep/c.idl", FINE),
        ("idl/notes.txt", UGLY),
        ("idl/.hidden/d.idl", UGLY),
    ]);
    let ran = tce_in(folder.path(), &["fmt", "a.idl", "idl"]).exits(0);
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("", "2 of 3 files changed\n")
    );
    for name in ["a.idl", "idl/b.idl", "idl/deep/c.idl"] {
        assert_eq!(read(folder.path(), name), FINE);
    }
    for name in ["idl/notes.txt", "idl/.hidden/d.idl"] {
        assert_eq!(read(folder.path(), name), UGLY);
    }
    let ran = tce_in(folder.path(), &["fmt", "idl"]).exits(0);
    assert_eq!(ran.err, "nothing to change in 2 files\n");
}

#[test]
fn check_reports_files_and_changes_nothing() {
    let folder = folder(&[("ugly.idl", UGLY), ("fine.idl", FINE)]);
    tce_in(folder.path(), &["fmt", "--check", "ugly.idl", "fine.idl"])
        .exits(1)
        .complains("ugly.idl:1:1")
        .complains("should be `module m {`")
        .complains("1 of 2 files would change");
    assert_eq!(read(folder.path(), "ugly.idl"), UGLY);
    tce_in(folder.path(), &["fmt", "--check", "fine.idl"]).exits(0);
    let args = ["fmt", "--check", "--error-format", "json", "."];
    let objects = json_lines(&tce_in(folder.path(), &args).exits(1).err);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["name"], "layout");
    let args = ["fmt", "--check", "--error-format", "github", "ugly.idl"];
    let ran = tce_in(folder.path(), &args).exits(1);
    assert!(
        ran.err.starts_with("::warning file=ugly.idl,line=1,"),
        "{}",
        ran.err
    );
}

#[test]
fn a_file_with_syntax_errors_stays_and_others_are_formatted() {
    let broken = "module m { struct S { int a } }\n";
    let folder = folder(&[("broken.idl", broken), ("ugly.idl", UGLY), ("bad.idl", BAD)]);
    tce_in(
        folder.path(),
        &["fmt", "broken.idl", "none.idl", "ugly.idl"],
    )
    .exits(1)
    .complains("TCE0101")
    .complains("TCE0001")
    .complains("1 of 3 files changed, 2 failed\n");
    assert_eq!(read(folder.path(), "broken.idl"), broken);
    assert_eq!(read(folder.path(), "ugly.idl"), FINE);
    // An error that is not of syntax.
    tce_in(folder.path(), &["fmt", "bad.idl"]).exits(0);
}

#[test]
fn standard_input_goes_to_standard_output() {
    let ran = piped(&["fmt", "-"], UGLY).exits(0);
    assert_eq!(ran.out, FINE);
    let ran = piped(&["fmt", "--check", "-"], UGLY)
        .exits(1)
        .complains("<stdin>:1:1");
    assert_eq!(ran.out, "");
    let ran = piped(&["fmt", "-"], "module m {")
        .exits(1)
        .complains("TCE0102");
    assert_eq!(ran.out, "", "an editor would replace its text by this");
}

#[test]
fn fmt_requires_a_file() {
    tce_in(folder(&[]).path(), &["fmt"])
        .exits(2)
        .complains("name IDL files or folders");
}

#[cfg(unix)]
#[test]
fn permissions_and_links_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = folder(&[("real/a.idl", UGLY)]);
    let real = folder.path().join("real/a.idl");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/a.idl", folder.path().join("link.idl")).unwrap();
    tce_in(folder.path(), &["fmt", "link.idl"]).exits(0);
    assert!(folder.path().join("link.idl").is_symlink());
    assert_eq!(read(folder.path(), "real/a.idl"), FINE);
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let left = fs::read_dir(folder.path().join("real")).unwrap().count();
    assert_eq!(left, 1, "a temporary file is left over");
}

#[test]
fn crlf_stays_and_a_message_names_what_is_not_visible() {
    let text = "module m {\r\n    interface I {\r\n        void a();\r\n    };\r\n}\r\n";
    let mixed = text.replace("I {\r\n", "I {\n");
    let folder = folder(&[("w.idl", text), ("mixed.idl", &mixed)]);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    tce_in(folder.path(), &["fmt", "--check", "w.idl"]).exits(0);
    tce_in(folder.path(), &["fmt", "w.idl"]).exits(0);
    assert_eq!(read("w.idl"), text);
    tce_in(folder.path(), &["fmt", "--check", "mixed.idl"])
        .exits(1)
        .complains("the line ends with CR LF, and should end with LF");
    tce_in(folder.path(), &["fmt", "mixed.idl"]).exits(0);
    assert_eq!(read("mixed.idl"), text.replace('\r', ""));
}
