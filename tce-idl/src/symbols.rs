//! The symbols of a compilation, for editors: what each name refers to, where it
//! is declared and where it is used. The table is built for files with errors
//! too, since editors ask while the user types.

use std::path::{Path, PathBuf};

use crate::model::{Element, IndexOrigin, ModuleId, Operation};
use crate::resolve::imports::LoadedFiles;
use crate::resolve::{ReferenceTarget, ResolvedProgram};
use crate::source::{FileId, Span};
use crate::syntax::{self, ast};

/// A symbol, by its position in [`SymbolTable::symbols`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolId(u32);

/// A named declaration.
#[derive(Debug, Clone)]
pub struct Symbol {
    /// The kind of declaration.
    pub kind: SymbolKind,
    /// Its name, as the IDL spells it.
    pub name: String,
    /// Where it is declared: once, except for a module that is opened several times.
    pub declarations: Vec<DeclarationSpan>,
    /// The declaration that contains it; `None` for a module.
    pub parent: Option<SymbolId>,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The index of an interface or operation on the wire, and how it is determined.
    pub index: Option<(u16, IndexOrigin)>,
}

/// The position of a declaration.
#[derive(Debug, Clone, Copy)]
pub struct DeclarationSpan {
    /// Its name.
    pub name: Span,
    /// The whole declaration, without the documentation and annotations before it.
    pub whole: Span,
}

/// The symbols of a compilation, with all their occurrences.
#[derive(Debug, Clone, Default)]
pub struct SymbolTable {
    symbols: Vec<Symbol>,
    /// Every occurrence of a name, in the order of the text.
    occurrences: Vec<(Span, SymbolId)>,
    /// The names in `import NAME` and their files, in the order of the text.
    imports: Vec<(Span, PathBuf)>,
    /// Each interface that extends another, and that other one.
    bases: Vec<(SymbolId, SymbolId)>,
}

impl SymbolTable {
    /// All symbols. A symbol comes after its parent; siblings are in declared order.
    pub fn symbols(&self) -> impl Iterator<Item = (SymbolId, &Symbol)> {
        (0..).map(SymbolId).zip(&self.symbols)
    }

    /// The symbol with this id.
    #[must_use]
    pub fn get(&self, id: SymbolId) -> &Symbol {
        &self.symbols[id.0 as usize]
    }

    /// The name at a byte of a file, or ending there, and its symbol.
    #[must_use]
    pub fn at(&self, file: FileId, offset: u32) -> Option<(Span, SymbolId)> {
        entry_at(&self.occurrences, file, offset).copied()
    }

    /// The name in an `import` at a byte of a file, or ending there, and the imported file.
    #[must_use]
    pub fn import_at(&self, file: FileId, offset: u32) -> Option<(Span, &Path)> {
        entry_at(&self.imports, file, offset).map(|(span, path)| (*span, path.as_path()))
    }

    /// Every occurrence of a symbol's name, including its declarations.
    pub fn occurrences(&self, id: SymbolId) -> impl Iterator<Item = Span> + '_ {
        let of_it = self
            .occurrences
            .iter()
            .filter(move |(_, other)| *other == id);
        of_it.map(|(span, _)| *span)
    }

    /// The occurrences of names in a file, in the order of its text.
    pub fn in_file(&self, file: FileId) -> impl Iterator<Item = (Span, SymbolId)> + '_ {
        let start = self
            .occurrences
            .partition_point(|(span, _)| span.file < file);
        let rest = self.occurrences[start..].iter().copied();
        rest.take_while(move |(span, _)| span.file == file)
    }

    /// The interfaces whose operations must have other names than those of an
    /// interface: all that it extends, and all that extend it, directly or not.
    #[must_use]
    pub fn lineage(&self, interface: SymbolId) -> Vec<SymbolId> {
        let mut related = Vec::new();
        for is_upwards in [true, false] {
            let mut open = vec![interface];
            while let Some(at) = open.pop() {
                let steps = self.bases.iter().map(|(derived, base)| match is_upwards {
                    true => (derived, base),
                    false => (base, derived),
                });
                let next = steps.filter(|(from, _)| **from == at).map(|(_, to)| *to);
                open.extend(next.clone());
                related.extend(next);
            }
        }
        related
    }

    /// The name with those of its parents: `module.Interface.operation`.
    #[must_use]
    pub fn full_name(&self, id: SymbolId) -> String {
        let symbol = self.get(id);
        match symbol.parent {
            Some(parent) => format!("{}.{}", self.full_name(parent), symbol.name),
            None => symbol.name.clone(),
        }
    }

    fn add(&mut self, symbol: Symbol) -> SymbolId {
        // A file has fewer symbols than bytes, and at most 4 MiB.
        let id = SymbolId(u32::try_from(self.symbols.len()).unwrap_or(u32::MAX));
        let occurrences = symbol.declarations.iter().map(|span| (span.name, id));
        self.occurrences.extend(occurrences);
        self.symbols.push(symbol);
        id
    }
}

/// Whether a text is a valid name: letters, digits and `_`, not beginning with
/// a digit, and not a keyword or builtin type.
///
/// ```
/// assert!(tce_idl::symbols::is_name("onMessage"));
/// assert!(!tce_idl::symbols::is_name("struct"));
/// ```
#[must_use]
pub fn is_name(text: &str) -> bool {
    syntax::is_name(text)
}

/// The entry whose span contains the byte at `offset`, or ends there. Spans don't
/// overlap; of two adjacent ones, the one that begins at `offset` is returned.
fn entry_at<T>(sorted: &[(Span, T)], file: FileId, offset: u32) -> Option<&(Span, T)> {
    let next = sorted.partition_point(|(span, _)| (span.file, span.start) <= (file, offset));
    let entry = &sorted[next.checked_sub(1)?];
    (entry.0.file == file && offset <= entry.0.end).then_some(entry)
}

/// The kind of a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    /// `module NAME { … }`
    Module,
    /// `struct NAME { … };`
    Struct,
    /// `exception NAME { … };`
    Exception,
    /// `enum NAME { … };`
    Enum,
    /// `const TYPE NAME = …;`
    Constant,
    /// `sequence<…> NAME;`
    Sequence,
    /// `dictionary<…> NAME;`
    Dictionary,
    /// `interface NAME { … };`
    Interface,
    /// A member of a struct or an exception.
    Member,
    /// A member of an enum.
    EnumMember,
    /// An operation of an interface.
    Operation,
    /// A parameter of an operation.
    Parameter,
}

impl SymbolKind {
    /// The word for it in a sentence.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Struct => "struct",
            Self::Exception => "exception",
            Self::Enum => "enum",
            Self::Constant => "constant",
            Self::Sequence => "sequence",
            Self::Dictionary => "dictionary",
            Self::Interface => "interface",
            Self::Member => "member",
            Self::EnumMember => "enum member",
            Self::Operation => "operation",
            Self::Parameter => "parameter",
        }
    }

    /// Whether it is the type of a value.
    #[must_use]
    pub fn is_value(self) -> bool {
        matches!(
            self,
            Self::Struct | Self::Enum | Self::Sequence | Self::Dictionary
        )
    }
}

/// Builds the symbol table of a program, with or without errors.
pub(crate) fn collect(program: &ResolvedProgram<'_>, loaded: &LoadedFiles) -> SymbolTable {
    let mut collector = Collector {
        program,
        names: SymbolTable::default(),
        modules: Vec::new(),
        structs: Vec::new(),
        exceptions: Vec::new(),
        enums: Vec::new(),
        constants: Vec::new(),
        sequences: Vec::new(),
        dictionaries: Vec::new(),
        interfaces: Vec::new(),
    };
    collector.modules(loaded);
    collector.structs();
    collector.exceptions();
    collector.enums();
    collector.constants();
    collector.containers();
    collector.interfaces();
    collector.bases();
    let mut names = collector.with_references();
    names.imports.clone_from(&loaded.imported);
    names.imports.sort_by_key(|(span, _)| *span);
    names
}

struct Collector<'a> {
    program: &'a ResolvedProgram<'a>,
    names: SymbolTable,
    /// The symbols of the model's declarations, each at the position of its declaration.
    modules: Vec<SymbolId>,
    structs: Vec<SymbolId>,
    exceptions: Vec<SymbolId>,
    enums: Vec<SymbolId>,
    constants: Vec<SymbolId>,
    sequences: Vec<SymbolId>,
    dictionaries: Vec<SymbolId>,
    interfaces: Vec<SymbolId>,
}

impl Collector<'_> {
    fn modules(&mut self, loaded: &LoadedFiles) {
        for module in &self.program.model.modules {
            let openings = loaded.files.iter().flat_map(|file| &file.modules);
            let ours = openings.filter(|opening| opening.name.text == module.name);
            let id = self.names.add(Symbol {
                kind: SymbolKind::Module,
                name: module.name.clone(),
                declarations: ours
                    .map(|it| declaration_span(&it.name, it.whole))
                    .collect(),
                parent: None,
                doc: module.doc.clone(),
                index: None,
            });
            self.modules.push(id);
        }
    }

    fn structs(&mut self) {
        let ResolvedProgram { model, ast } = self.program;
        for (it, from) in model.structs.iter().zip(&ast.structs) {
            let id = self.record(SymbolKind::Struct, it.module, from);
            self.structs.push(id);
        }
    }

    fn exceptions(&mut self) {
        let ResolvedProgram { model, ast } = self.program;
        for (it, from) in model.exceptions.iter().zip(&ast.exceptions) {
            let id = self.record(SymbolKind::Exception, it.module, from);
            self.exceptions.push(id);
        }
    }

    /// Adds a struct or an exception, with its members.
    fn record(&mut self, kind: SymbolKind, module: ModuleId, from: &ast::Struct) -> SymbolId {
        let symbol = self.element(kind, module, &from.name, from.whole, &from.doc);
        let id = self.names.add(symbol);
        for member in &from.members {
            let whole = member.ty.span.to(member.name.span);
            let symbol = symbol_of(SymbolKind::Member, id, &member.name, whole, &member.doc);
            self.names.add(symbol);
        }
        id
    }

    fn enums(&mut self) {
        let ResolvedProgram { model, ast } = self.program;
        for (it, from) in model.enums.iter().zip(&ast.enums) {
            let kind = SymbolKind::Enum;
            let symbol = self.element(kind, it.module, &from.name, from.whole, &from.doc);
            let id = self.names.add(symbol);
            self.enums.push(id);
            for member in &from.members {
                let number = member.number.as_ref().map(|number| number.span);
                let whole = number.map_or(member.name.span, |end| member.name.span.to(end));
                let kind = SymbolKind::EnumMember;
                let symbol = symbol_of(kind, id, &member.name, whole, &member.doc);
                self.names.add(symbol);
            }
        }
    }

    fn constants(&mut self) {
        let ResolvedProgram { model, ast } = self.program;
        for (it, from) in model.constants.iter().zip(&ast.constants) {
            let kind = SymbolKind::Constant;
            let symbol = self.element(kind, it.module, &from.name, from.whole, &from.doc);
            self.constants.push(self.names.add(symbol));
        }
    }

    fn containers(&mut self) {
        let ResolvedProgram { model, ast } = self.program;
        for (it, from) in model.sequences.iter().zip(&ast.sequences) {
            let symbol = self.element(
                SymbolKind::Sequence,
                it.module,
                &from.name,
                from.whole,
                &from.doc,
            );
            self.sequences.push(self.names.add(symbol));
        }
        for (it, from) in model.dictionaries.iter().zip(&ast.dictionaries) {
            let symbol = self.element(
                SymbolKind::Dictionary,
                it.module,
                &from.name,
                from.whole,
                &from.doc,
            );
            self.dictionaries.push(self.names.add(symbol));
        }
    }

    fn interfaces(&mut self) {
        let ResolvedProgram { model, ast } = self.program;
        for (it, from) in model.interfaces.iter().zip(&ast.interfaces) {
            let symbol = self.element(
                SymbolKind::Interface,
                it.module,
                &from.name,
                from.whole,
                &from.doc,
            );
            let id = self.names.add(Symbol {
                index: Some((it.index, it.index_origin)),
                ..symbol
            });
            self.interfaces.push(id);
            for (it, from) in it.operations.iter().zip(&from.operations) {
                self.operation(it, from, id);
            }
        }
    }

    fn bases(&mut self) {
        for (derived, it) in self.interfaces.iter().zip(&self.program.model.interfaces) {
            let base = it.base.map(|base| self.interfaces[base.0 as usize]);
            self.names.bases.extend(base.map(|base| (*derived, base)));
        }
    }

    fn operation(&mut self, it: &Operation, from: &ast::Operation, interface: SymbolId) {
        let symbol = symbol_of(
            SymbolKind::Operation,
            interface,
            &from.name,
            from.whole,
            &from.doc,
        );
        let id = self.names.add(Symbol {
            index: Some((it.index, it.index_origin)),
            ..symbol
        });
        for parameter in &from.parameters {
            let whole = parameter.ty.span.to(parameter.name.span);
            let symbol = symbol_of(
                SymbolKind::Parameter,
                id,
                &parameter.name,
                whole,
                &parameter.doc,
            );
            self.names.add(symbol);
        }
    }

    fn element(
        &self,
        kind: SymbolKind,
        module: ModuleId,
        name: &ast::Identifier,
        whole: Span,
        doc: &Option<String>,
    ) -> Symbol {
        symbol_of(kind, self.modules[module.0 as usize], name, whole, doc)
    }

    /// Adds the references, and sorts the occurrences.
    fn with_references(mut self) -> SymbolTable {
        for reference in &self.program.ast.references {
            let symbol = match reference.target {
                ReferenceTarget::Module(id) => self.modules[id.0 as usize],
                ReferenceTarget::Element(Element::Struct(id)) => self.structs[id.0 as usize],
                ReferenceTarget::Element(Element::Exception(id)) => self.exceptions[id.0 as usize],
                ReferenceTarget::Element(Element::Enum(id)) => self.enums[id.0 as usize],
                ReferenceTarget::Element(Element::Constant(id)) => self.constants[id.0 as usize],
                ReferenceTarget::Element(Element::Sequence(id)) => self.sequences[id.0 as usize],
                ReferenceTarget::Element(Element::Dictionary(id)) => {
                    self.dictionaries[id.0 as usize]
                }
                ReferenceTarget::Element(Element::Interface(id)) => self.interfaces[id.0 as usize],
            };
            self.names.occurrences.push((reference.span, symbol));
        }
        self.names.occurrences.sort_unstable();
        self.names
    }
}

fn symbol_of(
    kind: SymbolKind,
    parent: SymbolId,
    name: &ast::Identifier,
    whole: Span,
    doc: &Option<String>,
) -> Symbol {
    Symbol {
        kind,
        name: name.text.clone(),
        declarations: vec![declaration_span(name, whole)],
        parent: Some(parent),
        doc: doc.clone(),
        index: None,
    }
}

fn declaration_span(name: &ast::Identifier, whole: Span) -> DeclarationSpan {
    DeclarationSpan {
        name: name.span,
        whole,
    }
}
