//! The symbol table of files with errors.

#![expect(
    clippy::unwrap_used,
    reason = "a test that does not find its names fails"
)]

use std::path::Path;

use tce_idl::loader::Memory;
use tce_idl::source::{FileId, SourceFile, Utf16Position};
use tce_idl::symbols::{SymbolKind, SymbolTable};
use tce_idl::{Compilation, Options, inspect_with, lint::Settings};

const BASE: &str = "module base { interface Root { void ping(); }; struct Id { long value; }; }";

/// A file with unknown types, a malformed operation and a missing `;`.
const BROKEN: &str = "\
import base
module shop {
    /// What is ordered.
    struct Order { base::Id id; strng item; Order2 other }
    sequence<Order> Orders;
    [index=7] interface Shop extends base::Root {
        Orders list(Order like, int);
        void place(Order order);
    };
}
module shop { dictionary<string, Orders> Book; }
";

fn inspect() -> (Compilation, SymbolTable) {
    let loader = Memory::new()
        .with("base.idl", BASE)
        .with("shop.idl", BROKEN);
    inspect_with(&loader, &["shop.idl"], &Options::new(), &Settings::new())
}

/// The files of all occurrences of the name at `text`.
fn occurrences(compilation: &Compilation, names: &SymbolTable, text: &str) -> Vec<usize> {
    let offset = u32::try_from(BROKEN.find(text).unwrap()).unwrap();
    let (_, id) = names.at(FileId(0), offset).unwrap();
    let spans = names.occurrences(id);
    spans
        .map(|span| {
            let text = compilation.sources.get(span.file).text();
            let text_there = &text[span.start as usize..span.end as usize];
            assert_eq!(text_there, names.get(id).name);
            span.file.0 as usize
        })
        .collect()
}

#[test]
fn names_are_found_in_files_with_errors() {
    let (compilation, names) = inspect();
    assert!(compilation.model.is_none());
    // The declaration, the sequence, and the valid operation of the interface.
    assert_eq!(occurrences(&compilation, &names, "Order {"), [0, 0, 0]);
    assert_eq!(occurrences(&compilation, &names, "Orders;"), [0, 0]);
    assert_eq!(occurrences(&compilation, &names, "Root"), [0, 1]);
    assert_eq!(occurrences(&compilation, &names, "base::Id"), [0, 0, 1]);
    assert_eq!(occurrences(&compilation, &names, "shop"), [0, 0]);
}

#[test]
fn symbols_have_kinds_and_positions() {
    let (_, names) = inspect();
    let find = |name: &str| {
        let mut symbols = names.symbols();
        symbols.find(|(_, symbol)| symbol.name == name).unwrap()
    };
    let (id, place) = find("place");
    assert_eq!(place.kind, SymbolKind::Operation);
    assert_eq!(names.full_name(id), "shop.Shop.place");
    assert_eq!(find("Shop").1.index.unwrap().0, 7);
    let order = find("Order").1;
    assert_eq!(order.doc.as_deref(), Some("What is ordered."));
    let whole = order.declarations[0].whole;
    assert!(BROKEN[whole.start as usize..whole.end as usize].starts_with("struct Order {"));
    assert_eq!(find("shop").1.declarations.len(), 2);
}

#[test]
fn imports_lead_to_their_files() {
    let (_, names) = inspect();
    let (_, path) = names.import_at(FileId(0), 8).unwrap();
    assert_eq!(path, Path::new("base.idl"));
    assert_eq!(names.import_at(FileId(0), 20), None);
}

#[test]
fn a_name_is_found_from_its_first_byte_to_the_one_after_it() {
    let (_, names) = inspect();
    let start = u32::try_from(BROKEN.find("Order {").unwrap()).unwrap();
    let found = |at: u32| names.at(FileId(0), at).is_some();
    assert_eq!(
        [-1, 0, 5, 6].map(|by| found(start.checked_add_signed(by).unwrap())),
        [false, true, true, false]
    );
}

#[test]
fn editors_count_in_utf16() {
    let source = SourceFile::new("a.idl".into(), "// 𝄞é\r\nint a;".to_owned());
    let at = |line, column| Utf16Position { line, column };
    for (position, offset) in [
        (at(0, 3), 3),
        (at(0, 5), 7),
        (at(0, 6), 9),
        (at(1, 0), 11),
        (at(1, 6), 17),
    ] {
        assert_eq!(source.utf16_offset(position), offset);
        assert_eq!(source.utf16_position(offset), position);
    }
    // Inside a character, past a line, past the text.
    for (position, offset) in [(at(0, 4), 3), (at(0, 99), 9), (at(9, 0), 17)] {
        assert_eq!(source.utf16_offset(position), offset);
    }
}
