//! `config.yml`: the common definitions, and the endpoints that one process opens.

use std::{collections::HashMap, path::Path};

use super::{
    endpoint::{EndpointFields, KEYS, MqEndpoint},
    yaml::{self, YamlMap, YamlNode, YamlValue},
};
use crate::config::problem::{self, Problem, ProblemReport, Problems, quoted};

/// The section of the definitions for all processes.
const COMMON: &str = "common_defs";

/// The message queues that a process uses, from a `config.yml`
/// (`spec/gateway.md`).
///
/// An endpoint is defined in `common_defs.endpoints`; values in the `endpoints` of
/// the process override those of the definition. Listed once with `AF_READ` and
/// once with `AF_WRITE` (or with `AF_READ|AF_WRITE`) it is opened for both. An
/// endpoint that only a pair names is opened as the pair needs it.
///
/// ```
/// use tce_runtime::config::MqConfig;
///
/// let config = MqConfig::parse(
///     "
/// common_defs:
///   endpoints:
///     - name: mq_server
///       host: localhost
///       port: 5672
///       address: mq_server;{create:always,node:{type:queue,durable:true}}
///       type: qpid
/// server:
///   endpoints:
///     - name: mq_server
///       af_mode: AF_READ
/// ",
///     "config.yml",
///     "server",
/// )?;
/// let endpoint = config.endpoint("mq_server").ok_or("no mq_server")?;
/// assert!(endpoint.reads && !endpoint.writes);
/// assert_eq!(endpoint.address.name, "mq_server");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MqConfig {
    /// The endpoints that the process opens, in the order of their first
    /// mention.
    pub endpoints: Vec<MqEndpoint>,
    /// Pairs of endpoints: the RETURN of a call sent to the first is received
    /// from the second. Each first endpoint has at most one pair.
    pub pairs: Vec<(String, String)>,
    /// Warnings: unknown keys and address options, endpoints listed twice.
    pub warnings: Vec<Problem>,
}

impl MqConfig {
    /// Reads a file and logs its warnings. `process` is the name of the
    /// process's section (`init('server')` in TCE).
    ///
    /// # Errors
    /// All errors in the section of the process and in the common definitions;
    /// or that the file can't be read, is not UTF-8 or is larger than 1 MiB.
    pub fn load(path: impl AsRef<Path>, process: &str) -> Result<Self, Problems> {
        let path = path.as_ref();
        let text = problem::read_text(path)?;
        let config = Self::parse(&text, &path.display().to_string(), process)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        Ok(config)
    }

    /// Reads the text of a file; `file_name` is the name in messages.
    ///
    /// # Errors
    /// As for [`MqConfig::load`].
    pub fn parse(text: &str, file_name: &str, process: &str) -> Result<Self, Problems> {
        problem::check_size(text, file_name)?;
        let mut report = ProblemReport::new(file_name);
        let config = yaml::read(text, &mut report).map(|root| read(&root, process, &mut report));
        let warnings = report.finish()?;
        Ok(Self {
            warnings,
            ..config.unwrap_or_default()
        })
    }

    /// The endpoint `name`, if the process opens it.
    pub fn endpoint(&self, name: &str) -> Option<&MqEndpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }
}

/// The configuration of `process`; errors are reported.
fn read(root: &YamlNode, process: &str, report: &mut ProblemReport) -> MqConfig {
    let Some(root) = sections(root, report) else {
        return MqConfig::default();
    };
    let mut opened = OpenEndpoints::new(definitions(root, report));
    let mut pairs = Vec::new();
    if let Some(section) = process_section(root, process, report) {
        check_keys(section, &["endpoints", "endpoint_pairs"], report);
        let keys: Vec<_> = KEYS.into_iter().chain(["af_mode"]).collect();
        for row in rows(section, &keys, report) {
            opened.list(&row, report);
        }
        pairs = read_pairs(section, &mut opened, report);
    }
    MqConfig {
        endpoints: opened.endpoints(report),
        pairs,
        warnings: Vec::new(),
    }
}

fn sections<'a>(root: &'a YamlNode, report: &mut ProblemReport) -> Option<&'a YamlMap> {
    let wanted = format!("write `{COMMON}:` and a section for each process");
    match &root.value {
        YamlValue::Map(map) => return Some(map),
        YamlValue::Null => report.error(None, format!("the file is empty; {wanted}")),
        YamlValue::Text(_) | YamlValue::List(_) => {
            report.error(
                root.line,
                format!("the file is not a map of sections; {wanted}"),
            );
        }
    }
    None
}

fn definitions<'a>(
    root: &'a YamlMap,
    report: &mut ProblemReport,
) -> HashMap<&'a str, ListedEndpoint<'a>> {
    let mut definitions: HashMap<&str, ListedEndpoint> = HashMap::new();
    let common = root.get(COMMON);
    let Some(common) = common.and_then(|node| node.map(COMMON, report)) else {
        return definitions;
    };
    check_keys(common, &["endpoints"], report);
    for row in rows(common, &KEYS, report) {
        // Definitions that only other processes use are checked as well, so
        // that their errors show before those processes are started.
        let fields = EndpointFields {
            name: row.name,
            line: row.line,
            layers: vec![row.fields],
        };
        fields.values(report);
        if let Some(first) = definitions.get(row.name) {
            let (name, first) = (quoted(row.name), first.line);
            report.error(
                row.line,
                format!("endpoint {name} is defined twice; the first is on line {first}"),
            );
        } else {
            definitions.insert(row.name, row);
        }
    }
    definitions
}

fn process_section<'a>(
    root: &'a YamlMap,
    process: &str,
    report: &mut ProblemReport,
) -> Option<&'a YamlMap> {
    if process != COMMON && root.has(process) {
        let section = root.get(process);
        if section.is_none() {
            let process = quoted(process);
            report.warn(
                None,
                format!("the section of process {process} is empty: it opens no endpoint"),
            );
        }
        return section?.map(process, report);
    }
    let processes: Vec<_> = root
        .iter()
        .filter(|(name, node)| *name != COMMON && matches!(node.value, YamlValue::Map(_)))
        .map(|(name, _)| name)
        .collect();
    let listed: Vec<_> = processes.iter().take(10).copied().map(quoted).collect();
    let others = if listed.is_empty() {
        " or any other process".to_owned()
    } else {
        format!("; it has {}", listed.join(", "))
    };
    let suggestion = report.suggestion(process, processes).unwrap_or_default();
    let process = quoted(process);
    report.error(
        None,
        format!("the file has no section for process {process}{others}{suggestion}"),
    );
    None
}

/// The items of the section's `endpoints` that have a name.
fn rows<'a>(
    section: &'a YamlMap,
    keys: &[&str],
    report: &mut ProblemReport,
) -> Vec<ListedEndpoint<'a>> {
    let mut rows = Vec::new();
    let Some(list) = section.get("endpoints") else {
        return rows;
    };
    for (line, fields) in list.maps("endpoints", "name: mq_server", report) {
        check_keys(fields, keys, report);
        if let Some((name, line)) = named(fields, "name", line, report) {
            rows.push(ListedEndpoint { name, line, fields });
        }
    }
    rows
}

/// The name under `key` and its line; `line` is the one on which the map begins.
fn named<'a>(
    map: &'a YamlMap,
    key: &str,
    line: usize,
    report: &mut ProblemReport,
) -> Option<(&'a str, usize)> {
    let Some(node) = map.get(key) else {
        report.error(
            line,
            format!("`{key}` is missing; write `{key}: mq_server`"),
        );
        return None;
    };
    let name = node.text(key, report)?;
    if name.is_empty() {
        report.error(
            node.line,
            format!("`{key}` is empty; write `{key}: mq_server`"),
        );
        return None;
    }
    Some((name, node.line))
}

fn read_pairs<'a>(
    section: &'a YamlMap,
    opened: &mut OpenEndpoints<'a>,
    report: &mut ProblemReport,
) -> Vec<(String, String)> {
    let Some(list) = section.get("endpoint_pairs") else {
        return Vec::new();
    };
    let mut pairs = Vec::new();
    let mut calls: HashMap<&str, usize> = HashMap::new();
    for (line, map) in list.maps("endpoint_pairs", "call: mq_server", report) {
        check_keys(map, &["call", "return"], report);
        let call = named(map, "call", line, report);
        let back = named(map, "return", line, report);
        let (Some((call, line)), Some((back, back_line))) = (call, back) else {
            continue;
        };
        opened.open(call, PairRole::Call, line, report);
        opened.open(back, PairRole::Return, back_line, report);
        let name = quoted(call);
        if call == back {
            report.error(
                back_line,
                format!(
                    "{name} can't be both `call` and `return` of a pair; name another endpoint"
                ),
            );
        }
        if let Some(first) = calls.insert(call, line) {
            report.error(
                line,
                format!("{name} is the `call` of two pairs; the first is on line {first}"),
            );
        }
        pairs.push((call.to_owned(), back.to_owned()));
    }
    pairs
}

/// Warns of unknown keys.
fn check_keys(map: &YamlMap, known: &[&str], report: &mut ProblemReport) {
    for (key, line) in map.keys() {
        if !known.contains(&key) {
            let suggestion = report
                .suggestion(key, known.iter().copied())
                .unwrap_or_default();
            let key = quoted(key);
            report.warn(line, format!("unknown key {key} is ignored{suggestion}"));
        }
    }
}

/// An endpoint in a list `endpoints`.
struct ListedEndpoint<'a> {
    name: &'a str,
    /// The line of its name.
    line: usize,
    fields: &'a YamlMap,
}

/// The role of an endpoint in a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PairRole {
    /// Calls are sent to it.
    Call,
    /// The RETURNs of these calls are received from it.
    Return,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AccessModes {
    reads: bool,
    writes: bool,
}

impl AccessModes {
    fn with(self, other: Self) -> Self {
        Self {
            reads: self.reads || other.reads,
            writes: self.writes || other.writes,
        }
    }

    fn include(self, other: Self) -> bool {
        self.with(other) == self
    }
}

impl From<PairRole> for AccessModes {
    fn from(role: PairRole) -> Self {
        Self {
            reads: role == PairRole::Return,
            writes: role == PairRole::Call,
        }
    }
}

struct OpenEndpoint<'a> {
    name: &'a str,
    line: usize,
    /// The items of the process's `endpoints` that name it.
    rows: Vec<&'a YamlMap>,
    modes: AccessModes,
}

/// The endpoints that the process opens, in the order of their first mention.
struct OpenEndpoints<'a> {
    definitions: HashMap<&'a str, ListedEndpoint<'a>>,
    endpoints: Vec<OpenEndpoint<'a>>,
    indices: HashMap<&'a str, usize>,
}

impl<'a> OpenEndpoints<'a> {
    fn new(definitions: HashMap<&'a str, ListedEndpoint<'a>>) -> Self {
        Self {
            definitions,
            endpoints: Vec::new(),
            indices: HashMap::new(),
        }
    }

    /// Opens an endpoint that the process's `endpoints` list.
    fn list(&mut self, row: &ListedEndpoint<'a>, report: &mut ProblemReport) {
        let defines = ["host", "port", "address"];
        let defined = defines.iter().any(|key| row.fields.get(key).is_some());
        if !defined && !self.is_defined(row.name, row.line, report) {
            return;
        }
        let modes = modes(row, report);
        let entry = self.entry(row.name, row.line);
        if !entry.rows.is_empty() && entry.modes.include(modes) {
            let (name, first) = (quoted(row.name), entry.line);
            report.warn(
                row.line,
                format!(
                    "{name} is listed twice with the same `af_mode`; the first is on line {first}"
                ),
            );
        }
        entry.rows.push(row.fields);
        entry.modes = entry.modes.with(modes);
    }

    /// Opens an endpoint for its role in a pair. One that `endpoints` lists must
    /// have the modes for that role there.
    fn open(&mut self, name: &'a str, role: PairRole, line: usize, report: &mut ProblemReport) {
        if !self.is_defined(name, line, report) {
            return;
        }
        let modes = AccessModes::from(role);
        let entry = self.entry(name, line);
        if entry.rows.is_empty() {
            entry.modes = entry.modes.with(modes);
        } else if !entry.modes.include(modes) {
            let (needs, key) = match role {
                PairRole::Call => ("AF_WRITE", "call"),
                PairRole::Return => ("AF_READ", "return"),
            };
            let (name, first) = (quoted(name), entry.line);
            report.error(
                line,
                format!(
                    "{name} is the `{key}` of a pair and needs {needs}, which line {first} does \
                     not give it; write `af_mode: AF_READ|AF_WRITE` there"
                ),
            );
        }
    }

    /// The open endpoints with their values.
    fn endpoints(self, report: &mut ProblemReport) -> Vec<MqEndpoint> {
        let mut endpoints = Vec::with_capacity(self.endpoints.len());
        for entry in self.endpoints {
            let definition = self.definitions.get(entry.name);
            let fields = EndpointFields {
                name: entry.name,
                line: definition.map_or(entry.line, |row| row.line),
                layers: entry
                    .rows
                    .into_iter()
                    .chain(definition.map(|row| row.fields))
                    .collect(),
            };
            endpoints.extend(fields.endpoint(report).map(|endpoint| MqEndpoint {
                reads: entry.modes.reads,
                writes: entry.modes.writes,
                ..endpoint
            }));
        }
        endpoints
    }

    fn entry(&mut self, name: &'a str, line: usize) -> &mut OpenEndpoint<'a> {
        let index = *self.indices.entry(name).or_insert(self.endpoints.len());
        if index == self.endpoints.len() {
            self.endpoints.push(OpenEndpoint {
                name,
                line,
                rows: Vec::new(),
                modes: AccessModes {
                    reads: false,
                    writes: false,
                },
            });
        }
        &mut self.endpoints[index]
    }

    fn is_defined(&self, name: &str, line: usize, report: &mut ProblemReport) -> bool {
        // An item with its own host defines the endpoint for later mentions.
        let defined = self.definitions.contains_key(name) || self.indices.contains_key(name);
        if !defined {
            let names = self.definitions.keys().copied();
            let right = report
                .suggestion(name, names)
                .unwrap_or_else(|| "; define it in `common_defs.endpoints`".to_owned());
            let name = quoted(name);
            report.error(line, format!("endpoint {name} is not defined{right}"));
        }
        defined
    }
}

fn modes(row: &ListedEndpoint<'_>, report: &mut ProblemReport) -> AccessModes {
    // An item without a valid mode is an error already; with both modes it
    // causes no further one about pairs.
    let both = AccessModes {
        reads: true,
        writes: true,
    };
    let right = "write AF_READ, AF_WRITE or AF_READ|AF_WRITE";
    let Some(node) = row.fields.get("af_mode") else {
        let name = quoted(row.name);
        report.error(
            row.line,
            format!("endpoint {name} has no `af_mode`; {right}"),
        );
        return both;
    };
    let Some(text) = node.text("af_mode", report) else {
        return both;
    };
    read_modes(text).unwrap_or_else(|| {
        let text = quoted(text);
        report.error(node.line, format!("`af_mode` can't be {text}; {right}"));
        both
    })
}

fn read_modes(text: &str) -> Option<AccessModes> {
    let words = text.split(|c: char| matches!(c, '|' | ',') || c.is_whitespace());
    words
        .filter(|word| !word.is_empty())
        .map(|word| match word.to_ascii_uppercase().as_str() {
            "AF_READ" => Some(AccessModes::from(PairRole::Return)),
            "AF_WRITE" => Some(AccessModes::from(PairRole::Call)),
            _ => None,
        })
        .reduce(|one, other| Some(one?.with(other?)))
        .flatten()
}
