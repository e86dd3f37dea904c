//! Dashboards, alerts and the documentation of metrics name what a gateway exposes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::command::run;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// The rows of the table in the documentation: names with their kinds.
fn documented() -> BTreeMap<String, String> {
    let page = read("docs/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let name = cells.next()?.trim_end_matches('`');
        Some((name.to_owned(), cells.next()?.to_owned()))
    });
    rows.collect()
}

/// The words of a text that are names of metrics of ours.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("tce_") && *word != "tce_runtime");
    let names = names.map(|name| name.trim_end_matches("_bucket").to_owned());
    names.collect()
}

#[test]
fn the_documentation_has_each_metric_of_the_source() {
    let documented: BTreeSet<_> = documented().into_keys().collect();
    let in_source = metrics_in(&read("gateway/src/metrics.rs"));
    assert!(in_source.len() > 20, "{in_source:?}");
    assert_eq!(documented, in_source);
}

#[test]
fn dashboards_and_alerts_name_only_metrics_that_exist() {
    let documented: BTreeSet<_> = documented().into_keys().collect();
    for file in [
        "gateway/monitoring/alerts.yml",
        "gateway/monitoring/grafana/dashboards/tce-gateway.json",
    ] {
        let named = metrics_in(&read(file));
        let unknown: Vec<_> = named.difference(&documented).collect();
        assert!(named.len() > 5 && unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn the_dashboard_is_json_without_a_panel_that_has_no_query() {
    let text = read("gateway/monitoring/grafana/dashboards/tce-gateway.json");
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 5);
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{}", panel["title"]);
        assert!(targets.iter().all(|target| target["expr"].is_string()));
    }
}

#[test]
fn the_file_of_the_compose_project_is_valid() {
    let file = repository("gateway/deploy/services.xml");
    let folder = tempfile::tempdir().unwrap();
    let out = run(folder.path(), &[file.to_str().unwrap(), "--check"]).succeeds();
    assert!(out.ends_with("all right (gwserver)\n"), "{out}");
}
