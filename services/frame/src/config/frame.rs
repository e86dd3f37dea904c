//! The frame's file, `frame_pkg_setting.yaml`: which packages an agent hosts.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use tce_runtime::config::{
    problem::{self, Problem, ProblemReport, Problems, quoted},
    yaml::{self, YamlMap, YamlNode, YamlValue},
};

use super::{
    fields::{check_keys, parsed, required, text, texts},
    is_name,
    package::{Kind, MAX_PROCESSES, PackageSettings, SETTING_FILE},
};
use crate::signature::TrustedKey;

/// Processes of each service without another number.
const DEFAULT_PROCESSES: usize = 2;
/// Runs of each job whose output is kept.
const DEFAULT_LOG_KEEP: usize = 20;
const MAX_LOG_KEEP: usize = 10_000;
/// The most packages of an agent.
const MAX_PACKAGES: usize = 1000;

/// The frame's file.
#[derive(Debug, Clone)]
pub struct FrameConfig {
    /// Where it was read.
    pub file: PathBuf,
    /// The namespace, unless the command line gives one.
    pub service_group: Option<String>,
    /// The folders of the packages, absolute, with their lines.
    pub paths: Vec<(PathBuf, usize)>,
    /// The settings of the agent.
    pub agent: AgentSettings,
    /// Unknown keys.
    pub warnings: Vec<Problem>,
}

/// The settings of an agent, under `agent`.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// The only folder in which packages are installed; by default that of the frame's file.
    pub install_root: PathBuf,
    /// Who may change what; the agent's own user may do all but `system`.
    pub rights: Rights,
    /// Processes of each service, 2 by default.
    pub processes: usize,
    /// Keys one of which must have signed each package; empty: packages need no signature.
    pub trusted_keys: Vec<TrustedKey>,
    /// Runs of each job whose output is kept, 20 by default.
    pub log_keep: usize,
    /// Whether users with the right may run commands of the shell.
    pub allow_system: bool,
}

/// Users of the broker by right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// May restart.
    pub operate: Vec<String>,
    /// May update, install, roll back, and read files.
    pub deploy: Vec<String>,
    /// May run commands of the shell.
    pub system: Vec<String>,
}

/// A package that the frame's file names.
#[derive(Debug, Clone)]
pub struct PackageEntry {
    /// Its folder.
    pub folder: PathBuf,
    /// What was read there.
    pub settings: Result<PackageSettings, Rejection>,
}

/// Why a package is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Of a second package of one kind and name.
    pub identity: Option<(Kind, String, String)>,
    /// The mistakes, one a line, each with file and line.
    pub reason: String,
}

impl FrameConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// All mistakes with their lines, or that it can't be read.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        let text = problem::read_text(file)?;
        Self::parse(&text, file)
    }

    /// Reads the text of a file. Relative paths count from the file's folder.
    ///
    /// # Errors
    /// As for [`FrameConfig::load`].
    pub fn parse(source: &str, file: &Path) -> Result<Self, Problems> {
        let file_name = file.display().to_string();
        let mut report = ProblemReport::new(&file_name);
        let folder = folder_of(file);
        let root = yaml::read(source, &mut report);
        let config = root.and_then(|root| read(&root, file, &folder, &mut report));
        let warnings = report.finish()?;
        let config = config.ok_or_else(|| Problems::one(&file_name, None, "the file is empty"))?;
        Ok(Self { warnings, ..config })
    }

    /// Reads the `setting.yaml` of each package. One at fault does not affect the others; of two of one
    /// kind and name the second is rejected.
    #[must_use]
    pub fn packages(&self) -> Vec<PackageEntry> {
        let mut lines = HashMap::new();
        let entry = |(folder, line): &(PathBuf, usize)| {
            let settings = self.package(folder, *line, &mut lines);
            PackageEntry {
                folder: folder.clone(),
                settings,
            }
        };
        self.paths.iter().map(entry).collect()
    }

    fn package(
        &self,
        folder: &Path,
        line: usize,
        lines: &mut HashMap<(Kind, String), usize>,
    ) -> Result<PackageSettings, Rejection> {
        let reject = |identity, problems: Problems| Rejection {
            identity,
            reason: problems.to_string(),
        };
        let file = self.file.display().to_string();
        if !folder.join(SETTING_FILE).is_file() {
            let folder = folder.display();
            let message = format!("`{folder}` is no package: it has no `{SETTING_FILE}`");
            return Err(reject(None, Problems::one(&file, line, message)));
        }
        let loaded = PackageSettings::load(folder);
        let (settings, warnings) = loaded.map_err(|problems| reject(None, problems))?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let (kind, name) = (settings.kind(), settings.name.clone());
        if let Some(first) = lines.get(&(kind, name.clone())) {
            let message = format!("a second {kind} `{name}`; the first is on line {first}");
            let identity = (kind, name, settings.version.to_string());
            return Err(reject(Some(identity), Problems::one(&file, line, message)));
        }
        lines.insert((kind, name), line);
        Ok(settings)
    }
}

/// The folder of a file, absolute where the system says so.
fn folder_of(file: &Path) -> PathBuf {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn read(
    root: &YamlNode,
    file: &Path,
    folder: &Path,
    report: &mut ProblemReport,
) -> Option<FrameConfig> {
    let YamlValue::Map(map) = &root.value else {
        report.error(
            root.line,
            "the file takes `service_group: NAME` and `path:` with a list of folders",
        );
        return None;
    };
    check_keys(map, &["service_group", "path", "agent"], report);
    let service_group = text(map, "service_group", report);
    if let Some((name, line)) = service_group.filter(|(name, _)| !is_name(name)) {
        report.error(
            line,
            format!(
                "`service_group` is {}; take 1 to 64 letters, digits, `_`, `.` and `-`",
                quoted(name)
            ),
        );
    }
    let mut paths = Vec::new();
    if let Some(node) = required(map, "path", "[./package]", report) {
        for (path, line) in texts(node, "path", "./package", report) {
            paths.push((normal(&folder.join(path)), line));
        }
        if paths.len() > MAX_PACKAGES {
            report.error(
                node.line,
                format!("`path` has more than {MAX_PACKAGES} packages"),
            );
        }
    }
    let empty = YamlMap::default();
    let agent = match map.get("agent") {
        Some(node) => node.map("agent", report).unwrap_or(&empty),
        None => &empty,
    };
    Some(FrameConfig {
        file: file.to_owned(),
        service_group: service_group.map(|(name, _)| name.to_owned()),
        paths,
        agent: agent_settings(agent, folder, report),
        warnings: Vec::new(),
    })
}

/// Without `.` parts, so that paths read as in the file.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

fn agent_settings(map: &YamlMap, folder: &Path, report: &mut ProblemReport) -> AgentSettings {
    const KEYS: [&str; 6] = [
        "install_root",
        "rights",
        "processes",
        "trusted_keys",
        "log_keep",
        "allow_system",
    ];
    check_keys(map, &KEYS, report);
    let install_root = text(map, "install_root", report).map_or(".", |(path, _)| path);
    let mut trusted_keys = Vec::new();
    if let Some(node) = map.get("trusted_keys") {
        for (key, line) in texts(node, "trusted_keys", "<64 hexadecimal digits>", report) {
            match key.parse() {
                Ok(key) => trusted_keys.push(key),
                Err(error) => report.error(line, format!("{error}")),
            }
        }
    }
    let rights = map
        .get("rights")
        .and_then(|node| node.map("rights", report));
    let processes = format!("write a number from 1 to {MAX_PROCESSES}");
    let processes = parsed(
        map,
        "processes",
        &processes,
        |count| (1..=MAX_PROCESSES).contains(count),
        report,
    );
    let log_keep = format!("write a number from 1 to {MAX_LOG_KEEP}");
    let log_keep = parsed(
        map,
        "log_keep",
        &log_keep,
        |count| (1..=MAX_LOG_KEEP).contains(count),
        report,
    );
    let allow_system = parsed(
        map,
        "allow_system",
        "write `true` or `false`",
        |_| true,
        report,
    );
    AgentSettings {
        install_root: normal(&folder.join(install_root)),
        rights: rights
            .map(|map| read_rights(map, report))
            .unwrap_or_default(),
        processes: processes.unwrap_or(DEFAULT_PROCESSES),
        trusted_keys,
        log_keep: log_keep.unwrap_or(DEFAULT_LOG_KEEP),
        allow_system: allow_system.unwrap_or(false),
    }
}

fn read_rights(map: &YamlMap, report: &mut ProblemReport) -> Rights {
    check_keys(map, &["operate", "deploy", "system"], report);
    let mut users = |right: &str| match map.get(right) {
        Some(node) => {
            let users = texts(node, right, "ops", report);
            users.into_iter().map(|(user, _)| user.to_owned()).collect()
        }
        None => Vec::new(),
    };
    Rights {
        operate: users("operate"),
        deploy: users("deploy"),
        system: users("system"),
    }
}
