//! The endpoints that a process opens, and for what.

use std::collections::HashMap;

use super::{MqEndpoint, endpoint::Fields, yaml::Map};
use crate::config::problem::{Report, quoted};

/// What a list says of one endpoint.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    /// Where it is named.
    pub(super) line: usize,
    pub(super) fields: &'a Map,
}

/// What a pair does with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Sends calls to it.
    Call,
    /// Takes their returns from it.
    Return,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Modes {
    reads: bool,
    writes: bool,
}

impl Modes {
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

impl From<Use> for Modes {
    fn from(usage: Use) -> Self {
        Self {
            reads: usage == Use::Return,
            writes: usage == Use::Call,
        }
    }
}

struct Opening<'a> {
    name: &'a str,
    line: usize,
    /// What the process says of it.
    rows: Vec<&'a Map>,
    modes: Modes,
}

/// Endpoints in the order in which they are first named.
pub(super) struct Opened<'a> {
    definitions: HashMap<&'a str, Row<'a>>,
    openings: Vec<Opening<'a>>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Opened<'a> {
    pub(super) fn new(definitions: HashMap<&'a str, Row<'a>>) -> Self {
        Self {
            definitions,
            openings: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Opens an endpoint as a row of the process's `endpoints` says.
    pub(super) fn list(&mut self, row: &Row<'a>, report: &mut Report) {
        let defines = ["host", "port", "address"];
        let defined = defines.iter().any(|key| row.fields.get(key).is_some());
        if !defined && !self.is_defined(row.name, row.line, report) {
            return;
        }
        let modes = modes(row, report);
        let opening = self.opening(row.name, row.line);
        if !opening.rows.is_empty() && opening.modes.include(modes) {
            let (name, first) = (quoted(row.name), opening.line);
            report.warn(
                row.line,
                format!("{name} is listed twice for the same; line {first} has it"),
            );
        }
        opening.rows.push(row.fields);
        opening.modes = opening.modes.with(modes);
    }

    /// Opens an endpoint for its use in a pair, where it is not listed; a
    /// listed one has to be open for that already.
    pub(super) fn open(&mut self, name: &'a str, usage: Use, line: usize, report: &mut Report) {
        if !self.is_defined(name, line, report) {
            return;
        }
        let modes = Modes::from(usage);
        let opening = self.opening(name, line);
        if opening.rows.is_empty() {
            opening.modes = opening.modes.with(modes);
        } else if !opening.modes.include(modes) {
            let (needs, key) = match usage {
                Use::Call => ("AF_WRITE", "call"),
                Use::Return => ("AF_READ", "return"),
            };
            let (name, first) = (quoted(name), opening.line);
            report.error(
                line,
                format!(
                    "{name} is the `{key}` of a pair and needs {needs}, which line {first} does \
                     not give it; write `af_mode: AF_READ|AF_WRITE` there"
                ),
            );
        }
    }

    /// What is open, with its values.
    pub(super) fn endpoints(self, report: &mut Report) -> Vec<MqEndpoint> {
        let mut endpoints = Vec::with_capacity(self.openings.len());
        for opening in self.openings {
            let definition = self.definitions.get(opening.name);
            let fields = Fields {
                name: opening.name,
                line: definition.map_or(opening.line, |row| row.line),
                layers: opening
                    .rows
                    .into_iter()
                    .chain(definition.map(|row| row.fields))
                    .collect(),
            };
            endpoints.extend(fields.endpoint(report).map(|endpoint| MqEndpoint {
                reads: opening.modes.reads,
                writes: opening.modes.writes,
                ..endpoint
            }));
        }
        endpoints
    }

    fn opening(&mut self, name: &'a str, line: usize) -> &mut Opening<'a> {
        let place = *self.places.entry(name).or_insert(self.openings.len());
        if place == self.openings.len() {
            self.openings.push(Opening {
                name,
                line,
                rows: Vec::new(),
                modes: Modes {
                    reads: false,
                    writes: false,
                },
            });
        }
        &mut self.openings[place]
    }

    fn is_defined(&self, name: &str, line: usize, report: &mut Report) -> bool {
        // A row that brought its own host defines the endpoint for what follows.
        let defined = self.definitions.contains_key(name) || self.places.contains_key(name);
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

fn modes(row: &Row<'_>, report: &mut Report) -> Modes {
    // A row without a usable mode is refused: taken for both, it brings no
    // complaint about pairs on top.
    let both = Modes {
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

fn read_modes(text: &str) -> Option<Modes> {
    let words = text.split(|c: char| matches!(c, '|' | ',') || c.is_whitespace());
    words
        .filter(|word| !word.is_empty())
        .map(|word| match word.to_ascii_uppercase().as_str() {
            "AF_READ" => Some(Modes::from(Use::Return)),
            "AF_WRITE" => Some(Modes::from(Use::Call)),
            _ => None,
        })
        .reduce(|one, other| Some(one?.with(other?)))
        .flatten()
}
