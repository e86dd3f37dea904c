//! `tce doc`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use super::{BAD, folder, tce_in};

const CHROMIUM: &str = "/usr/bin/chromium";

/// Two modules, an inherited operation, every kind of type, and a comment
/// with a script.
const SHOP: &str = r#"
/// Goods for sale.
module goods {
    sequence<byte> Picture;
    struct Item {
        /// What it costs, in cents.
        long price;
        Picture picture;
    };
};

module shop {
    dictionary<string, goods::Item> Shelf;

    interface Base { string datetime(); };

    /// Takes orders. <script>alert("!")</script> [x](javascript:alert(1))
    [index=7]
    interface Desk extends Base {
        /// Places an order, and gives its *number*.
        long place(goods::Item item);
        [comment="takes it back"]
        void cancel(long number);
        Shelf shelf();
    };
};
"#;

/// The texts of the pages and of everything beside them.
fn site(folder: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read_to_string(entry.path()).unwrap())
    });
    files.collect()
}

fn shop() -> (tempfile::TempDir, BTreeMap<String, String>) {
    let folder = folder(&[("shop.idl", SHOP)]);
    let ran = tce_in(folder.path(), &["doc", "shop.idl", "-o", "site"]).exits(0);
    assert_eq!(
        ran.out,
        "wrote 7 files; open site/index.html in a browser\n"
    );
    let pages = site(&folder.path().join("site"));
    (folder, pages)
}

/// The values of an attribute.
fn values<'p>(page: &'p str, attribute: &str) -> Vec<&'p str> {
    let start = format!(" {attribute}=\"");
    let parts = page.split(&start).skip(1);
    parts.map(|part| part.split('"').next().unwrap()).collect()
}

/// The text of a page, as one line of words.
fn words(page: &str) -> String {
    let texts = page
        .split('<')
        .map(|part| part.split_once('>').map_or("", |it| it.1));
    let text: Vec<&str> = texts.collect();
    text.join(" ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn every_link_has_a_target() {
    let (_folder, pages) = shop();
    let seen = links_lead_to_targets(&pages);
    // From a signature and a member to the types of another module.
    assert!(seen.contains("module.goods.html#Item"));
    assert!(seen.contains("module.shop.html#Desk.place"));
}

/// Asserts that every link and every entry of the search has a target, and returns the targets.
fn links_lead_to_targets(pages: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    for (name, page) in pages {
        targets.insert(name.clone());
        targets.extend(values(page, "id").iter().map(|id| format!("{name}#{id}")));
    }
    let mut seen = BTreeSet::new();
    for (name, page) in pages.iter().filter(|(name, _)| name.ends_with(".html")) {
        for href in values(page, "href").into_iter().chain(values(page, "src")) {
            let target = match href.strip_prefix('#') {
                Some(id) => format!("{name}#{id}"),
                None => href.to_owned(),
            };
            assert!(targets.contains(&target), "{name} has a link to {href}");
            seen.insert(target);
        }
    }
    let entries = pages["entries.js"]
        .lines()
        .filter(|line| line.starts_with('['));
    for entry in entries {
        let entry: Vec<String> = serde_json::from_str(entry.trim_end_matches(',')).unwrap();
        assert!(targets.contains(&entry[2]), "the search leads to {entry:?}");
    }
    seen
}

#[test]
fn the_wire_index_has_every_operation_in_order() {
    let (_folder, pages) = shop();
    let text = words(&pages["wire.html"]);
    let rows = "0 0 string datetime () shop.Base twoway, async \
                7 0 long place ( goods::Item item) shop.Desk twoway, async \
                7 1 void cancel ( long number) shop.Desk twoway, async, oneway \
                7 2 Shelf shelf () shop.Desk twoway, async";
    assert!(text.ends_with(rows), "{text}");
}

#[test]
fn scripts_in_comments_are_shown_as_text() {
    let (_folder, pages) = shop();
    let page = &pages["module.shop.html"];
    assert!(page.contains("gives its <em>number</em>"), "{page}");
    assert!(page.contains("takes it back"), "{page}");
    assert!(
        page.contains("&lt;script&gt;alert(\"!\")&lt;/script&gt;"),
        "{page}"
    );
    assert!(!page.contains("javascript:"), "{page}");
    assert_eq!(page.matches("<script").count(), 2, "{page}");
}

#[test]
fn the_same_idl_gives_the_same_bytes_and_old_pages_are_deleted() {
    let (folder, pages) = shop();
    let args = ["doc", "shop.idl", "-o", "site"];
    tce_in(folder.path(), &args).exits(0);
    let site_folder = folder.path().join("site");
    assert_eq!(site(&site_folder), pages);

    fs::write(folder.path().join("shop.idl"), "module shop {};").unwrap();
    tce_in(folder.path(), &args).exits(0);
    let names: Vec<_> = site(&site_folder).into_keys().collect();
    let left = [
        "entries.js",
        "index.html",
        "module.shop.html",
        "search.js",
        "style.css",
        "wire.html",
    ];
    assert_eq!(names, left);
}

#[test]
fn pages_of_other_files_are_not_replaced() {
    let folder = folder(&[
        ("a.idl", "module a { interface A { void a(); }; }"),
        ("idl/b.idl", "module b { interface B { void b(); }; }"),
        ("idl/common.idl", "module c { struct Id { int n; }; }"),
    ]);
    let doc = |files: &[&str]| tce_in(folder.path(), &[&["doc", "-o", "out/site"], files].concat());
    doc(&["a.idl"]).exits(0);
    let before = site(&folder.path().join("out/site"));
    let refused = doc(&["idl"])
        .exits(2)
        .complains("`out/site` documents a.idl, too");
    assert!(refused.err.contains("name all files"), "{}", refused.err);
    assert_eq!(site(&folder.path().join("out/site")), before);
    // The same files, more files, an absolute path, and a file that no longer exists.
    doc(&["./idl/../a.idl"]).exits(0);
    let absolute = folder.path().join("a.idl");
    doc(&["idl", absolute.to_str().unwrap()]).exits(0);
    doc(&["idl/b.idl", "a.idl"])
        .exits(2)
        .complains("common.idl");
    fs::remove_file(folder.path().join("a.idl")).unwrap();
    doc(&["idl"]).exits(0);
    assert!(!folder.path().join("out/site/module.a.html").exists());
}

/// Names of the page's own elements, files and scripts, and names that differ only in case.
const PAGE_NAMES: &str = "
module m {
    struct page { int number; };
    sequence<page> results;
    interface search { results find(string words, page from); };
    struct ENTRIES { int q; page document; };
    dictionary<string, ENTRIES> SOURCES;
    interface Page { SOURCES search(ENTRIES entries); void results(); };
    struct location { int hash; };
}
module index { struct page { int wire; }; interface style { page css(page main); }; }
module wire { interface index { index::page html(); }; }
module M { interface m { m::page get(); }; }
";

#[test]
fn names_of_the_page_itself_can_be_declared() {
    let folder = folder(&[("m.idl", PAGE_NAMES)]);
    tce_in(folder.path(), &["doc", "m.idl", "-o", "site"]).exits(0);
    let pages = site(&folder.path().join("site"));
    links_lead_to_targets(&pages);
    let mut names: Vec<String> = pages.keys().map(|name| name.to_lowercase()).collect();
    names.dedup();
    assert_eq!(names.len(), pages.len(), "{names:?}");
    for (name, page) in &pages {
        let ids = values(page, "id");
        let unique: BTreeSet<&&str> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{name}: {ids:?}");
    }
    // Every link leads to the declaration: the id belongs to its section.
    let page = &pages["module.m.html"];
    for declared in ["struct page", "sequence&lt;", "interface search"] {
        assert!(page.contains(declared), "{page}");
    }
    for id in ["page", "results", "search", "ENTRIES", "Page", "location"] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    let shown = opened(&folder.path().join("site"), "module.m.html?q=find");
    let shown = words(&shown);
    assert!(
        shown.contains("“find”: 1 result operation m.search.find 0.0"),
        "{shown}"
    );
}

#[test]
fn foreign_files_are_not_overwritten() {
    let folder = folder(&[("shop.idl", SHOP), ("site/style.css", "body {}")]);
    tce_in(folder.path(), &["doc", "shop.idl", "-o", "site"])
        .exits(2)
        .complains("error: `site/style.css` was not written by tce doc: choose another folder");
    assert_eq!(site(&folder.path().join("site")).len(), 1);
}

#[test]
fn errors_are_shown_and_nothing_is_written() {
    let folder = folder(&[("bad.idl", BAD)]);
    tce_in(folder.path(), &["doc", "bad.idl", "-o", "site"])
        .exits(1)
        .complains("1 error in 1 file");
    assert!(!folder.path().join("site").exists());
    tce_in(folder.path(), &["doc", "bad.idl"])
        .exits(2)
        .complains("--out");
    tce_in(folder.path(), &["doc", "bad.idl", "-o", "bad.idl/site"]).exits(1);
}

/// The DOM of a page that a browser opens from the folder.
fn opened(site: &Path, page: &str) -> String {
    assert!(
        Path::new(CHROMIUM).exists(),
        "{CHROMIUM} is missing; on Debian: apt-get install --yes chromium"
    );
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(CHROMIUM)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}/{page}", site.display()))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_search_works_without_a_web_server() {
    let (folder, _pages) = shop();
    let site = folder.path().join("site");
    let by_name = words(&opened(&site, "index.html?q=place"));
    let found =
        "“place”: 1 result operation shop.Desk.place 7.0 Places an order, and gives its number.";
    assert!(by_name.contains(found), "{by_name}");
    let by_index = words(&opened(&site, "wire.html?q=7.1"));
    assert!(
        by_index.contains("“7.1”: 1 result operation shop.Desk.cancel 7.1"),
        "{by_index}"
    );
    let nothing = words(&opened(&site, "index.html?q=%3Cb%3E"));
    assert!(nothing.contains("“&lt;b&gt;”: 0 results"), "{nothing}");
}
