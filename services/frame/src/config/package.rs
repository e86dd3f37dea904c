//! `setting.yaml`: what a package publishes.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::tz::TimeZone;
use serde::Deserialize;
use tce_runtime::config::{
    problem::{self, Problem, ProblemReport, Problems, quoted},
    yaml::{self, YamlMap, YamlNode, YamlValue},
};

use super::{
    MAX_NAME,
    fields::{check_keys, duration, parsed, required, text, texts},
    is_base, is_name,
};
use crate::{schedule::Schedule, version::Version};

/// The file that makes a folder a package.
pub(super) const SETTING_FILE: &str = "setting.yaml";
/// How old a missed tick may be that still runs.
const DEFAULT_CATCH_UP: Duration = Duration::from_secs(60);
/// The most bytes of the command of a job.
const MAX_COMMAND: usize = 64 << 10;
/// The most functions or jobs of a package.
const MAX_PUBLISHED: usize = 1000;
/// The most processes of a package.
pub(super) const MAX_PROCESSES: usize = 256;
/// The most calls that a process runs at once.
const MAX_CONCURRENCY: usize = 64;

/// What a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Functions to call.
    Service,
    /// Jobs that run at their times.
    Crontab,
}

impl Kind {
    /// `service` or `crontab`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Crontab => "crontab",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "service" => Ok(Self::Service),
            "crontab" => Ok(Self::Crontab),
            _ => Err(format!(
                "{} is not a kind; they are `service` and `crontab`",
                quoted(text)
            )),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A package as its `setting.yaml` describes it.
#[derive(Debug, Clone)]
pub struct PackageSettings {
    /// Its folder, absolute.
    pub folder: PathBuf,
    /// The base name of a service, the name of a crontab.
    pub name: String,
    /// The version.
    pub version: Version,
    /// What it publishes.
    pub purpose: Purpose,
}

/// What a package publishes.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// Functions.
    Service(ServiceSettings),
    /// Jobs.
    Crontab(CrontabSettings),
}

/// The part of a service.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// The functions, each with the line that names it. Empty for an interface.
    pub functions: BTreeMap<String, usize>,
    /// Functions that may run twice.
    pub idempotent: Vec<String>,
    /// Processes; by default those of the agent.
    pub processes: Option<usize>,
    /// Calls that each process runs at once; 1 by default, since functions need not be thread-safe.
    pub concurrency: usize,
    /// The longest time that a function may run; by default as long as it takes.
    pub timeout: Option<Duration>,
    /// `args` as MessagePack; for clients.
    pub args: Vec<u8>,
    /// What serves the calls.
    pub program: Program,
}

/// What serves the calls of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// The functions of the folder, imported as a Python module.
    Python,
    /// A program with a servant of an interface.
    Tce {
        /// The command line, run in the folder.
        run: String,
        /// The IDL file, relative to the folder.
        idl: String,
        /// The name of the interface.
        interface: String,
    },
}

/// The part of a crontab.
#[derive(Debug, Clone)]
pub struct CrontabSettings {
    /// The jobs in the order of the file.
    pub jobs: Vec<JobSettings>,
    /// The zone of their times; by default the machine's.
    pub time_zone: TimeZone,
    /// What happens at a tick while the job runs.
    pub overlap: Overlap,
    /// How old a missed tick may be that still runs, 60 s by default.
    pub catch_up: Duration,
    /// How long a run may last; no limit by default.
    pub timeout: Option<Duration>,
}

/// A job.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// When it runs.
    pub schedule: Schedule,
    /// What it runs.
    pub command: String,
}

/// What happens at a tick of a job that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It runs again, at most 4 times at once.
    #[default]
    Allow,
    /// The tick is left out.
    Skip,
    /// The tick waits, one of them at most.
    Queue,
}

impl std::str::FromStr for Overlap {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "allow" => Ok(Self::Allow),
            "skip" => Ok(Self::Skip),
            "queue" => Ok(Self::Queue),
            _ => Err(()),
        }
    }
}

impl PackageSettings {
    /// Reads the `setting.yaml` of a folder; returns its warnings, too.
    ///
    /// # Errors
    /// All mistakes in it, with their lines; or that it can't be read.
    pub fn load(folder: &Path) -> Result<(Self, Vec<Problem>), Problems> {
        let path = folder.join(SETTING_FILE);
        let text = problem::read_text(&path)?;
        Self::parse(&text, folder)
    }

    /// Reads the text of the `setting.yaml` of a folder.
    ///
    /// # Errors
    /// As for [`PackageSettings::load`].
    pub fn parse(text: &str, folder: &Path) -> Result<(Self, Vec<Problem>), Problems> {
        let file = folder.join(SETTING_FILE).display().to_string();
        let mut report = ProblemReport::new(&file);
        let root = yaml::read(text, &mut report);
        let settings = root.and_then(|root| read(&root, text, folder, &mut report));
        let warnings = report.finish()?;
        // Without a problem there are settings.
        let settings = settings.ok_or_else(|| Problems::one(&file, None, "the file is empty"))?;
        Ok((settings, warnings))
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.purpose {
            Purpose::Service(_) => Kind::Service,
            Purpose::Crontab(_) => Kind::Crontab,
        }
    }
}

fn read(
    root: &YamlNode,
    source: &str,
    folder: &Path,
    report: &mut ProblemReport,
) -> Option<PackageSettings> {
    let YamlValue::Map(map) = &root.value else {
        report.error(
            root.line,
            "the file takes lines of `key: value`; begin with `type: service` or `type: crontab`",
        );
        return None;
    };
    let kind = required(map, "type", "service", report)?;
    let kind = kind.text("type", report)?;
    let purpose = match kind.parse() {
        Ok(Kind::Service) => Purpose::Service(service(map, source, report)?),
        Ok(Kind::Crontab) => Purpose::Crontab(crontab(map, source, report)?),
        Err(reason) => {
            let line = map.get("type").map(|node| node.line);
            report.error(line, reason);
            return None;
        }
    };
    let name = match &purpose {
        Purpose::Service(_) => name(map, "service_base_name", is_base, report),
        Purpose::Crontab(_) => name(map, "crontab_name", is_name, report),
    };
    let version = required(map, "version", "1.0", report);
    let version = version.and_then(|node| {
        let text = node.text("version", report)?;
        let version: Result<Version, _> = text.parse();
        version
            .map_err(|error| report.error(node.line, error.to_string()))
            .ok()
    });
    Some(PackageSettings {
        folder: folder.to_owned(),
        name: name?,
        version: version?,
        purpose,
    })
}

fn name(
    map: &YamlMap,
    key: &str,
    is_allowed: fn(&str) -> bool,
    report: &mut ProblemReport,
) -> Option<String> {
    let node = required(map, key, "calculate", report)?;
    let name = node.text(key, report)?;
    if !is_allowed(name) {
        let without = if key == "crontab_name" {
            ""
        } else {
            ", without `.` and `__`"
        };
        report.error(
            node.line,
            format!(
                "`{key}` is {}; take 1 to {MAX_NAME} letters, digits, `_`, `.` and `-`{without}",
                quoted(name)
            ),
        );
        return None;
    }
    Some(name.to_owned())
}

/// `None` where nothing more can be said of the file; mistakes of single keys are reported and left
/// out.
fn service(map: &YamlMap, source: &str, report: &mut ProblemReport) -> Option<ServiceSettings> {
    const KEYS: [&str; 12] = [
        "type",
        "service_base_name",
        "version",
        "publish",
        "args",
        "idempotent",
        "processes",
        "concurrency",
        "timeout",
        "run",
        "idl",
        "interface",
    ];
    check_keys(map, &KEYS, report);
    let program = program(map, report)?;
    let mut functions = BTreeMap::new();
    if program == Program::Python {
        let published = required(map, "publish", "[add]", report)?;
        for (function, line) in texts(published, "publish", "add, minus", report) {
            if !is_identifier(function) {
                report.error(
                    line,
                    format!("{} is not the name of a function", quoted(function)),
                );
            } else if let Some(first) = functions.insert(function.to_owned(), line) {
                report.error(
                    line,
                    format!("`{function}` is published twice; the first is on line {first}"),
                );
            }
        }
        check_count(functions.len(), "functions", published.line, report);
    } else if let Some(node) = map.get("publish") {
        report.error(
            node.line,
            "a package with `run` publishes the operations of its `interface`; remove `publish`",
        );
    }
    let mut idempotent = Vec::new();
    if let Some(node) = map.get("idempotent") {
        for (function, line) in texts(node, "idempotent", "add", report) {
            if program == Program::Python && !functions.contains_key(function) {
                report.error(line, format!("{} is not in `publish`", quoted(function)));
            }
            idempotent.push(function.to_owned());
        }
    }
    let number = "write a number from 1 to";
    let processes = parsed(
        map,
        "processes",
        &format!("{number} {MAX_PROCESSES}"),
        |processes| (1..=MAX_PROCESSES).contains(processes),
        report,
    );
    let concurrency = parsed(
        map,
        "concurrency",
        &format!("{number} {MAX_CONCURRENCY}"),
        |calls| (1..=MAX_CONCURRENCY).contains(calls),
        report,
    );
    Some(ServiceSettings {
        functions,
        idempotent,
        processes,
        concurrency: concurrency.unwrap_or(1),
        timeout: duration(map, "timeout", report),
        args: arguments(map, source, report),
        program,
    })
}

fn program(map: &YamlMap, report: &mut ProblemReport) -> Option<Program> {
    let keys = ["run", "idl", "interface"];
    if keys.iter().all(|key| map.get(key).is_none()) {
        return Some(Program::Python);
    }
    let mut values = Vec::new();
    for (key, example) in keys.iter().zip(["./server", "calculate.idl", "Calculate"]) {
        let node = required(map, key, example, report);
        values.push(
            node.and_then(|node| node.text(key, report))
                .map(str::to_owned),
        );
    }
    let [run, idl, interface] = <[Option<String>; 3]>::try_from(values).ok()?;
    Some(Program::Tce {
        run: run?,
        idl: idl?,
        interface: interface?,
    })
}

fn is_identifier(text: &str) -> bool {
    let is_start = |c: char| c == '_' || c.is_alphabetic();
    text.len() <= 128
        && text.starts_with(is_start)
        && text.chars().all(|c| is_start(c) || c.is_alphanumeric())
}

fn check_count(count: usize, what: &str, line: usize, report: &mut ProblemReport) {
    if count == 0 {
        report.error(line, format!("`publish` has no {what}"));
    } else if count > MAX_PUBLISHED {
        report.error(
            line,
            format!("`publish` has {count} {what}; {MAX_PUBLISHED} are allowed"),
        );
    }
}

/// `args` with the types of its values, as MessagePack.
fn arguments(map: &YamlMap, source: &str, report: &mut ProblemReport) -> Vec<u8> {
    #[derive(Deserialize)]
    struct File {
        args: serde_json::Value,
    }
    let mut bytes = Vec::new();
    let Some(node) = map.get("args") else {
        return bytes;
    };
    let encoded = match serde_saphyr::from_str::<File>(source) {
        Ok(file) => match rmpv::ext::to_value(file.args) {
            Ok(value) => {
                rmpv::encode::write_value(&mut bytes, &value).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        },
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = encoded {
        report.error(node.line, format!("`args` can't be read: {error}"));
    }
    bytes
}

fn crontab(map: &YamlMap, source: &str, report: &mut ProblemReport) -> Option<CrontabSettings> {
    const KEYS: [&str; 8] = [
        "type",
        "crontab_name",
        "version",
        "publish",
        "timezone",
        "overlap",
        "catch_up",
        "timeout",
    ];
    check_keys(map, &KEYS, report);
    let published = required(map, "publish", "[['* * * * *', write.py]]", report)?;
    let mut jobs = Vec::new();
    if let YamlValue::List(items) = &published.value {
        jobs.extend(items.iter().filter_map(|item| job(item, source, report)));
        check_count(items.len(), "jobs", published.line, report);
    } else {
        report.error(
            published.line,
            "`publish` takes a list of jobs: `- ['* * * * *', write.py]`",
        );
    }
    let time_zone = text(map, "timezone", report).and_then(|(name, line)| {
        let zone = TimeZone::get(name);
        if zone.is_err() {
            report.error(
                line,
                format!(
                    "the time zone {} is not known; write a name such as `Europe/Berlin`",
                    quoted(name)
                ),
            );
        }
        zone.ok()
    });
    let overlap = parsed(
        map,
        "overlap",
        "write `allow`, `skip` or `queue`",
        |_| true,
        report,
    );
    Some(CrontabSettings {
        jobs,
        time_zone: time_zone.unwrap_or_else(TimeZone::system),
        overlap: overlap.unwrap_or_default(),
        catch_up: duration(map, "catch_up", report).unwrap_or(DEFAULT_CATCH_UP),
        timeout: duration(map, "timeout", report),
    })
}

fn job(item: &YamlNode, source: &str, report: &mut ProblemReport) -> Option<JobSettings> {
    let parts = match &item.value {
        YamlValue::List(parts) if parts.len() == 2 => parts,
        _ => {
            report.error(
                item.line,
                "a job is a list of a time and a command: `['* * * * *', write.py]`",
            );
            return None;
        }
    };
    let time = parts[0].text("publish", report);
    let command = parts[1].text("publish", report);
    let (time, command) = (time?, command?);
    if command.trim().is_empty() || command.len() > MAX_COMMAND || command.contains('\0') {
        report.error(
            parts[1].line,
            format!("a command has 1 to {MAX_COMMAND} bytes, without NUL"),
        );
    }
    match Schedule::parse(time) {
        Ok(schedule) => Some(JobSettings {
            schedule,
            command: command.to_owned(),
        }),
        Err(error) => {
            let line = parts[0].line;
            match column(source, line, time) {
                Some(column) => report.error((line, column), error.to_string()),
                None => report.error(line, error.to_string()),
            }
            None
        }
    }
}

/// The column in characters at which a text stands in a line.
fn column(source: &str, line: usize, text: &str) -> Option<usize> {
    let line = source.lines().nth(line.checked_sub(1)?)?;
    let at = line.find(text)?;
    Some(line[..at].chars().count() + 1)
}
