//! The blocks of the guide that are no transcripts: each is tested here, by the tests of its
//! language, or says why it is not.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use roxmltree::Node;
use tce_gateway::config::Services;
use tce_runtime::config::MqConfig;
use toml::de::DeTable;

#[path = "../../../../tests/guide/blocks.rs"]
mod blocks;

use super::ROOT;
use crate::{folder, tce, tce_in};
use blocks::{Block, blocks};

/// The blocks that say why they are not tested. One more is a decision.
const UNTESTED: usize = 10;

/// Every page of the repository that users read.
pub(super) fn all_pages() -> Vec<PathBuf> {
    let mut pages = vec![Path::new(ROOT).join("README.md")];
    let mut folders = vec![Path::new(ROOT).join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The blocks of a language on all pages, with where they are. A block with a file name is
/// part of a transcript.
fn blocks_of(language: &str) -> Vec<(String, Block)> {
    let mut found = Vec::new();
    for path in all_pages() {
        let page = fs::read_to_string(&path).unwrap();
        for block in blocks(&page) {
            if block.info == language && block.untested.is_none() {
                found.push((format!("{}:{}", path.display(), block.line), block));
            }
        }
    }
    assert!(!found.is_empty(), "no block of {language}");
    found
}

#[test]
fn every_block_is_tested_or_says_why_it_is_not() {
    let mut untested = 0;
    for path in all_pages() {
        let page = fs::read_to_string(&path).unwrap();
        for block in blocks(&page) {
            let place = format!("{}:{}", path.display(), block.line);
            if let Some(reason) = &block.untested {
                assert!(reason.len() > 10, "{place}: {reason}");
                untested += 1;
                continue;
            }
            let (language, file) = block.info.split_once(' ').unwrap_or((&block.info, ""));
            match language {
                // Output, and pictures of characters.
                "" | "text" => {}
                _ if !file.is_empty() => {
                    let is_used = page.matches(file).count() > 1;
                    let is_read = language == "toml";
                    assert!(is_used || is_read, "{place}: no command uses `{file}`");
                }
                // The transcripts, the tests of `tce-tests` and of both runtimes, and
                // the tests below.
                "console" | "rust" | "python" | "ts" | "xml" | "yaml" | "toml" | "sh" => {}
                _ => panic!("{place}: no test reads a block of `{language}`"),
            }
        }
    }
    assert_eq!(untested, UNTESTED);
}

#[test]
fn the_gateway_reads_every_part_of_a_services_xml() {
    for (place, block) in blocks_of("xml") {
        let text = services(&block.text);
        let loaded = Services::parse(&text, &place, &[])
            .unwrap_or_else(|error| panic!("{error}\nin:\n{text}"));
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.is_empty(), "{warnings:#?}\nin:\n{text}");
    }
}

/// A whole file from elements of one: each goes where it belongs.
fn services(elements: &str) -> String {
    if elements.starts_with("<SNS>") {
        return elements.to_owned();
    }
    let elements = format!("<x>{}</x>", elements.replace('…', ""));
    let parsed = roxmltree::Document::parse(&elements).unwrap();
    let children = || parsed.root_element().children().filter(Node::is_element);
    let all = |tag: &str| {
        let found = children().filter(|it| it.has_tag_name(tag));
        found.map(|it| &elements[it.range()]).collect::<String>()
    };
    let mut listening = String::from("socket_gateway");
    let mut queues = String::new();
    for endpoint in children().filter(|it| it.has_tag_name("ep")) {
        if endpoint.attribute("type") != Some("qpid") {
            write!(listening, ",{}", endpoint.attribute("name").unwrap()).unwrap();
        }
    }
    for name in ["mq_server", "mq_gateway"] {
        if !children().any(|it| it.attribute("name") == Some(name)) {
            let address = format!("{name};{{create:always}}");
            write!(
                queues,
                r#"<ep name="{name}" type="qpid" host="localhost" port="5672" address="{address}"/>"#
            )
            .unwrap();
        }
    }
    let mut servers: Vec<_> = children().filter(|it| it.has_tag_name("server")).collect();
    let servers: String = match servers.is_empty() {
        true => server("gwserver", &listening, &all("route"), &all("property")),
        false => servers
            .drain(..)
            .map(|it| {
                let properties = it.children().filter(Node::is_element);
                let properties: String = properties.map(|it| &elements[it.range()]).collect();
                server(it.attribute("name").unwrap(), &listening, "", &properties)
            })
            .collect(),
    };
    format!(
        r#"<SNS><InterfaceDef>
        <if id="2" name="test.Server"/><if id="3" name="admin.Panel"/><if id="4" name="admin.Server"/>
        </InterfaceDef><EndPoints>
        <ep name="socket_gateway" type="socket" host="" port="12009"/>{queues}{}
        </EndPoints><servers>{servers}</servers></SNS>"#,
        all("ep"),
    )
}

/// A server whose calls go to a queue.
fn server(name: &str, listening: &str, routes: &str, properties: &str) -> String {
    let gateway_queue = properties
        .split_once("mq_server#")
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or("mq_gateway");
    // What the pages have said before; a page may say it again.
    let presupposed = [
        ("loopback", "mq_server#mq_gateway"),
        ("userid_check", "true"),
        ("auth", "jwt"),
        ("auth_jwt_algorithm", "HS256"),
        ("auth_jwt_roles", "roles"),
        ("auth_jwt_secret", "a secret of at least thirty-two bytes"),
    ];
    let has_keys = properties.contains("auth_jwt_jwks");
    let presupposed: String = presupposed
        .iter()
        .filter(|(name, _)| !properties.contains(&format!("name=\"{name}\"")))
        .filter(|(name, _)| !(has_keys && *name == "auth_jwt_secret"))
        .map(|(name, value)| format!(r#"<property name="{name}" value="{value}"/>"#))
        .collect();
    format!(
        r#"<server name="{name}"><route if="test.Server">
        <call in="socket_gateway" out="mq_server"/>
        <return in="{gateway_queue}" out="socket_gateway"/>
        </route>{routes}<properties>
        <property name="listen" value="{listening}"/>{presupposed}{properties}
        </properties></server>"#
    )
}

#[test]
fn every_configuration_of_queues_is_read_for_each_process() {
    for (place, block) in blocks_of("yaml") {
        let has = |process: &&str| block.text.contains(&format!("\n{process}:\n"));
        let processes: Vec<_> = ["server", "client"].into_iter().filter(has).collect();
        assert!(!processes.is_empty(), "{place}: it has no process");
        for process in processes {
            MqConfig::parse(&block.text, &place, process).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn the_settings_of_the_guide_are_valid() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/command-line.md")).unwrap();
    let blocks = blocks(&page);
    let settings = blocks.iter().find(|it| it.info == "toml example.toml");
    let idl = "module orders { [index=0] interface Orders { [index=0] void list(); }; };";
    let folder = folder(&[
        ("tce.toml", &settings.unwrap().text),
        ("orders.idl", idl),
        ("ifx-index-list.txt", ""),
    ]);
    tce_in(folder.path(), &["check", "orders.idl"]).exits(0);
}

#[test]
fn every_manifest_names_crates_of_this_repository() {
    for (place, block) in blocks_of("toml") {
        let manifest = DeTable::parse(&block.text).unwrap();
        for section in ["dependencies", "build-dependencies"] {
            let dependencies = manifest.get_ref()[section].get_ref().as_table().unwrap();
            for (name, of) in dependencies {
                let path = of
                    .get_ref()
                    .get("path")
                    .and_then(|it| it.get_ref().as_str());
                let Some(path) = path.and_then(|it| it.strip_prefix("../tce/")) else {
                    continue;
                };
                let is_there = Path::new(ROOT).join(path).exists();
                assert!(is_there, "{place}: {}", name.get_ref());
            }
        }
    }
}

#[test]
fn every_command_has_the_flags_that_it_is_given() {
    let mut helps = BTreeMap::new();
    for path in all_pages() {
        let page = fs::read_to_string(&path).unwrap();
        let shell = blocks(&page).into_iter().filter(|it| it.info == "sh");
        let shell: String = shell.map(|block| block.text).collect();
        let lines = shell.lines().map(|line| line.split('#').next().unwrap());
        // Between backticks, every second part is code.
        let inline = page.lines().filter(|line| !line.starts_with("```"));
        let inline = inline.flat_map(|line| line.split('`').skip(1).step_by(2));
        for command in lines.chain(inline) {
            check_flags(&mut helps, command, &path);
        }
    }
    assert!(helps.len() > 10, "few commands: {:?}", helps.keys());
}

/// Checks each flag of `tce …` against the help of its command.
fn check_flags(helps: &mut BTreeMap<String, String>, command: &str, page: &Path) {
    let mut words = command
        .split_whitespace()
        .skip_while(|word| word.starts_with("TCE_") || word.starts_with("OTEL_"));
    if words.next() != Some("tce") {
        return;
    }
    let words: Vec<&str> = words.collect();
    let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
    let mut names: Vec<&str> = words.iter().copied().take_while(is_name).take(2).collect();
    // The second word may be an argument.
    let subcommands = [
        "frame call",
        "frame cron",
        "frame install",
        "frame list",
        "frame restart",
        "frame rollback",
        "frame run",
        "frame sign",
        "frame status",
        "frame update",
        "gateway ctl",
        "gateway init",
        "gateway token",
        "task abort",
        "task dead",
        "task list",
        "task send",
        "task serve",
        "task stats",
    ];
    if !subcommands.contains(&names.join(" ").as_str()) {
        names.truncate(1);
    }
    if names == ["help"] {
        return;
    }
    if names == ["gateway"] && words.len() > 1 && !words[1].starts_with(['-', '…', 'F']) {
        let is_file = words[1].ends_with(".xml");
        assert!(is_file, "{}: `{command}` has no file", page.display());
    }
    let help = helps.entry(names.join(" ")).or_insert_with(|| {
        let arguments: Vec<&str> = names.iter().copied().chain(["--help"]).collect();
        tce(&arguments).exits(0).out
    });
    for flag in words.iter().filter(|word| word.starts_with("--")) {
        let flag = flag.split(['=', '[', ',', ']']).next().unwrap();
        let is_known = flag == "--" || help.contains(flag);
        assert!(is_known, "{}: `{command}`: no flag {flag}", page.display());
    }
}
