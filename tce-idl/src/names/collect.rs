//! A resolved program to its names.

use super::{Kind, Names, Place, Symbol, SymbolId};
use crate::model::{Element, ModuleId, Operation};
use crate::resolve::imports::Loaded;
use crate::resolve::{Program, Target};
use crate::source::Span;
use crate::syntax::ast;

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
