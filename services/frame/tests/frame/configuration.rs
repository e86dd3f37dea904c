//! The files of the configuration: the seed's as they are, and all mistakes at once.

use std::{fs, path::Path, time::Duration};

use tce_frame::config::{FrameConfig, Kind, Overlap, PackageSettings, Program, Purpose};

/// As in the manual of kael.
const FRAME: &str = "service_group: services_default
path:
  - ./caculate_service
  - /data/time_service
  - ./task1_crontab
";
const SERVICE: &str = "type: service
service_base_name: calculate
version: 1.0
publish:
 - add
 - minus
";
const CRONTAB: &str = "type: crontab
crontab_name: print
version: 1.0
publish:
   - ['* * * * *', write.py]
   - ['*/2 * * * *', cat word.txt >> log.txt]
";

fn package(text: &str) -> Result<PackageSettings, String> {
    let parsed = PackageSettings::parse(text, Path::new("/p"));
    parsed
        .map(|(settings, warnings)| {
            assert_eq!(warnings, []);
            settings
        })
        .map_err(|problems| problems.to_string())
}

#[test]
fn the_seeds_files_are_read() {
    let config =
        FrameConfig::parse(FRAME, Path::new("/data/frame_pkg_setting.yaml")).expect("read");
    assert_eq!(config.service_group.as_deref(), Some("services_default"));
    let paths: Vec<_> = config
        .paths
        .iter()
        .map(|(path, line)| (path.to_str(), *line))
        .collect();
    let expected = [
        "/data/caculate_service",
        "/data/time_service",
        "/data/task1_crontab",
    ];
    assert_eq!(
        paths,
        expected.map(Some).into_iter().zip(3..).collect::<Vec<_>>()
    );
    assert_eq!(config.agent.install_root, Path::new("/data"));
    assert_eq!((config.agent.processes, config.agent.log_keep), (2, 20));

    let service = package(SERVICE).expect("read");
    assert_eq!(
        (service.name.as_str(), service.version.as_str()),
        ("calculate", "1.0")
    );
    let Purpose::Service(service) = service.purpose else {
        panic!("a service")
    };
    assert_eq!(
        service.functions.keys().collect::<Vec<_>>(),
        ["add", "minus"]
    );
    assert_eq!((service.program, service.timeout), (Program::Python, None));

    let crontab = package(CRONTAB).expect("read");
    assert_eq!(
        (crontab.kind(), crontab.name.as_str()),
        (Kind::Crontab, "print")
    );
    let Purpose::Crontab(crontab) = crontab.purpose else {
        panic!("a crontab")
    };
    let jobs: Vec<_> = crontab
        .jobs
        .iter()
        .map(|job| (job.schedule.to_string(), job.command.as_str()))
        .collect();
    let expected = [
        ("* * * * *".to_owned(), "write.py"),
        ("*/2 * * * *".to_owned(), "cat word.txt >> log.txt"),
    ];
    assert_eq!(jobs, expected);
    assert_eq!(
        (crontab.overlap, crontab.catch_up),
        (Overlap::Allow, Duration::from_secs(60))
    );
}

#[test]
fn a_version_is_its_text() {
    let at = |version: &str| {
        package(&SERVICE.replace("1.0", version))
            .expect("read")
            .version
            .to_string()
    };
    assert_eq!(
        (at("1.10"), at("'1.10'"), at("2")),
        ("1.10".into(), "1.10".into(), "2".into())
    );
}

#[test]
fn the_settings_beyond_kael_are_read() {
    let text = format!(
        "{SERVICE}args: {{n: 1, s: '1', list: [true, null]}}\nidempotent: [minus]\nprocesses: 3\ntimeout: 90s\nconcurrency: 4\n"
    );
    let Purpose::Service(service) = package(&text).expect("read").purpose else {
        panic!("a service")
    };
    let args = rmpv::decode::read_value(&mut &service.args[..]).expect("MessagePack");
    assert_eq!(
        args.to_string(),
        r#"{"n": 1, "s": "1", "list": [true, nil]}"#
    );
    assert_eq!((service.processes, service.concurrency), (Some(3), 4));
    assert_eq!(service.timeout, Some(Duration::from_secs(90)));

    let text = "type: service\nservice_base_name: calculate\nversion: 1\nrun: ./server\nidl: c.idl\ninterface: Calculate\n";
    let Purpose::Service(service) = package(text).expect("read").purpose else {
        panic!("a service")
    };
    let (run, idl, interface) = ("./server".into(), "c.idl".into(), "Calculate".into());
    assert_eq!(
        service.program,
        Program::Tce {
            run,
            idl,
            interface
        }
    );

    let text =
        format!("{CRONTAB}timezone: Europe/Berlin\noverlap: queue\ncatch_up: 1h\ntimeout: 5\n");
    let Purpose::Crontab(crontab) = package(&text).expect("read").purpose else {
        panic!("a crontab")
    };
    assert_eq!(crontab.time_zone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(
        (crontab.overlap, crontab.catch_up),
        (Overlap::Queue, Duration::from_secs(3600))
    );
    assert_eq!(crontab.timeout, Some(Duration::from_secs(5)));
}

#[test]
fn all_mistakes_of_a_package_are_told_with_their_lines() {
    let text = "type: service
service_base_name: a__b
version: one
publish:
 - add
 - add
 - not-a-name
idempotent: [nosuch]
processes: 0
timeout: soon
";
    let lines: Vec<_> = package(text)
        .expect_err("mistakes")
        .lines()
        .map(str::to_owned)
        .collect();
    let places: Vec<_> = lines
        .iter()
        .map(|line| line.split_once(": ").expect("a place").0.to_owned())
        .collect();
    let expected = [2, 3, 6, 7, 8, 9, 10].map(|line| format!("/p/setting.yaml:{line}"));
    assert_eq!(places, expected, "{lines:#?}");
}

#[test]
fn a_bad_time_rejects_the_package_with_its_place() {
    let error = package(&CRONTAB.replace("*/2 * * * *", "61 * * * *")).expect_err("a bad time");
    assert!(
        error.starts_with("/p/setting.yaml:6:8: `61 * * * *` is not a time: "),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn packages_at_fault_are_rejected_and_the_others_are_read() {
    let root = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        fs::create_dir(root.path().join(name)).expect("a folder");
        fs::write(root.path().join(name).join("setting.yaml"), text).expect("a file");
    };
    write("good", SERVICE);
    write("second", SERVICE);
    write("bad", "type: service\npublish: [add\n");
    write("crontab", CRONTAB);
    let file = root.path().join("frame.yaml");
    fs::write(&file, "path: [good, second, missing, bad, crontab]\n").expect("a file");
    let entries = FrameConfig::load(&file).expect("read").packages();
    let describe = |entry: &tce_frame::config::PackageEntry| match &entry.settings {
        Ok(settings) => format!("{} {}", settings.kind(), settings.name),
        Err(rejection) => rejection
            .reason
            .replace(root.path().to_str().expect("UTF-8"), "ROOT"),
    };
    let described: Vec<_> = entries.iter().map(describe).collect();
    assert_eq!(described[0], "service calculate");
    assert_eq!(
        described[1],
        "ROOT/frame.yaml:1: a second service `calculate`; the first is on line 1"
    );
    assert_eq!(
        described[2],
        "ROOT/frame.yaml:1: `ROOT/missing` is no package: it has no `setting.yaml`"
    );
    assert!(
        described[3].starts_with("ROOT/bad/setting.yaml:"),
        "{}",
        described[3]
    );
    assert_eq!(described[4], "crontab print");
}

#[test]
fn all_mistakes_of_the_frame_are_told() {
    let text = "service_group: a/b
path: ./x
agent: {processes: 0, trusted_keys: [abc], log_keep: x, allow_system: maybe}
";
    let error = FrameConfig::parse(text, Path::new("f.yaml"))
        .expect_err("mistakes")
        .to_string();
    for wanted in [
        "f.yaml:1: `service_group`",
        "f.yaml:2: `path` takes a list",
        "`processes` is `0`",
        "`abc` is not a public key",
        "`log_keep`",
        "`allow_system`",
    ] {
        assert!(error.contains(wanted), "{wanted} in {error}");
    }
    assert_eq!(error.lines().count(), 6);
}
