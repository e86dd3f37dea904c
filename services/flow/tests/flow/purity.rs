//! The machine is pure: it uses no clock, no randomness, no I/O and no runtime for tasks.

use std::fs;
use std::path::Path;

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push((
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            ));
        }
    }
}

#[test]
fn the_core_has_neither_clock_nor_randomness_nor_io() {
    let mut found = Vec::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for module in ["expression", "attribute", "tree", "def", "machine"] {
        sources(&source.join(module), &mut found);
    }
    for module in ["calendar.rs", "state.rs"] {
        let text = fs::read_to_string(source.join(module)).unwrap();
        found.push((module.to_owned(), text));
    }
    assert!(found.len() > 30);
    let forbidden = [
        "tokio",
        "std::time",
        "SystemTime",
        "Instant",
        "rand::",
        "fastrand",
        "uuid",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "HashMap",
        "HashSet",
    ];
    for (path, text) in found {
        for word in forbidden {
            assert!(!text.contains(word), "{path} uses {word}");
        }
    }
}
