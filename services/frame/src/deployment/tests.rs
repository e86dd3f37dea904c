use super::*;

const STOPPED: &str = "stopped here";

/// A machine with a package that has a version installed, and another one that has the next version.
struct Machines {
    root: tempfile::TempDir,
    target: Deployment,
    source: Deployment,
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

fn tree(folder: &Path) -> BTreeMap<String, String> {
    let paths = manifest::paths(folder).expect("paths");
    let read = |path: &str| fs::read_to_string(folder.join(path)).expect("a file");
    paths
        .into_iter()
        .map(|(path, _)| (path.clone(), read(&path)))
        .collect()
}

impl Machines {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let machine = |name: &str| {
            let folder = root.path().join(name);
            let live = folder.join("calculate");
            fs::create_dir_all(&live).expect("a folder");
            Deployment::open(&folder, Kind::Service, "calculate", &live).expect("a deployment")
        };
        let (target, source) = (machine("target"), machine("source"));
        write(&target.live, "__init__.py", "old");
        write(&target.live, "gone.py", "gone");
        write(&target.live, "same/data", "same");
        write(&source.live, "__init__.py", "new");
        write(&source.live, "more/new.py", "");
        write(&source.live, "same/data", "same");
        target.manifest("1.0").expect("a manifest");
        write(&target.live, "log.txt", "made at run time");
        Self {
            root,
            target,
            source,
        }
    }

    fn fetch(&self, manifest: &Manifest) -> Result<usize, DeployError> {
        let missing = self.target.missing(manifest)?;
        for file in &missing {
            let size = u64::try_from(file.size).expect("a size");
            while self.target.fetched(file) < size {
                let at = self.target.fetched(file);
                let chunk = self.source.read_chunk(&file.path, at).expect("a chunk");
                self.target.append(file, &chunk)?;
            }
        }
        Ok(missing.len())
    }

    fn reopen(&self) -> Deployment {
        let root = self.root.path().join("target");
        Deployment::open(&root, Kind::Service, "calculate", &self.target.live).expect("recovered")
    }
}

/// The files that belong to the package, without those made at run time.
fn identity(deployment: &Deployment, version: &str) -> String {
    deployment.manifest(version).expect("a manifest").hash
}

#[test]
fn an_update_replaces_the_files_of_the_package_and_keeps_those_made_at_run_time() {
    let machines = Machines::new();
    let manifest = machines.source.manifest("1.1").expect("a manifest");
    // `same/data` is there, and the empty file is one without content to fetch.
    assert_eq!(machines.fetch(&manifest).expect("fetched"), 2);
    let log = OpenOptions::new()
        .append(true)
        .open(machines.target.live.join("log.txt"));
    let mut log = log.expect("the log of a job that runs");
    machines.target.update(&manifest).expect("updated");
    log.write_all(b", and grows").expect("written");
    let files = tree(&machines.target.live);
    let expected = [
        ("__init__.py", "new"),
        ("log.txt", "made at run time, and grows"),
        ("more/new.py", ""),
        ("same/data", "same"),
    ];
    assert_eq!(
        files,
        expected
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .into()
    );
    assert_eq!(identity(&machines.target, "1.1"), manifest.hash);
    assert_eq!(identity(&machines.reopen(), "1.1"), manifest.hash);
}

#[test]
fn a_rollback_brings_the_old_files_back_and_again_the_new_ones() {
    let machines = Machines::new();
    assert!(matches!(
        machines.target.rollback(),
        Err(DeployError::NothingKept)
    ));
    let old = identity(&machines.target, "1.0");
    let manifest = machines.source.manifest("1.1").expect("a manifest");
    machines.fetch(&manifest).expect("fetched");
    machines.target.update(&manifest).expect("updated");
    write(&machines.target.live, "later.txt", "made later");
    machines.target.rollback().expect("rolled back");
    assert_eq!(identity(&machines.target, "1.0"), old);
    assert_eq!(tree(&machines.target.live)["later.txt"], "made later");
    machines.target.rollback().expect("rolled back");
    assert_eq!(identity(&machines.target, "1.1"), manifest.hash);
}

#[test]
fn two_versions_are_kept() {
    let machines = Machines::new();
    for version in ["1.1", "1.2", "1.3", "1.4"] {
        write(&machines.source.live, "__init__.py", version);
        let manifest = machines.source.manifest(version).expect("a manifest");
        machines.fetch(&manifest).expect("fetched");
        machines.target.update(&manifest).expect("updated");
    }
    let kept =
        |name: &str| tree(&machines.target.state.join(name).join("tree"))["__init__.py"].clone();
    assert_eq!(
        (kept("kept-1"), kept("kept-2")),
        ("1.3".to_owned(), "1.2".to_owned())
    );
    assert!(!machines.target.state.join("kept-3").exists());
    assert!(!machines.target.state.join("parts").exists());
}

/// Stops an update or a rollback at each of its steps, as a crash does.
fn stop_everywhere(is_rollback: bool, can_exchange: bool) {
    for stop in 0.. {
        let mut machines = Machines::new();
        machines.target.can_exchange = can_exchange;
        let old = identity(&machines.target, "1.0");
        let manifest = machines.source.manifest("1.1").expect("a manifest");
        machines.fetch(&manifest).expect("fetched");
        if is_rollback {
            machines.target.update(&manifest).expect("updated");
        }
        let mut left = stop;
        let mut checkpoint = || {
            left -= 1;
            if left >= 0 {
                Ok(())
            } else {
                Err(DeployError::Content(STOPPED.to_owned()))
            }
        };
        let result = match is_rollback {
            true => machines.target.rollback_with(&mut checkpoint),
            false => machines.target.update_with(&manifest, &mut checkpoint),
        };
        let recovered = machines.reopen();
        let files = tree(&recovered.live);
        let version = if files["__init__.py"] == "new" {
            "1.1"
        } else {
            "1.0"
        };
        let expected = if version == "1.1" {
            &manifest.hash
        } else {
            &old
        };
        assert_eq!(
            &identity(&recovered, version),
            expected,
            "stopped at {stop}"
        );
        assert_eq!(files["log.txt"], "made at run time", "stopped at {stop}");
        assert!(!recovered.state.join("staged").exists() && !recovered.journal().exists());
        // The next change works.
        machines.fetch(&manifest).expect("fetched");
        recovered.update(&manifest).expect("updated");
        recovered.rollback().expect("rolled back");
        match result {
            Ok(()) => return,
            Err(error) => assert!(error.to_string().contains(STOPPED), "{error}"),
        }
    }
}

#[test]
fn a_change_that_stops_anywhere_leaves_the_whole_old_or_new_files() {
    for can_exchange in [true, false] {
        for is_rollback in [false, true] {
            stop_everywhere(is_rollback, can_exchange);
        }
    }
}

#[test]
fn a_file_that_changed_at_the_source_is_refused() {
    let machines = Machines::new();
    let before = tree(&machines.target.live);
    let manifest = machines.source.manifest("1.1").expect("a manifest");
    write(&machines.source.live, "__init__.py", "NEW");
    machines.fetch(&manifest).expect("fetched");
    let error = machines
        .target
        .update(&manifest)
        .expect_err("refused")
        .to_string();
    assert!(
        error.contains("`__init__.py` is not the one of the manifest"),
        "{error}"
    );
    write(
        &machines.source.live,
        "__init__.py",
        "much longer than it was",
    );
    let error = machines.fetch(&manifest).expect_err("refused").to_string();
    assert!(error.contains("changed at the source"), "{error}");
    assert_eq!(tree(&machines.target.live), before);
}

#[test]
fn a_transfer_goes_on_where_it_was_interrupted() {
    let machines = Machines::new();
    write(&machines.source.live, "__init__.py", &"x".repeat(CHUNK + 1));
    let manifest = machines.source.manifest("1.1").expect("a manifest");
    let missing = machines.target.missing(&manifest).expect("missing");
    let file = missing
        .iter()
        .find(|file| file.path == "__init__.py")
        .expect("it");
    let chunk = machines.source.read_chunk(&file.path, 0).expect("a chunk");
    assert_eq!(chunk.len(), CHUNK);
    machines.target.append(file, &chunk).expect("appended");
    assert_eq!(
        machines.reopen().fetched(file),
        u64::try_from(CHUNK).expect("a size")
    );
    machines.fetch(&manifest).expect("fetched");
    machines.target.update(&manifest).expect("updated");
    assert_eq!(identity(&machines.target, "1.1"), manifest.hash);
}

#[test]
fn files_made_at_run_time_do_not_belong_to_a_version_written_by_hand() {
    let machines = Machines::new();
    let first = identity(&machines.target, "1.0");
    write(&machines.target.live, "log.txt", "it grows");
    assert_eq!(identity(&machines.target, "1.0"), first);
    write(
        &machines.target.live,
        "written.py",
        "by hand, with a new version",
    );
    let manifest = machines.target.manifest("1.2").expect("a manifest");
    let paths: Vec<_> = manifest
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(paths, ["__init__.py", "gone.py", "same/data", "written.py"]);
}
