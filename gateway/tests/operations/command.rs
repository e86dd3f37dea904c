//! Runs `tce-gateway` to its end.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// What a command has printed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it in a folder, with additional variables.
pub(crate) fn run_with(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_tce-gateway"))
        .args(args)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn run(folder: &Path, args: &[&str]) -> Ran {
    run_with(folder, args, &[])
}

impl Ran {
    #[track_caller]
    pub(crate) fn succeeds(self) -> String {
        assert_eq!((self.status, &*self.err), (0, ""), "{self:?}");
        self.out
    }

    #[track_caller]
    pub(crate) fn fails(self, status: i32, text: &str) {
        assert_eq!((self.status, &*self.out), (status, ""), "{self:?}");
        assert!(self.err.contains(text), "{self:?}");
    }
}
