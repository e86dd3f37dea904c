//! One interface as a self-contained IDL: what a server returns when it is asked for its interfaces.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::model::{Element, Interface, InterfaceId, Model, ModuleId, Type};

/// The interface, its bases and every type that they use, as one IDL without
/// imports. Every index is explicit, so that it does not depend on the position.
///
/// ```
/// let text = "module demo { interface A { void a(); }; interface B { void b(); }; };";
/// let model = tce_idl::compile_str(text).model.expect("the text is valid");
/// let excerpt = tce_idl::excerpt(&model, tce_idl::model::InterfaceId(1));
/// assert!(excerpt.contains("[index=1] interface B"));
/// assert!(!excerpt.contains("interface A"));
/// ```
#[must_use]
pub fn excerpt(model: &Model, id: InterfaceId) -> String {
    let mut selection = Selection::default();
    for id in model.lineage(id) {
        selection.interface(model, id);
    }
    let mut out = String::new();
    for (number, module) in (0..).zip(&model.modules) {
        let from = ModuleId(number);
        let elements: Vec<String> = module
            .elements
            .iter()
            .filter(|element| selection.has(**element))
            .map(|element| print(model, *element, from))
            .collect();
        if !elements.is_empty() {
            let _ = write!(
                out,
                "{}module {} {{\n{}}}\n",
                docs(module.doc.as_deref(), ""),
                module.name,
                elements.concat()
            );
        }
    }
    out
}

/// The declarations that an excerpt contains.
#[derive(Default)]
struct Selection {
    interfaces: BTreeSet<u32>,
    types: BTreeSet<(u8, u32)>,
}

impl Selection {
    fn interface(&mut self, model: &Model, id: InterfaceId) {
        self.interfaces.insert(id.0);
        for operation in &model.interface(id).operations {
            let parameters = operation.parameters.iter().map(|parameter| parameter.ty);
            for ty in parameters.chain(operation.returns) {
                self.ty(model, ty);
            }
        }
    }

    fn ty(&mut self, model: &Model, ty: Type) {
        let Some(key) = key(ty) else {
            return;
        };
        // A type may contain itself through a sequence or dictionary.
        if !self.types.insert(key) {
            return;
        }
        match ty {
            Type::Struct(id) => {
                for member in &model.struct_(id).members {
                    self.ty(model, member.ty);
                }
            }
            Type::Sequence(id) => self.ty(model, model.sequence(id).element),
            Type::Dictionary(id) => {
                self.ty(model, model.dictionary(id).key);
                self.ty(model, model.dictionary(id).value);
            }
            _ => {}
        }
    }

    fn has(&self, element: Element) -> bool {
        let ty = match element {
            Element::Interface(id) => return self.interfaces.contains(&id.0),
            Element::Struct(id) => Type::Struct(id),
            Element::Sequence(id) => Type::Sequence(id),
            Element::Dictionary(id) => Type::Dictionary(id),
        };
        key(ty).is_some_and(|key| self.types.contains(&key))
    }
}

/// A key of a declared type; `None` for a builtin one.
fn key(ty: Type) -> Option<(u8, u32)> {
    match ty {
        Type::Struct(id) => Some((0, id.0)),
        Type::Sequence(id) => Some((1, id.0)),
        Type::Dictionary(id) => Some((2, id.0)),
        _ => None,
    }
}

fn print(model: &Model, element: Element, from: ModuleId) -> String {
    let spell = |ty| model.spell(Some(ty), from);
    match element {
        Element::Struct(id) => {
            let it = model.struct_(id);
            let members: String = it
                .members
                .iter()
                .map(|member| {
                    let doc = docs(member.doc.as_deref(), "\t\t");
                    format!("{doc}\t\t{} {};\n", spell(member.ty), member.name)
                })
                .collect();
            format!(
                "{}\tstruct {} {{\n{members}\t}};\n",
                docs(it.doc.as_deref(), "\t"),
                it.name
            )
        }
        Element::Sequence(id) => {
            let it = model.sequence(id);
            let doc = docs(it.doc.as_deref(), "\t");
            format!("{doc}\tsequence<{}> {};\n", spell(it.element), it.name)
        }
        Element::Dictionary(id) => {
            let it = model.dictionary(id);
            let doc = docs(it.doc.as_deref(), "\t");
            let (key, value) = (spell(it.key), spell(it.value));
            format!("{doc}\tdictionary<{key}, {value}> {};\n", it.name)
        }
        Element::Interface(id) => interface(model, model.interface(id), from),
    }
}

fn interface(model: &Model, it: &Interface, from: ModuleId) -> String {
    let base = it.base.map(|base| model.interface(base));
    let base = base.map_or_else(String::new, |base| {
        let module = &model.module(base.module).name;
        match base.module == from {
            true => format!(" extends {}", base.name),
            false => format!(" extends {module}::{}", base.name),
        }
    });
    let operations: String = it
        .operations
        .iter()
        .map(|operation| {
            let doc = docs(operation.doc.as_deref(), "\t\t");
            let signature = model.signature(operation, from);
            format!("{doc}\t\t[index={}] {signature};\n", operation.index)
        })
        .collect();
    format!(
        "{}\t[index={}] interface {}{base} {{\n{operations}\t}};\n",
        docs(it.doc.as_deref(), "\t"),
        it.index,
        it.name
    )
}

fn docs(doc: Option<&str>, indent: &str) -> String {
    let lines = doc.into_iter().flat_map(str::lines);
    lines
        .map(|line| match line.trim_end() {
            "" => format!("{indent}///\n"),
            line => format!("{indent}/// {line}\n"),
        })
        .collect()
}
