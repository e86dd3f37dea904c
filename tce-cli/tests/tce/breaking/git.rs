//! Earlier versions in git.

use std::{path::Path, process::Command};

use super::{MOVED, OLD};
use crate::{command, folder, ran, tce_in};

const OTHER: &str = "module o { struct S { int i; }; };\n";

fn git(folder: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    let output = command
        .args(identity)
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
}

/// A repository whose branch `main` has these files.
fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = folder(files);
    git(folder.path(), &["init", "--quiet", "--initial-branch=main"]);
    commit(folder.path());
    folder
}

fn commit(folder: &Path) {
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "-m", "a version"]);
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[test]
fn branches_tags_and_commits_are_read() {
    let repository = repository(&[("idl/test.idl", OLD)]);
    let root = repository.path();
    git(root, &["tag", "v1"]);
    git(root, &["checkout", "--quiet", "-b", "feature/x"]);
    write(root, "idl/test.idl", MOVED);
    commit(root);
    let against = |what: &str| tce_in(root, &["breaking", "idl/test.idl", "--against", what]);
    against("git#branch=main")
        .exits(1)
        .complains("::: main:/idl/test.idl:1:41")
        .complains("2 breaking changes for peers that have main\n");
    for same in ["git#", "git#commit=HEAD", "git#branch=feature/x"] {
        against(same).exits(0).complains("nothing breaks");
    }
    for old in [
        "git#tag=v1",
        "git#commit=HEAD~1",
        ".git#ref=HEAD~1",
        "git#branch=main,subdir=./",
    ] {
        against(old).exits(1).complains("TCE0701");
    }
    write(root, "idl/test.idl", OLD);
    against("git#").exits(1).complains("`m.I.c` is removed");
    against("git#branch=main").exits(0);
}

#[test]
fn imports_are_read_from_git_from_any_working_folder() {
    let user = "import good\nimport beside\nmodule user { interface U { void u(good::S s, beside::S t); }; };\n";
    let good = "module good { struct S { int i; }; };\n";
    let beside = "module beside { struct S { int i; }; };\n";
    let repository = repository(&[
        ("proto/api/user.idl", user),
        ("proto/api/beside.idl", beside),
        ("proto/common/good.idl", good),
    ]);
    let root = repository.path();
    write(root, "proto/common/good.idl", &good.replace("int", "long"));
    write(root, "proto/api/beside.idl", &beside.replace("int", "byte"));
    let compare = |folder: &Path, args: &[&str]| {
        let args = [&["breaking", "--against"], args].concat();
        tce_in(folder, &args)
            .exits(1)
            .complains("the type of member `i` of `good.S` changed from `int` to `long`")
            .complains("the type of member `i` of `beside.S` changed from `int` to `byte`")
            .complains("2 breaking changes")
    };
    compare(
        root,
        &[
            "git#branch=main",
            "-I",
            "proto/common",
            "proto/api/user.idl",
        ],
    );
    let inside = root.join("proto/api");
    compare(&inside, &["git#branch=main", "-I", "../common", "user.idl"]);
    let whole = root.join("proto/common");
    compare(
        &inside,
        &["git#branch=main", "-I", whole.to_str().unwrap(), "user.idl"],
    );
    // The files have moved: `subdir` names the old folder.
    std::fs::rename(root.join("proto"), root.join("idl")).unwrap();
    compare(
        &root.join("idl"),
        &[
            "git#branch=main,subdir=proto",
            "-I",
            "common",
            "api/user.idl",
        ],
    );
    // A branch that a fresh clone has only as a remote branch.
    let clones = folder(&[]);
    commit(root);
    git(root, &["checkout", "--quiet", "-b", "work"]);
    git(
        clones.path(),
        &["clone", "--quiet", root.to_str().unwrap(), "clone"],
    );
    let clone = clones.path().join("clone/idl/api");
    for branch in ["git#branch=main", ".git#branch=origin/main"] {
        let args = [
            "breaking",
            "--against",
            branch,
            "-I",
            "../common",
            "user.idl",
        ];
        tce_in(&clone, &args).exits(0);
    }
}

#[test]
fn a_file_that_the_revision_lacks_is_new() {
    let repository = repository(&[("old.idl", OLD)]);
    write(repository.path(), "new.idl", OTHER);
    let args = [
        "breaking",
        "--against",
        "git#branch=main",
        "old.idl",
        "new.idl",
    ];
    let ran = tce_in(repository.path(), &args).exits(0);
    assert_eq!(
        ran.err,
        "new.idl is new\nnothing breaks for peers that have main\n"
    );
    tce_in(
        repository.path(),
        &["breaking", "--against", "git#", "new.idl"],
    )
    .exits(2)
    .complains("error: HEAD has none of these files");
}

#[test]
fn files_deleted_from_a_folder_are_reported() {
    let repository = repository(&[
        ("idl/a.idl", OLD),
        ("idl/b/o.idl", OTHER),
        ("idl/README", ""),
    ]);
    let root = repository.path();
    std::fs::create_dir(root.join("v1")).unwrap();
    std::fs::rename(root.join("idl"), root.join("v1/idl")).unwrap();
    std::fs::create_dir(root.join("idl")).unwrap();
    write(root, "idl/renamed.idl", OLD);
    for against in ["git#branch=main", "v1"] {
        let ran = tce_in(root, &["breaking", "--against", against, "idl"])
            .exits(1)
            .complains("struct `o.S` is removed: breaks source")
            .complains("1 breaking change for");
        assert!(ran.err.contains("idl/b/o.idl:1:"), "{}", ran.err);
    }
    let inside = tce_in(
        &root.join("idl"),
        &["breaking", "--against", "git#branch=main", "."],
    );
    inside.exits(1).complains("main:/idl/b/o.idl:1:");
    tce_in(root, &["breaking", "--against", "v1/idl/a.idl", "idl"])
        .exits(2)
        .complains("name a folder");
}

#[test]
fn an_unknown_earlier_version_is_a_usage_error() {
    let repository = repository(&[("test.idl", OLD), ("other.idl", OTHER)]);
    let root = repository.path();
    git(root, &["branch", "stable"]);
    git(root, &["tag", "v1.0"]);
    let wrong = |what: &str, says: &str| {
        tce_in(root, &["breaking", "test.idl", "--against", what])
            .exits(2)
            .complains(says);
    };
    wrong(
        "git#branch=stabel",
        "there is no branch `stabel`: did you mean `stable`?",
    );
    wrong(
        "git#tag=v1.1",
        "there is no tag `v1.1`: did you mean `v1.0`?",
    );
    wrong("git#branch=elsewhere", "if a remote has it, fetch it first");
    wrong("git#commit=12345678", "git finds no commit `12345678`");
    wrong("git#branch=--all", "there is no branch `--all`");
    wrong("git#subdir=proto", "HEAD has no folder `proto`");
    wrong("git#subdir=test.idl", "HEAD has no folder `test.idl`");
    wrong("git#subdir=../..", "HEAD has no folder `../..`");
    wrong(
        "git#brunch=main",
        "there is no key `brunch`: did you mean `branch`?",
    );
    wrong("git#main", "`main` is not of the form `branch=NAME`");
    wrong("git#branch=main,tag=v1.0", "more than one version");
    wrong("git#branch=", "`branch=` is not of the form `branch=NAME`");
    wrong("none.idl", "there is no file or folder `none.idl`");
    wrong("HEAD~1", "a version in git is written git#branch=NAME");
    tce_in(
        root,
        &["breaking", "test.idl", "other.idl", "--against", "test.idl"],
    )
    .exits(2)
    .complains("name a folder");
    tce_in(root, &["breaking", "test.idl"])
        .exits(2)
        .complains("--against");
}

#[test]
fn git_and_a_repository_are_required() {
    let folder = folder(&[("test.idl", OLD)]);
    let args = ["breaking", "--against", "git#branch=main", "test.idl"];
    tce_in(folder.path(), &args)
        .exits(2)
        .complains("can't compare with git: not a git repository");
    let mut without = command();
    without
        .args(args)
        .current_dir(folder.path())
        .env("PATH", "");
    ran(&mut without)
        .exits(2)
        .complains("can't compare with git: can't run git: ");
}

const TWO: &str = "module m { interface I { void a(); void b(); }; }\n";
const ONE: &str = "module m { interface I { void b(); }; }\n";

/// Makes a commit that runs a hook, and returns its exit status and standard error.
fn commit_with_hook(folder: &Path) -> (Option<i32>, String) {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(["commit", "--quiet", "-am", "2"])
        .env("TCE", env!("CARGO_BIN_EXE_tce"))
        .current_dir(folder)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_hook_compares_as_a_shell_does() {
    let repository = repository(&[("proto/shop.idl", TWO)]);
    let root = repository.path();
    let hook = "#!/bin/sh\ncd proto && exec \"$TCE\" breaking --against git#branch=main shop.idl\n";
    let path = root.join(".git/hooks/pre-commit");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, hook).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, executable).unwrap();
    let worktrees = folder(&[]);
    let linked = worktrees.path().join("wt");
    let add = ["worktree", "add", "--quiet", linked.to_str().unwrap()];
    git(root, &[&add[..], &["-b", "topic"]].concat());
    for worktree in [root, &linked] {
        write(worktree, "proto/shop.idl", ONE);
        let inside = worktree.join("proto");
        let args = ["breaking", "--against", "git#branch=main", "shop.idl"];
        let manual = tce_in(&inside, &args)
            .exits(1)
            .complains("2 breaking changes");
        let status = || {
            let mut git = Command::new("git");
            git.args(["status", "--porcelain"]).current_dir(worktree);
            git.output().unwrap().stdout
        };
        let before = status();
        let (code, err) = commit_with_hook(worktree);
        assert_eq!((code, err.as_str()), (Some(1), manual.err.as_str()));
        assert_eq!(status(), before, "the index is as it was");
    }
}

#[test]
fn variables_of_git_name_another_repository_only_if_it_is_another() {
    let repository = repository(&[("proto/shop.idl", TWO)]);
    let root = repository.path();
    write(root, "proto/shop.idl", ONE);
    let dir = root.join(".git");
    let args = ["breaking", "--against", "git#branch=main"];
    let run = |folder: &Path, variables: &[(&str, &str)], file: &str| {
        ran(command()
            .args(args)
            .arg(file)
            .current_dir(folder)
            .envs(variables.iter().copied()))
    };
    let inside = root.join("proto");
    for variables in [
        // As for a hook that has changed its folder; relative paths are wrong there.
        &[("GIT_DIR", ".git"), ("GIT_INDEX_FILE", ".git/index")][..],
        &[("GIT_DIR", dir.to_str().unwrap()), ("GIT_PREFIX", "")],
        &[("GIT_DIR", dir.to_str().unwrap()), ("GIT_WORK_TREE", ".")],
        // What changes the output of git.
        &[
            ("GIT_TRACE", "1"),
            ("GIT_PAGER_IN_USE", "1"),
            ("LC_ALL", ""),
        ],
    ] {
        let ran = run(&inside, variables, "shop.idl").exits(1);
        assert!(
            ran.err.contains("2 breaking changes"),
            "{variables:?}: {ran:?}"
        );
    }
    // A repository that only the variables name, as that of dotfiles in a home folder.
    let home = folder(&[("proto/shop.idl", ONE)]);
    let named = [
        ("GIT_DIR", dir.to_str().unwrap()),
        ("GIT_WORK_TREE", home.path().to_str().unwrap()),
    ];
    run(&home.path().join("proto"), &named, "shop.idl")
        .exits(1)
        .complains("2 breaking changes");
    // As in a container whose user does not own the folder that is mounted.
    let foreign = [("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")];
    run(&inside, &foreign, "shop.idl")
        .exits(2)
        .complains("can't compare with git: detected dubious ownership in repository at")
        .complains("git config --global --add safe.directory");
    let trace = [("GIT_TRACE", "1")];
    run(home.path(), &trace, "proto/shop.idl")
        .exits(2)
        .complains("error: can't compare with git: not a git repository");
}
