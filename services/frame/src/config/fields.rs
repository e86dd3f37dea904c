//! Values in the files of the configuration.

use std::{str::FromStr, time::Duration};

use tce_runtime::config::{
    problem::{ProblemReport, quoted},
    yaml::{YamlMap, YamlNode, YamlValue},
};

/// The longest duration that a file may give: 30 days.
const MAX_DURATION: Duration = Duration::from_secs(30 * 86_400);

/// A value of a map as text, with its line; reported where it is no text.
pub(super) fn text<'a>(
    map: &'a YamlMap,
    key: &str,
    report: &mut ProblemReport,
) -> Option<(&'a str, usize)> {
    let node = map.get(key)?;
    Some((node.text(key, report)?, node.line))
}

/// A value of a map that must be there.
pub(super) fn required<'a>(
    map: &'a YamlMap,
    key: &str,
    example: &str,
    report: &mut ProblemReport,
) -> Option<&'a YamlNode> {
    let node = map.get(key);
    if node.is_none() {
        report.error(
            None,
            format!("`{key}` is missing; write `{key}: {example}`"),
        );
    }
    node
}

/// A value that [`FromStr`] reads and `is_allowed` takes; `wanted` says what would be right.
pub(super) fn parsed<T: FromStr>(
    map: &YamlMap,
    key: &str,
    wanted: &str,
    is_allowed: impl FnOnce(&T) -> bool,
    report: &mut ProblemReport,
) -> Option<T> {
    let (text, line) = text(map, key, report)?;
    let value = text.parse().ok().filter(is_allowed);
    if value.is_none() {
        report.error(line, format!("`{key}` is {}; {wanted}", quoted(text)));
    }
    value
}

/// A time in seconds, `90`, or with its unit, `90s`, `1h 30m`.
pub(super) fn duration(map: &YamlMap, key: &str, report: &mut ProblemReport) -> Option<Duration> {
    let (text, line) = text(map, key, report)?;
    let value = match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    let value = value.filter(|value| *value <= MAX_DURATION);
    if value.is_none() {
        let text = quoted(text);
        report.error(line, format!("`{key}` is {text}; write seconds, or a time such as `90s` or `1h`, of at most 30 days"));
    }
    value
}

/// The items of a list under `key`, each a text with its line.
pub(super) fn texts<'a>(
    node: &'a YamlNode,
    key: &str,
    example: &str,
    report: &mut ProblemReport,
) -> Vec<(&'a str, usize)> {
    let YamlValue::List(items) = &node.value else {
        report.error(
            node.line,
            format!("`{key}` takes a list: `{key}: [{example}]`"),
        );
        return Vec::new();
    };
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        if let Some(text) = item.text(key, report) {
            texts.push((text, item.line));
        }
    }
    texts
}

/// Warns of keys that are not known.
pub(super) fn check_keys(map: &YamlMap, known: &[&str], report: &mut ProblemReport) {
    for (key, line) in map.keys() {
        if !known.contains(&key) {
            let suggestion = report.suggestion(key, known.iter().copied());
            let suggestion = suggestion.unwrap_or_default();
            report.warn(
                line,
                format!("unknown key {} is ignored{suggestion}", quoted(key)),
            );
        }
    }
}
