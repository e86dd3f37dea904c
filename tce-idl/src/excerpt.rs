//! Interfaces as self-contained IDL, one each: what a server returns when it is asked for its interfaces.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use crate::model::{Element, Interface, InterfaceId, Model, ModuleId, Type};

/// Excerpts of a model: an interface, its bases and every type that they use, as one
/// IDL without imports. Every index is explicit, so that it does not depend on the
/// position.
///
/// ```
/// let text = "module demo { interface A { void a(); }; interface B { void b(); }; };";
/// let model = tce_idl::compile_str(text).model.expect("the text is valid");
/// let excerpt = tce_idl::Excerpts::new(&model).of(tce_idl::model::InterfaceId(1));
/// assert!(excerpt.contains("[index=1] interface B"));
/// assert!(!excerpt.contains("interface A"));
/// ```
#[derive(Debug)]
pub struct Excerpts<'m> {
    model: &'m Model,
    positions: HashMap<Element, Position>,
}

/// Where an element is declared: its module, and its position there.
type Position = (ModuleId, usize);

impl<'m> Excerpts<'m> {
    /// Prepares excerpts of a model.
    #[must_use]
    pub fn new(model: &'m Model) -> Self {
        let modules = (0..).map(ModuleId).zip(&model.modules);
        let positions = modules.flat_map(|(id, module)| {
            let elements = module.elements.iter().enumerate();
            elements.map(move |(at, element)| (*element, (id, at)))
        });
        Self {
            model,
            positions: positions.collect(),
        }
    }

    /// The excerpt of one interface.
    #[must_use]
    pub fn of(&self, id: InterfaceId) -> String {
        let mut selection = BTreeMap::new();
        for id in self.model.lineage(id) {
            self.select_interface(id, &mut selection);
        }
        let mut modules: BTreeMap<ModuleId, String> = BTreeMap::new();
        for ((id, _), element) in selection {
            let text = modules.entry(id).or_default();
            text.push_str(&print(self.model, element, id));
        }
        let mut out = String::new();
        for (id, elements) in modules {
            let module = self.model.module(id);
            let docs = docs(module.doc.as_deref(), "");
            let _ = write!(out, "{docs}module {} {{\n{elements}}}\n", module.name);
        }
        out
    }

    /// Adds an interface, and every type that it uses, to the declarations of an excerpt.
    fn select_interface(&self, id: InterfaceId, selection: &mut BTreeMap<Position, Element>) {
        self.select(Element::Interface(id), selection);
        for operation in &self.model.interface(id).operations {
            let parameters = operation.parameters.iter().map(|parameter| parameter.ty);
            for ty in parameters.chain(operation.returns) {
                self.select_type(ty, selection);
            }
        }
    }

    fn select_type(&self, ty: Type, selection: &mut BTreeMap<Position, Element>) {
        let model = self.model;
        match ty {
            Type::Struct(id) if self.select(Element::Struct(id), selection) => {
                for member in &model.struct_(id).members {
                    self.select_type(member.ty, selection);
                }
            }
            Type::Sequence(id) if self.select(Element::Sequence(id), selection) => {
                self.select_type(model.sequence(id).element, selection);
            }
            Type::Dictionary(id) if self.select(Element::Dictionary(id), selection) => {
                self.select_type(model.dictionary(id).key, selection);
                self.select_type(model.dictionary(id).value, selection);
            }
            _ => {}
        }
    }

    /// Adds an element, unless it is there: a type may contain itself through a sequence
    /// or dictionary.
    fn select(&self, element: Element, selection: &mut BTreeMap<Position, Element>) -> bool {
        let position = self.positions.get(&element);
        position.is_some_and(|position| selection.insert(*position, element).is_none())
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
