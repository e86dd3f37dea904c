//! The shape of `config.yml`: the common definitions, and what one process
//! opens of them.

use std::collections::HashMap;

use super::{
    MqConfig,
    endpoint::{Fields, KEYS},
    opened::{Opened, Row, Use},
    yaml::{Map, Node, Value},
};
use crate::config::problem::{Report, quoted};

const COMMON: &str = "common_defs";

/// The configuration of `process`; what is wrong is reported.
pub(super) fn read(root: &Node, process: &str, report: &mut Report) -> MqConfig {
    let Some(root) = sections(root, report) else {
        return MqConfig::default();
    };
    let mut opened = Opened::new(definitions(root, report));
    let mut pairs = Vec::new();
    if let Some(section) = process_section(root, process, report) {
        known_only(section, &["endpoints", "endpoint_pairs"], report);
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

fn sections<'a>(root: &'a Node, report: &mut Report) -> Option<&'a Map> {
    let wanted = format!("write `{COMMON}:` and a section for each process");
    match &root.value {
        Value::Map(map) => return Some(map),
        Value::Nothing => report.error(None, format!("the file is empty; {wanted}")),
        Value::Text(_) | Value::List(_) => {
            report.error(root.line, format!("the file holds no sections; {wanted}"));
        }
    }
    None
}

fn definitions<'a>(root: &'a Map, report: &mut Report) -> HashMap<&'a str, Row<'a>> {
    let mut definitions: HashMap<&str, Row> = HashMap::new();
    let common = root.get(COMMON);
    let Some(common) = common.and_then(|node| node.map(COMMON, report)) else {
        return definitions;
    };
    known_only(common, &["endpoints"], report);
    for row in rows(common, &KEYS, report) {
        // What this process does not use is another's: its mistakes are told
        // now rather than when that one is started.
        let fields = Fields {
            name: row.name,
            line: row.line,
            layers: vec![row.fields],
        };
        fields.values(report);
        if let Some(first) = definitions.get(row.name) {
            let (name, first) = (quoted(row.name), first.line);
            report.error(
                row.line,
                format!("endpoint {name} is defined twice; line {first} has it"),
            );
        } else {
            definitions.insert(row.name, row);
        }
    }
    definitions
}

fn process_section<'a>(root: &'a Map, process: &str, report: &mut Report) -> Option<&'a Map> {
    if process != COMMON && root.has(process) {
        let section = root.get(process);
        if section.is_none() {
            let process = quoted(process);
            report.warn(None, format!("process {process} opens no endpoint"));
        }
        return section?.map(process, report);
    }
    let processes: Vec<_> = root
        .iter()
        .filter(|(name, node)| *name != COMMON && matches!(node.value, Value::Map(_)))
        .map(|(name, _)| name)
        .collect();
    let listed: Vec<_> = processes.iter().take(10).copied().map(quoted).collect();
    let listed = if listed.is_empty() {
        "none".to_owned()
    } else {
        listed.join(", ")
    };
    let suggestion = report.suggestion(process, processes).unwrap_or_default();
    let process = quoted(process);
    report.error(
        None,
        format!("there is no process {process}; the file has {listed}{suggestion}"),
    );
    None
}

/// The rows of the section's `endpoints` that have a name.
fn rows<'a>(section: &'a Map, keys: &[&str], report: &mut Report) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    let Some(list) = section.get("endpoints") else {
        return rows;
    };
    for (line, fields) in list.maps("endpoints", "name: mq_server", report) {
        known_only(fields, keys, report);
        if let Some((name, line)) = named(fields, "name", line, report) {
            rows.push(Row { name, line, fields });
        }
    }
    rows
}

/// The endpoint that `key` names, and where; `line` is where the map begins.
fn named<'a>(
    map: &'a Map,
    key: &str,
    line: usize,
    report: &mut Report,
) -> Option<(&'a str, usize)> {
    let Some(node) = map.get(key) else {
        report.error(
            line,
            format!("there is no `{key}`; write `{key}: mq_server`"),
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
    section: &'a Map,
    opened: &mut Opened<'a>,
    report: &mut Report,
) -> Vec<(String, String)> {
    let Some(list) = section.get("endpoint_pairs") else {
        return Vec::new();
    };
    let mut pairs = Vec::new();
    let mut calls: HashMap<&str, usize> = HashMap::new();
    for (line, map) in list.maps("endpoint_pairs", "call: mq_server", report) {
        known_only(map, &["call", "return"], report);
        let call = named(map, "call", line, report);
        let back = named(map, "return", line, report);
        let (Some((call, line)), Some((back, back_line))) = (call, back) else {
            continue;
        };
        opened.open(call, Use::Call, line, report);
        opened.open(back, Use::Return, back_line, report);
        let name = quoted(call);
        if call == back {
            report.error(
                back_line,
                format!("calls to {name} would come back as their own RETURN; name another queue"),
            );
        }
        if let Some(first) = calls.insert(call, line) {
            report.error(
                line,
                format!("{name} is the `call` of two pairs; line {first} has it"),
            );
        }
        pairs.push((call.to_owned(), back.to_owned()));
    }
    pairs
}

/// Warns of keys that mean nothing: a slip of the pen, or another program's.
fn known_only(map: &Map, known: &[&str], report: &mut Report) {
    for (key, line) in map.keys() {
        if !known.contains(&key) {
            let suggestion = report
                .suggestion(key, known.iter().copied())
                .unwrap_or_default();
            let key = quoted(key);
            report.warn(line, format!("{key} means nothing here{suggestion}"));
        }
    }
}
