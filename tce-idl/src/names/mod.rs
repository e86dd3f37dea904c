//! The names of a compilation for those who read and change texts: what each
//! is the name of, where it is declared and where it is used. They are there
//! when the text has errors, too: editors ask while somebody types.

mod collect;
mod kind;

use std::path::{Path, PathBuf};

pub use kind::Kind;

use crate::model::IndexPlace;
use crate::source::{FileId, Span};
use crate::syntax;
pub(crate) use collect::collect;

/// A symbol, by its position in [`Names::symbols`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolId(u32);

/// Something that has a name.
#[derive(Debug, Clone)]
pub struct Symbol {
    /// What it is.
    pub kind: Kind,
    /// Its name, as the IDL spells it.
    pub name: String,
    /// Where it is declared: once, but for a module that is opened several times.
    pub places: Vec<Place>,
    /// What it is declared in; nothing for a module.
    pub parent: Option<SymbolId>,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The index of an interface or operation on the wire, and where that comes from.
    pub index: Option<(u16, IndexPlace)>,
}

/// Where something is declared.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its name.
    pub name: Span,
    /// The declaration, without documentation and annotations before it.
    pub whole: Span,
}

/// The names of a compilation.
#[derive(Debug, Clone, Default)]
pub struct Names {
    symbols: Vec<Symbol>,
    /// Every place where a name stands, in the order of the text.
    mentions: Vec<(Span, SymbolId)>,
    /// The names in `import NAME` and their files, in the order of the text.
    imports: Vec<(Span, PathBuf)>,
}

impl Names {
    /// Everything that has a name. What is inside of something comes after it, in declared order.
    pub fn symbols(&self) -> impl Iterator<Item = (SymbolId, &Symbol)> {
        (0..).map(SymbolId).zip(&self.symbols)
    }

    /// The symbol behind an id.
    #[must_use]
    pub fn get(&self, id: SymbolId) -> &Symbol {
        &self.symbols[id.0 as usize]
    }

    /// The name at a byte of a file, or right before it, and what it stands for.
    #[must_use]
    pub fn at(&self, file: FileId, offset: u32) -> Option<(Span, SymbolId)> {
        touched(&self.mentions, file, offset).copied()
    }

    /// The name in an `import` at a byte of a file, or right before it, and the file that it stands for.
    #[must_use]
    pub fn import_at(&self, file: FileId, offset: u32) -> Option<(Span, &Path)> {
        touched(&self.imports, file, offset).map(|(span, path)| (*span, path.as_path()))
    }

    /// Every place where the name of a symbol stands, its declarations too.
    pub fn mentions(&self, id: SymbolId) -> impl Iterator<Item = Span> + '_ {
        let of_it = self.mentions.iter().filter(move |(_, other)| *other == id);
        of_it.map(|(span, _)| *span)
    }

    /// The names of a file, in the order of its text.
    pub fn in_file(&self, file: FileId) -> impl Iterator<Item = (Span, SymbolId)> + '_ {
        let start = self.mentions.partition_point(|(span, _)| span.file < file);
        let rest = self.mentions[start..].iter().copied();
        rest.take_while(move |(span, _)| span.file == file)
    }

    /// The name with everything that it is in: `module.Interface.operation`.
    #[must_use]
    pub fn full_name(&self, id: SymbolId) -> String {
        let symbol = self.get(id);
        match symbol.parent {
            Some(parent) => format!("{}.{}", self.full_name(parent), symbol.name),
            None => symbol.name.clone(),
        }
    }

    fn add(&mut self, symbol: Symbol) -> SymbolId {
        // Symbols are fewer than bytes, and those fit.
        let id = SymbolId(u32::try_from(self.symbols.len()).unwrap_or(u32::MAX));
        let mentions = symbol.places.iter().map(|place| (place.name, id));
        self.mentions.extend(mentions);
        self.symbols.push(symbol);
        id
    }
}

/// Whether a text can be the name of a declaration: letters, digits and `_`,
/// no digit first, and no word of the language.
///
/// ```
/// assert!(tce_idl::names::is_name("onMessage"));
/// assert!(!tce_idl::names::is_name("struct"));
/// ```
#[must_use]
pub fn is_name(text: &str) -> bool {
    syntax::is_name(text)
}

/// The entry whose span holds the byte at `offset`, or ends there. Spans don't
/// overlap; of two that touch, the one that begins there counts.
fn touched<T>(sorted: &[(Span, T)], file: FileId, offset: u32) -> Option<&(Span, T)> {
    let next = sorted.partition_point(|(span, _)| (span.file, span.start) <= (file, offset));
    let entry = &sorted[next.checked_sub(1)?];
    (entry.0.file == file && offset <= entry.0.end).then_some(entry)
}
