//! `config.yml` as processes load it: files written for TCE, the keys that this
//! project adds, and the message for each mistake.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tce_runtime::config::{Address, MqConfig, NodeType, problem::Problems};

const QUEUE: &str = "{create:always,node:{type:queue,durable:true}}";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mq_config")
}

fn server(text: &str) -> Result<MqConfig, Problems> {
    MqConfig::parse(text, "config.yml", "server")
}

/// A file with one endpoint, `mq_server`, to which `lines` are added.
fn with_lines(lines: &[&str]) -> Result<MqConfig, Problems> {
    let text = format!(
        "common_defs:\n  endpoints:\n    - name: mq_server\n      host: centos66\n      \
         port: 5672\n      address: mq_server;{QUEUE}\n{}server:\n  endpoints:\n    \
         - name: mq_server\n      af_mode: AF_READ\n",
        lines
            .iter()
            .map(|line| format!("      {line}\n"))
            .collect::<String>(),
    );
    server(&text)
}

fn modes(config: &MqConfig) -> Vec<(&str, bool, bool)> {
    let endpoints = config.endpoints.iter();
    endpoints
        .map(|endpoint| (endpoint.name.as_str(), endpoint.reads, endpoint.writes))
        .collect()
}

/// Compares the errors of each `broken/*.yml`, loaded for `server`, with the
/// `.txt` beside it, which `BLESS=1` rewrites.
#[test]
fn every_error_names_its_line() {
    let broken = folder().join("broken");
    let files: BTreeSet<_> = fs::read_dir(&broken)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    assert!(files.len() >= 20, "the files are gone: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let report = format!(
            "{}\n",
            server(&text).expect_err(&file.display().to_string())
        );
        let golden = file.with_extension("txt");
        if env::var_os("BLESS").is_some() {
            fs::write(&golden, report).unwrap();
        } else {
            let agreed = fs::read_to_string(&golden).unwrap_or_default();
            assert_eq!(report, agreed, "{}", file.display());
        }
    }
}

#[test]
fn a_file_written_for_tce_is_loaded_as_it_is() {
    let path = folder().join("cluster.yml");
    let config = MqConfig::load(&path, "server").unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.pairs, []);
    assert_eq!(
        modes(&config),
        [
            ("mq_gateway", false, true),
            ("mq_server", true, false),
            ("mq_gateway_ws", false, true)
        ]
    );
    let endpoint = config.endpoint("mq_server").unwrap();
    assert_eq!((endpoint.host.as_str(), endpoint.port), ("centos66", 5672));
    assert_eq!(
        endpoint.address,
        Address {
            name: "mq_server".to_owned(),
            subject: None,
            node: NodeType::Queue,
            create: true,
            durable: true,
        }
    );

    let config = MqConfig::load(&path, "client").unwrap();
    assert_eq!(
        config.pairs,
        [("mq_server".to_owned(), "mq_gateway".to_owned())]
    );
    assert_eq!(
        modes(&config),
        [("mq_gateway", true, false), ("mq_server", false, true)]
    );
}

/// TCE's manual shows only one of three definitions; the errors name the others.
#[test]
fn the_manuals_excerpt_lacks_two_definitions() {
    let text = fs::read_to_string(folder().join("seed.yml")).unwrap();
    assert_eq!(
        server(&text).unwrap_err().to_string(),
        "config.yml:13: endpoint `mq_server` is not defined; \
         define it in `common_defs.endpoints`\n\
         config.yml:15: endpoint `mq_gateway_ws` is not defined; did you mean `mq_gateway`?"
    );
}

#[test]
fn absent_values_have_defaults() {
    let config = with_lines(&[]).unwrap();
    let endpoint = config.endpoint("mq_server").unwrap();
    assert_eq!(
        (endpoint.user.as_str(), endpoint.password.as_str()),
        ("guest", "guest")
    );
    assert_eq!((endpoint.vhost.as_str(), endpoint.prefetch), ("/", 64));
    assert!(!endpoint.batch && !endpoint.tls);
}

#[test]
fn our_own_keys_are_read_as_they_are_written() {
    // Unquoted, some of these are numbers or booleans in YAML.
    let config = with_lines(&[
        "batch: 1",
        "prefetch: 8",
        "user: yes",
        "password: 0123",
        "vhost: 1e3",
        "tls: on",
        "type: AMQP",
    ])
    .unwrap();
    let endpoint = config.endpoint("mq_server").unwrap();
    assert!(endpoint.batch && endpoint.tls);
    assert_eq!(endpoint.prefetch, 8);
    assert_eq!(
        (endpoint.user.as_str(), endpoint.password.as_str()),
        ("yes", "0123")
    );
    assert_eq!(endpoint.vhost, "1e3");
    assert_eq!(config.warnings, []);
}

#[test]
fn a_password_is_never_shown() {
    let config = with_lines(&["user: tce", "password: s3cret"]).unwrap();
    assert_eq!(config.endpoint("mq_server").unwrap().password, "s3cret");
    let shown = format!("{config:?}");
    assert!(
        shown.contains("\"tce\"") && !shown.contains("s3cret"),
        "{shown}"
    );
}

#[test]
fn unknown_keys_are_ignored_with_a_warning() {
    let config = with_lines(&[
        "prefech: 8",
        "comment: ours",
        "address_old: &old { a: [1, 2] }",
        "vhost:\t/tce\t# after tabs",
    ])
    .unwrap();
    assert_eq!(config.endpoint("mq_server").unwrap().vhost, "/tce");
    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "config.yml:7: unknown key `prefech` is ignored; did you mean `prefetch`?",
            "config.yml:8: unknown key `comment` is ignored",
            "config.yml:9: unknown key `address_old` is ignored",
        ]
    );
}

#[test]
fn unsupported_address_options_are_ignored_with_a_warning() {
    let text = fs::read_to_string(folder().join("cluster.yml")).unwrap();
    let text = text.replace("type:queue,", "type:queue,x-declare:{a:[1]},");
    let config = MqConfig::parse(&text, "config.yml", "client").unwrap();
    assert_eq!(
        config.warnings[0].to_string(),
        "config.yml:7: the address option `node.x-declare` is not supported and ignored"
    );
}

#[test]
fn modes_of_repeated_entries_are_combined() {
    for (first, second) in [
        ("AF_READ", "AF_WRITE"),
        ("AF_READ|AF_WRITE", "AF_WRITE"),
        ("af_write, af_read", "AF_READ"),
    ] {
        let text = format!(
            "server:\n  endpoints:\n    - name: mq\n      host: localhost\n      port: '5672'\n      \
             address: mq\n      af_mode: {first}\n    - name: mq\n      af_mode: {second}\n"
        );
        assert_eq!(
            modes(&server(&text).unwrap()),
            [("mq", true, true)],
            "{first}"
        );
    }
}

#[test]
fn a_process_overrides_definitions_and_maps_are_merged() {
    let text = format!(
        "common_defs:\n  endpoints:\n    - &base\n      name: mq_server\n      host: centos66\n      \
         port: 5672\n      address: mq_server;{QUEUE}\n    - <<: *base\n      name: mq_client\n\
         server:\n  endpoints:\n    - name: mq_server\n      af_mode: AF_READ\n      \
         host: localhost\n      address: news;{{node:{{type:topic}}}}\n    - name: mq_client\n      \
         af_mode: AF_WRITE\n      port: 5673\n"
    );
    let config = server(&text).unwrap();
    let at = |name| {
        let endpoint = config.endpoint(name).unwrap();
        (
            endpoint.host.as_str(),
            endpoint.port,
            endpoint.address.to_string(),
        )
    };
    assert_eq!(
        at("mq_server"),
        ("localhost", 5672, "news;{node:{type:topic}}".to_owned())
    );
    assert_eq!(
        at("mq_client"),
        ("centos66", 5673, format!("mq_server;{QUEUE}"))
    );
}

#[test]
fn maps_are_merged_as_in_yaml_1_1() {
    let merged = |merge: &str| {
        let text = format!(
            "bases:\n  - &one {{host: h1, port: 1}}\n  - &two {{host: h2, port: 2, address: a}}\n\
             server:\n  endpoints:\n    - name: mq\n      af_mode: AF_READ\n      {merge}\n"
        );
        server(&text).map(|config| {
            let endpoint = config.endpoint("mq").unwrap();
            (endpoint.host.clone(), endpoint.port)
        })
    };
    let expect = |host: &str, port| Ok((host.to_owned(), port));
    assert_eq!(merged("<<: *two"), expect("h2", 2));
    assert_eq!(merged("<<: [*one, *two]"), expect("h1", 1));
    assert_eq!(merged("<<: *two\n      port: 3"), expect("h2", 3));
    assert_eq!(
        merged("<<: one")
            .unwrap_err()
            .problems()
            .last()
            .unwrap()
            .to_string(),
        "config.yml:8: `<<` takes a map or a list of maps"
    );
}

#[test]
fn keys_other_than_text_are_refused() {
    let error = server("server: {}\n[a, b]: 1\n{c: d}: 2\n~: 3\n").unwrap_err();
    let lines = [2, 3, 4]
        .map(|line| format!("config.yml:{line}: a key is a text, not a list, a map or nothing"));
    assert_eq!(error.to_string(), lines.join("\n"));
}

#[test]
fn endpoints_of_a_pair_are_opened_implicitly() {
    let text = fs::read_to_string(folder().join("cluster.yml")).unwrap();
    let text = format!(
        "{text}\nworker:\n  endpoint_pairs:\n    - {{call: mq_server, return: mq_gateway}}\n"
    );
    let config = MqConfig::parse(&text, "config.yml", "worker").unwrap();
    assert_eq!(
        modes(&config),
        [("mq_server", false, true), ("mq_gateway", true, false)]
    );
}

#[test]
fn an_unreadable_file_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yml");
    let report = MqConfig::load(&path, "server").unwrap_err().to_string();
    assert!(
        report.contains("config.yml: the file can't be read: "),
        "{report}"
    );

    fs::write(&path, b"common_defs:\n  x: \xff\n").unwrap();
    let report = MqConfig::load(&path, "server").unwrap_err().to_string();
    assert!(
        report.ends_with("config.yml:2: this is not UTF-8; save the file as UTF-8"),
        "{report}"
    );

    fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    let report = MqConfig::load(&path, "server").unwrap_err().to_string();
    assert!(
        report.ends_with("config.yml: the file has more than 1048576 bytes"),
        "{report}"
    );
}

/// Without limits each of these would take hours, or all memory or stack.
#[test]
fn hostile_files_are_refused_quickly() {
    let mut aliases = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let again = vec![format!("*a{}", level - 1); 10].join(",");
        aliases += &format!("a{level}: &a{level} [{again}]\n");
    }
    let steps: String = (0..1000)
        .map(|level| format!("{}-\n", " ".repeat(level)))
        .collect();
    let names: String = (0..100_000).map(|index| format!("k{index}: 1\n")).collect();
    let rows: String = (0..1500)
        .map(|index| format!("    - name: endpoint_number_{index}\n      af_mode: AF_READ\n"))
        .collect();
    // Each alias nests one level deeper than the last.
    let chain: String = (1..10_000)
        .map(|level| format!("a{level}: &a{level} [*a{}]\n", level - 1))
        .collect();
    let anchors: String = (0..100_000).map(|level| format!("&a{level} [")).collect();
    let large_text = format!(
        "a: &a '{}'\nb: [{}]",
        "x".repeat(600_000),
        "*a,".repeat(140_000)
    );
    let large_rows = format!(
        "a: &a {}\nserver:\n  endpoints:\n{}",
        "x".repeat(600_000),
        (0..1200)
            .map(|row| format!(
                "  - {{name: e{row}, af_mode: AF_READ, host: *a, port: 1, address: a, user: *a}}\n"
            ))
            .collect::<String>()
    );
    let large_keys = format!(
        "a: &a {}\nb: [{}]",
        "x".repeat(600_000),
        "{*a : 1},".repeat(40_000)
    );
    let large_map: String = (0..5000).map(|index| format!("k{index}: 1, ")).collect();
    let rows_by_alias = format!(
        "a: &a {{{large_map}}}\ncommon_defs:\n  endpoints: [{}]",
        "*a,".repeat(300_000)
    );
    let merges = format!(
        "a: &a {{{large_map}}}\nserver: {{{}}}",
        "<<: *a, ".repeat(100_000)
    );
    let files = [
        aliases,
        format!("a0: &a0 [x]\n{chain}"),
        anchors,
        large_text,
        large_rows,
        large_keys,
        rows_by_alias,
        merges,
        "a: &a [*a]".to_owned(),
        "a: &a {<<: *a}".to_owned(),
        "- ".repeat(500_000),
        "? ".repeat(500_000),
        "%TAG !a! tag:\n".repeat(70_000),
        "&a ".repeat(300_000),
        "!!str ".repeat(150_000),
        "# x\n".repeat(250_000),
        format!("a: |\n{}", "  x\n".repeat(250_000)),
        format!("a: \"{}\"", "\\n\n ".repeat(200_000)),
        format!("a: '{}", "\n".repeat(1_000_000)),
        format!("a: {}", "x: ".repeat(300_000)),
        "---\n".repeat(250_000),
        "{[".repeat(400_000),
        "[a: b, ".repeat(140_000),
        format!("a: {}", "[".repeat(500_000)),
        format!("a: {}", "{a: ".repeat(200_000)),
        steps,
        names,
        format!("common_defs:\n  endpoints:\n{rows}\nserver:\n  endpoints:\n{rows}"),
        format!(
            "common_defs:\n  endpoints:\n    - name: {0}\n      type: {0}\n",
            "x".repeat(400_000)
        ),
        format!(
            "common_defs:\n  endpoints:\n    - name: x\n      address: 'x;{{{}'\n",
            "a:".repeat(400_000)
        ),
    ];
    for file in files {
        let begun = Instant::now();
        let report = server(&file).unwrap_err();
        let start: String = file.chars().take(30).collect();
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{start}: {:?}",
            begun.elapsed()
        );
        assert!(report.problems().len() <= 101, "{start}");
        assert!(
            report
                .problems()
                .iter()
                .all(|problem| problem.message.len() < 1000),
            "{report}"
        );
    }
}

#[test]
fn addresses_are_parsed_as_leniently_as_by_qpid() {
    let address = |name: &str, subject: Option<&str>, node, create, durable| Address {
        name: name.to_owned(),
        subject: subject.map(str::to_owned),
        node,
        create,
        durable,
    };
    use NodeType::{Queue, Topic};
    for (text, wanted) in [
        ("mq", address("mq", None, Queue, false, false)),
        (" mq ; ", address("mq", None, Queue, false, false)),
        (
            "amq.topic/news.#;{}",
            address("amq.topic", Some("news.#"), Queue, false, false),
        ),
        ("mq/a/b", address("mq", Some("a/b"), Queue, false, false)),
        ("mq/", address("mq", None, Queue, false, false)),
        (
            "'my queue; 1'/\"a b\"",
            address("my queue; 1", Some("a b"), Queue, false, false),
        ),
        (
            "队列;{create:always}",
            address("队列", None, Queue, true, false),
        ),
        (
            "mq ; { 'create' : \"always\" , node : { durable : True , type : Topic } , } ",
            address("mq", None, Topic, true, true),
        ),
        (
            "mq;{create:never,delete:always,link:{x-bindings:[{key:'a,]',n:-1.5},[]]},node:{durable:False}}",
            address("mq", None, Queue, false, false),
        ),
        (
            "mq;{create:receiver}",
            address("mq", None, Queue, true, false),
        ),
    ] {
        assert_eq!(text.parse(), Ok(wanted), "{text}");
    }
}

#[test]
fn a_malformed_address_is_refused_with_column_and_reason() {
    for (text, column, reason) in [
        ("", 1, "the name is missing"),
        (" /sub", 2, "the name is missing"),
        ("my queue", 3, "put a name with spaces in quotes"),
        ("'mq", 1, "the quote is not closed"),
        ("mq;create:always", 4, "expected `{`, found `c`"),
        ("mq;{create}", 11, "expected `:`, found `}`"),
        ("mq;{create:}", 12, "expected a value, found `}`"),
        (
            "mq;{create:on}",
            12,
            "`on` is not one of always, sender, receiver and never",
        ),
        (
            "队列;{create:on}",
            12,
            "`on` is not one of always, sender, receiver and never",
        ),
        (
            "mq;{create:always",
            18,
            "expected `,` or `}`, found the end",
        ),
        ("mq;{create:{}}", 12, "`create` takes one word"),
        (
            "mq;{create:always,create:never}",
            19,
            "`create` is given twice",
        ),
        ("mq;{node:queue}", 10, "`node` takes options in braces"),
        (
            "mq;{node:{type:stream}}",
            16,
            "`stream` is not one of queue and topic",
        ),
        (
            "mq;{node:{durable:maybe}}",
            19,
            "`maybe` is not one of true and false",
        ),
        ("mq;{}}", 6, "expected the end, found `}`"),
    ] {
        let error = text.parse::<Address>().expect_err(text);
        assert_eq!(error.column(), column, "{error}");
        let report = error.to_string();
        assert!(
            report.contains(&format!("column {column}: {reason}")),
            "{report}"
        );
        assert!(
            report.contains("write it like name;{create:always"),
            "{report}"
        );
    }
    let long = format!("{};{{}}", "x".repeat(256));
    let report = long.parse::<Address>().unwrap_err().to_string();
    assert!(
        report.contains("the name has 256 bytes; 255 are allowed"),
        "{report}"
    );
    let deep = format!("mq;{{x:{}", "[".repeat(4000));
    let report = deep.parse::<Address>().unwrap_err().to_string();
    assert!(
        report.contains("options nest deeper than 16 levels"),
        "{report}"
    );
}

/// Text that resembles a `config.yml` more often than random characters do.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("common_defs:\n  endpoints:\n".to_owned()),
        Just("server:\n  endpoints:\n".to_owned()),
        Just("  endpoint_pairs:\n".to_owned()),
        Just("    - name: mq\n".to_owned()),
        Just("    - call: mq\n      return: mq2\n".to_owned()),
        Just("      af_mode: AF_READ|AF_WRITE\n".to_owned()),
        Just("      host: h\n      port: 1\n".to_owned()),
        Just("      address: mq;{create:always}\n".to_owned()),
        Just("      <<: *a\n".to_owned()),
        Just("    - &a\n".to_owned()),
        "[ -]{0,4}[a-z\\[\\]{}:&*'\"|>!%@\t]{0,8}\n?",
        "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn arbitrary_text_causes_no_panic(text in "(?s).{0,80}") {
        let _ = server(&text);
        let _ = text.parse::<Address>();
    }

    #[test]
    fn arbitrary_yaml_causes_no_panic_and_each_error_is_one_line(text in yaml_like()) {
        if let Err(errors) = server(&text) {
            prop_assert!(!errors.problems().is_empty());
            prop_assert_eq!(errors.to_string().lines().count(), errors.problems().len());
        }
    }

    #[test]
    fn arbitrary_address_options_cause_no_panic(text in "mq(/[a-z'\" ]{0,4})?;[a-z{}:,\\[\\]'\" ]{0,40}") {
        if let Err(error) = text.parse::<Address>() {
            prop_assert!(error.column() >= 1 && error.column() <= text.chars().count() + 1);
        }
    }

    #[test]
    fn a_displayed_address_parses_to_the_same_address(
        name in "\\PC{1,40}",
        subject in prop::option::of("\\PC{1,40}"),
        topic: bool,
        create: bool,
        durable: bool,
    ) {
        let node = if topic { NodeType::Topic } else { NodeType::Queue };
        let address = Address { name, subject, node, create, durable };
        prop_assert_eq!(address.to_string().parse(), Ok(address));
    }
}
