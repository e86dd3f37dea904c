//! The names of a compilation for those who read and change texts: what each
//! is the name of, where it is declared and where it is used. They are there
//! when the text has errors, too: editors ask while somebody types.

use std::path::{Path, PathBuf};

use crate::model::{Element, IndexPlace, ModuleId, Operation};
use crate::resolve::imports::Loaded;
use crate::resolve::{Program, Target};
use crate::source::{FileId, Span};
use crate::syntax::{self, ast};

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

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `module NAME { … }`
    Module,
    /// `struct NAME { … };`
    Struct,
    /// `sequence<…> NAME;`
    Sequence,
    /// `dictionary<…> NAME;`
    Dictionary,
    /// `interface NAME { … };`
    Interface,
    /// A member of a struct.
    Member,
    /// An operation of an interface.
    Operation,
    /// A parameter of an operation.
    Parameter,
}

impl Kind {
    /// Its name in a sentence.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Struct => "struct",
            Self::Sequence => "sequence",
            Self::Dictionary => "dictionary",
            Self::Interface => "interface",
            Self::Member => "member",
            Self::Operation => "operation",
            Self::Parameter => "parameter",
        }
    }

    /// Whether it is a type of values.
    #[must_use]
    pub fn is_value(self) -> bool {
        matches!(self, Self::Struct | Self::Sequence | Self::Dictionary)
    }
}

/// Gathers the names of a program, be it right or wrong.
pub(crate) fn collect(program: &Program<'_>, loaded: &Loaded) -> Names {
    let mut collector = Collector {
        program,
        names: Names::default(),
        modules: Vec::new(),
        structs: Vec::new(),
        sequences: Vec::new(),
        dictionaries: Vec::new(),
        interfaces: Vec::new(),
    };
    collector.modules(loaded);
    collector.structs();
    collector.containers();
    collector.interfaces();
    let mut names = collector.with_uses();
    names.imports.clone_from(&loaded.imported);
    names.imports.sort_by_key(|(span, _)| *span);
    names
}

struct Collector<'a> {
    program: &'a Program<'a>,
    names: Names,
    /// The symbols of the parts of the model, each at the position of its part.
    modules: Vec<SymbolId>,
    structs: Vec<SymbolId>,
    sequences: Vec<SymbolId>,
    dictionaries: Vec<SymbolId>,
    interfaces: Vec<SymbolId>,
}

impl Collector<'_> {
    fn modules(&mut self, loaded: &Loaded) {
        for module in &self.program.model.modules {
            let openings = loaded.files.iter().flat_map(|file| &file.modules);
            let ours = openings.filter(|opening| opening.name.text == module.name);
            let id = self.names.add(Symbol {
                kind: Kind::Module,
                name: module.name.clone(),
                places: ours.map(|it| place(&it.name, it.whole)).collect(),
                parent: None,
                doc: module.doc.clone(),
                index: None,
            });
            self.modules.push(id);
        }
    }

    fn structs(&mut self) {
        let Program { model, origin } = self.program;
        for (it, from) in model.structs.iter().zip(&origin.structs) {
            let symbol = self.element(Kind::Struct, it.module, &from.name, from.whole, &from.doc);
            let id = self.names.add(symbol);
            self.structs.push(id);
            for member in &from.members {
                let whole = member.ty.span.to(member.name.span);
                let symbol = symbol_of(Kind::Member, id, &member.name, whole, &member.doc);
                self.names.add(symbol);
            }
        }
    }

    fn containers(&mut self) {
        let Program { model, origin } = self.program;
        for (it, from) in model.sequences.iter().zip(&origin.sequences) {
            let symbol = self.element(Kind::Sequence, it.module, &from.name, from.whole, &from.doc);
            self.sequences.push(self.names.add(symbol));
        }
        for (it, from) in model.dictionaries.iter().zip(&origin.dictionaries) {
            let symbol = self.element(
                Kind::Dictionary,
                it.module,
                &from.name,
                from.whole,
                &from.doc,
            );
            self.dictionaries.push(self.names.add(symbol));
        }
    }

    fn interfaces(&mut self) {
        let Program { model, origin } = self.program;
        for (it, from) in model.interfaces.iter().zip(&origin.interfaces) {
            let symbol = self.element(
                Kind::Interface,
                it.module,
                &from.name,
                from.whole,
                &from.doc,
            );
            let id = self.names.add(Symbol {
                index: Some((it.index, it.index_place)),
                ..symbol
            });
            self.interfaces.push(id);
            for (it, from) in it.operations.iter().zip(&from.operations) {
                self.operation(it, from, id);
            }
        }
    }

    fn operation(&mut self, it: &Operation, from: &ast::Operation, interface: SymbolId) {
        let symbol = symbol_of(
            Kind::Operation,
            interface,
            &from.name,
            from.whole,
            &from.doc,
        );
        let id = self.names.add(Symbol {
            index: Some((it.index, it.index_place)),
            ..symbol
        });
        for parameter in &from.parameters {
            let whole = parameter.ty.span.to(parameter.name.span);
            let symbol = symbol_of(Kind::Parameter, id, &parameter.name, whole, &None);
            self.names.add(symbol);
        }
    }

    fn element(
        &self,
        kind: Kind,
        module: ModuleId,
        name: &ast::Name,
        whole: Span,
        doc: &Option<String>,
    ) -> Symbol {
        symbol_of(kind, self.modules[module.0 as usize], name, whole, doc)
    }

    /// The names with the places where they are used, in order.
    fn with_uses(mut self) -> Names {
        for used in &self.program.origin.uses {
            let symbol = match used.target {
                Target::Module(id) => self.modules[id.0 as usize],
                Target::Element(Element::Struct(id)) => self.structs[id.0 as usize],
                Target::Element(Element::Sequence(id)) => self.sequences[id.0 as usize],
                Target::Element(Element::Dictionary(id)) => self.dictionaries[id.0 as usize],
                Target::Element(Element::Interface(id)) => self.interfaces[id.0 as usize],
            };
            self.names.mentions.push((used.span, symbol));
        }
        self.names.mentions.sort_unstable();
        self.names
    }
}

fn symbol_of(
    kind: Kind,
    parent: SymbolId,
    name: &ast::Name,
    whole: Span,
    doc: &Option<String>,
) -> Symbol {
    Symbol {
        kind,
        name: name.text.clone(),
        places: vec![place(name, whole)],
        parent: Some(parent),
        doc: doc.clone(),
        index: None,
    }
}

fn place(name: &ast::Name, whole: Span) -> Place {
    Place {
        name: name.span,
        whole,
    }
}
