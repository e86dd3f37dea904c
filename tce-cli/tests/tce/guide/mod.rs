//! Runs the transcripts of the user guide, `docs/`, and compares their output. `BLESS=1` writes the
//! new output.

mod page;
mod shell;
mod snippets;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use super::{folder, servers, tce};
use page::GuidePage;
use shell::Shell;

/// The root of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Files in the folder at the start of each page, with their paths in the repository.
const FILES: &[(&str, &str)] = &[
    ("test.idl", "tests/idl/test.idl"),
    ("zoo.idl", "tests/idl/zoo.idl"),
    ("services.xml", "examples/cluster/services.xml"),
];

/// The paths of all pages, sorted.
fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "md"))
        .collect();
    pages.sort();
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transcript_is_up_to_date() {
    // The pages name the ports 12002 and 12003, and those of workflow servers; the test uses free
    // ports.
    let (_simple, simple) = servers::simple().await;
    let (_zoo, zoo) = servers::zoo().await;
    let port = |endpoint: &str| endpoint.rsplit(':').next().unwrap().to_owned();
    let ports = [
        // First: a free port may contain `3141`.
        ("3141".to_owned(), free_port()),
        ("33083".to_owned(), free_port()),
        ("12002".to_owned(), port(&simple)),
        ("12003".to_owned(), port(&zoo)),
    ];
    let mut wrong = Vec::new();
    for path in pages() {
        let files = FILES.iter().map(|(name, from)| {
            let text = fs::read_to_string(Path::new(ROOT).join(from)).unwrap();
            (*name, text)
        });
        let files: Vec<_> = files.collect();
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let folder = folder(&files);
        let shell = Shell::new(folder.path(), &ports);
        let written = fs::read_to_string(&path).unwrap();
        let run = GuidePage::new(&written).run(&shell);
        if run == written {
            continue;
        }
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, run).unwrap();
        } else {
            wrong.push(difference(&path, &written, &run));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nBLESS=1 writes the new output",
        wrong.join("\n")
    );
}

/// A port that no program listens on.
fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// Describes the first line that differs.
fn difference(path: &Path, written: &str, run: &str) -> String {
    let lines = written.lines().zip(run.lines()).enumerate();
    let mut different = lines.filter(|(_, (written, run))| written != run);
    let (number, (written, run)) = different.next().unwrap_or((0, ("one", "another length")));
    let name = path.file_name().unwrap().to_string_lossy();
    format!("docs/{name}:{}: `{written}` is now `{run}`", number + 1)
}

#[test]
fn every_command_has_a_transcript() {
    let help = tce(&["--help"]).exits(0).out;
    let commands = help
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let page = fs::read_to_string(Path::new(ROOT).join("docs/command-line.md")).unwrap();
    for line in commands.lines() {
        let name = line.split_whitespace().next().unwrap();
        assert!(
            page.contains(&format!("$ tce {name}")),
            "docs/command-line.md has no `tce {name}`"
        );
    }
}

#[test]
fn every_link_has_a_target() {
    for path in snippets::all_pages() {
        let text = fs::read_to_string(&path).unwrap();
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", path.display());
            if !anchor.is_empty() && target.extension().is_some_and(|it| it == "md") {
                let target = fs::read_to_string(&target).unwrap();
                let has_anchor = headings(&target).any(|heading| heading == anchor);
                assert!(has_anchor, "{}: {link}", path.display());
            }
        }
    }
}

/// The anchors of a page's headings, as GitHub makes them.
fn headings(page: &str) -> impl Iterator<Item = String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
        text.chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    })
}
