//! `tce frame`, as far as it needs no broker: the tests of `tce-frame` have agents.

use super::tce;

#[test]
fn a_package_is_made_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    tce(&["frame", "new", &path("calculate")])
        .exits(0)
        .prints("add it to `path` of the frame's file");
    std::fs::write(path("frame.yaml"), "path: [calculate]\n").unwrap();
    let args = ["frame", "check", &path("frame.yaml")];
    tce(&args)
        .exits(0)
        .prints("service calculate 1.0: 1 functions");
    std::fs::write(path("frame.yaml"), "path: [nosuch]\n").unwrap();
    tce(&args).exits(2).complains("frame.yaml:1: ");
}

#[test]
fn verbs_have_help_and_mistakes_status_2() {
    for verb in [
        "run", "list", "status", "restart", "update", "install", "rollback", "call", "sign",
        "check", "new",
    ] {
        let usage = format!("Usage: tce frame {verb}");
        tce(&["frame", verb, "--help"]).exits(0).prints(&usage);
    }
    tce(&["frame", "nosuch"]).exits(2).complains("nosuch");
    tce(&["frame", "list"]).exits(2).complains("--namespace");
    let uri = "amqp://u:secret@127.0.0.1:1/";
    tce(&["frame", "list", "-n", "a b", "--amqp", uri])
        .exits(2)
        .complains("can't be a namespace");
    tce(&["frame", "cron", "next", "@reboot"])
        .exits(2)
        .complains("`@reboot` is not a time");
    // No broker listens there, and the password is not printed.
    let away = tce(&["frame", "list", "-n", "a", "--amqp", uri]);
    assert!(!away.exits(1).err.contains("u:secret"));
}
