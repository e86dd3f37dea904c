//! Dashboards, alerts and the documentation of metrics name what a gateway exposes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tce_runtime::{
    TypedProxy,
    config::{Endpoint, Options},
};
use tce_tests::test::BaseServerPrx;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::{
    command::run,
    common::{client::Client, plan::Plan, process::GatewayProcess, scene::Scene, watching::within},
};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// The rows of the table in the documentation: names with their kinds and meanings.
fn documented_rows() -> BTreeMap<String, (String, String)> {
    let page = read("docs/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let name = cells.next()?.trim_end_matches('`');
        Some((
            name.to_owned(),
            (cells.next()?.to_owned(), cells.next()?.to_owned()),
        ))
    });
    rows.collect()
}

/// The words of a text that are names of metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| {
        let mut beginnings = ["tce_", "process_"].iter();
        beginnings.any(|beginning| word.len() > beginning.len() && word.starts_with(beginning))
            && *word != "tce_runtime"
    };
    let names = words.filter(is_metric);
    let names = names.map(|name| name.trim_end_matches("_bucket").to_owned());
    names.collect()
}

#[test]
fn the_documentation_has_each_metric_of_the_source() {
    let documented: BTreeSet<_> = documented_rows().into_keys().collect();
    let mut in_source = metrics_in(&read("gateway/src/metrics.rs"));
    in_source.extend(metrics_in(&read("gateway/src/metrics/process.rs")));
    assert!(in_source.len() > 20, "{in_source:?}");
    assert_eq!(documented, in_source);
}

#[test]
fn dashboards_and_alerts_name_only_metrics_that_exist() {
    let documented: BTreeSet<_> = documented_rows().into_keys().collect();
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

/// A metric of a scrape.
#[derive(Debug, Default)]
struct Scraped {
    kind: String,
    help: String,
    /// The labels of each series, with its value.
    series: Vec<(BTreeMap<String, String>, f64)>,
}

impl Scraped {
    fn labels(&self) -> BTreeSet<&str> {
        let keys = self.series.iter().flat_map(|(labels, _)| labels.keys());
        keys.map(String::as_str).collect()
    }

    /// The sum of the series with this value of a label.
    fn sum(&self, label: &str, value: &str) -> f64 {
        let mut sum = 0.0;
        for (labels, number) in &self.series {
            if labels.get(label).is_some_and(|found| found == value) {
                sum += number;
            }
        }
        sum
    }
}

/// Reads the text format of Prometheus, as far as a gateway uses it.
fn parse(text: &str) -> BTreeMap<String, Scraped> {
    let mut metrics: BTreeMap<String, Scraped> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name, text) = (words.next(), words.next(), words.next());
            let metric = metrics.entry(name.unwrap().to_owned()).or_default();
            let text = text.unwrap_or_default().to_owned();
            match what.unwrap() {
                "TYPE" => metric.kind = text,
                "HELP" => metric.help = text,
                other => panic!("{other}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels
            .trim_end_matches('}')
            .split("\",")
            .filter(|it| !it.is_empty());
        let labels = labels.map(|label| {
            let (key, value) = label.split_once("=\"").unwrap();
            (key.to_owned(), value.trim_end_matches('"').to_owned())
        });
        let parts = ["_bucket", "_sum", "_count"];
        let of_histogram = parts.iter().find_map(|part| name.strip_suffix(part));
        let is_known = |name: &&str| metrics.contains_key(*name);
        let name = of_histogram.filter(is_known).unwrap_or(name).to_owned();
        let mut labels: BTreeMap<_, _> = labels.collect();
        labels.remove("le");
        let metric = metrics.get_mut(&name).expect("its type was told before");
        metric.series.push((labels, value.parse().unwrap()));
    }
    metrics
}

async fn scrape(gateway: &GatewayProcess) -> BTreeMap<String, Scraped> {
    let admin = gateway.value("serving the admin page", "address");
    let mut socket = TcpStream::connect(&admin).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(socket.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    parse(body)
}

/// Makes calls that succeed, fail and are refused, and logins of all results.
async fn use_gateway(scene: &Scene, addresses: &[Endpoint]) {
    let connect = async |address: &Endpoint, token: &str| {
        let options = Options {
            token: Some(token.to_owned()),
            ..Options::default()
        };
        let address = address.to_string();
        let client = Client::connect(&address, scene.folder.path(), options).await;
        client.unwrap()
    };
    for (number, address) in addresses.iter().enumerate() {
        let mut client = connect(address, &format!("user{number}")).await;
        client.works().await;
        within(client.server.echo("fail 4711 no"))
            .await
            .unwrap_err();
        within(client.server.bidirection()).await.unwrap();
        client.next_push().await;
        let base = BaseServerPrx::new(client.server.connection());
        within(base.datetime()).await.unwrap();
    }
    // A route of the file that has no server.
    let client = connect(&addresses[0], "user0").await;
    let unknown = tce_tests::test::ITerminalGatewayServerPrx::new(client.server.connection());
    within(unknown.ping()).await.unwrap_err();
    let refused = connect(&addresses[0], "").await;
    within(refused.server.echo("x")).await.unwrap_err();
}

/// A scrape has exactly the metrics of the documentation, with the labels that it says;
/// each query of a rule or a panel finds series.
#[tokio::test]
async fn a_scrape_has_the_documented_metrics_with_their_labels() {
    let plan = Plan::direct()
        .property("userid_check", "true")
        .property("auth", "token")
        .gateways(2);
    let arguments = ["gw0", "gw1", "--set", "admin=127.0.0.1:0"];
    let scene = Scene::start(plan, &arguments).await;
    use_gateway(&scene, &scene.gateway.addresses()).await;
    // Metrics are exported each second.
    sleep(Duration::from_millis(1500)).await;
    let metrics = scrape(&scene.gateway).await;
    let documented = documented_rows();
    for (name, metric) in &metrics {
        let row = documented.get(name);
        let (kind, meaning) = row.unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!(&metric.kind, kind, "{name}");
        assert_eq!(&metric.help, meaning, "{name}");
        let labels = labels_of(name, meaning);
        let labels: BTreeSet<_> = labels.iter().map(String::as_str).collect();
        assert_eq!(metric.labels(), labels, "{name}");
    }
    // The others need a failure.
    assert!(metrics.len() > 20, "{:?}", metrics.keys());
    for gateway in ["gw0", "gw1"] {
        let connections = &metrics["tce_gateway_connections_total"];
        assert!(
            connections.sum("gateway", gateway) >= 4.0,
            "{connections:?}"
        );
    }
    let returns = &metrics["tce_gateway_returns_total"];
    assert!(returns.sum("result", "ok") >= 16.0, "{returns:?}");
    assert!(metrics["tce_gateway_calls_refused_total"].sum("reason", "no_route") >= 1.0);
    assert!(metrics["tce_gateway_logins_total"].sum("result", "refused") >= 1.0);
    assert!(metrics["tce_gateway_call_seconds"].sum("interface", "test.Server") > 0.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        metrics["tce_gateway_build_info"].sum("version", version),
        1.0
    );
    let value = |name: &str| metrics[name].series[0].1;
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") > 8.0);
    assert!(value("process_threads") >= 1.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let age = now.as_secs_f64() - value("process_start_time_seconds");
    assert!((0.0..120.0).contains(&age), "{age}");
}

/// The labels of a metric by its meaning: "…, by interface and result: ok, or the error".
fn labels_of(name: &str, meaning: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    if let Some((_, by)) = meaning.rsplit_once(", by ") {
        let by = by.split([':', ';']).next().unwrap();
        let by = by.split(['(', ')']).next().unwrap();
        let words = by
            .split([',', ' '])
            .filter(|it| !it.is_empty() && *it != "and");
        labels.extend(words.map(str::to_owned));
    }
    let is_of_process = !name.starts_with("tce_gateway_")
        || [
            "tce_gateway_build_info",
            "tce_gateway_log_lines_dropped_total",
        ]
        .contains(&name);
    if !is_of_process {
        labels.insert("gateway".to_owned());
    }
    labels
}

/// Each label that a rule or a panel names is one of the metric's.
#[test]
fn dashboards_and_alerts_name_only_labels_that_exist() {
    let documented = documented_rows();
    let mut known: BTreeSet<String> = ["instance", "job", "le"].map(str::to_owned).into();
    for (name, (_, meaning)) in &documented {
        known.extend(labels_of(name, meaning));
    }
    for file in [
        "gateway/monitoring/alerts.yml",
        "gateway/monitoring/grafana/dashboards/tce-gateway.json",
    ] {
        let text = read(file);
        let sums = text.split("by (").skip(1);
        let in_sums = sums.flat_map(|rest| rest.split(')').next().unwrap().split(','));
        let in_texts = text.split("$labels.").skip(1);
        let in_texts = in_texts.map(|rest| rest.split([' ', '}']).next().unwrap());
        for label in in_sums.chain(in_texts).map(str::trim) {
            assert!(known.contains(label), "{file}: {label}");
        }
    }
}
