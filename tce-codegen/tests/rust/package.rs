//! Packages outside of the workspace, as users have them, and cargo on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where the crates of the workspace are.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A package of its own, in a folder that stays between runs.
pub(crate) struct Package {
    folder: PathBuf,
}

impl Package {
    /// A package that has the runtime under the name `runtime`. `manifest` goes on from
    /// within its dependencies.
    pub(crate) fn new(name: &str, edition: &str, runtime: &str, manifest: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let package = Self { folder };
        let path = workspace().join("tce-runtime");
        // Generated code needs no optional transport, whose libraries take longest to build.
        let manifest = format!(
            "[package]\nname = {name:?}\nversion = \"0.0.0\"\nedition = {edition:?}\n\n\
             [dependencies]\n\
             {runtime} = {{ package = \"tce-runtime\", path = {path:?}, \
             default-features = false }}\n\
             {manifest}\n[workspace]\n"
        );
        package.write("Cargo.toml", &manifest);
        // The versions with which the workspace is tested, and which are available offline.
        let lock = fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
        package.write("Cargo.lock", &lock);
        package
    }

    /// Writes a file, and its folder where it is missing.
    pub(crate) fn write(&self, path: &str, contents: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// Deletes a file, if there is one.
    pub(crate) fn remove(&self, path: &str) {
        drop(fs::remove_file(self.folder.join(path)));
    }

    /// Runs cargo.
    pub(crate) fn try_cargo(&self, arguments: &[&str]) -> Output {
        // One folder for all packages, apart from the build that runs this test.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("target");
        Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", target)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_NET_OFFLINE", "true")
            .env("RUSTDOCFLAGS", "-D warnings")
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap()
    }

    /// Runs cargo, which must succeed.
    pub(crate) fn cargo(&self, arguments: &[&str]) {
        let output = self.try_cargo(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "cargo {arguments:?} in {}:\n{stderr}",
            self.folder.display()
        );
    }
}
