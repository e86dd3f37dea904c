//! Interfaces as self-contained IDL, one each: what a server returns when it is asked for its interfaces.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use crate::model::{Element, Interface, InterfaceId, Member, Model, ModuleId, Operation, Type};

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
            for id in &operation.throws {
                if self.select(Element::Exception(*id), selection) {
                    for member in &self.model.exception(*id).members {
                        self.select_type(member.ty, selection);
                    }
                }
            }
        }
    }

    fn select_type(&self, ty: Type, selection: &mut BTreeMap<Position, Element>) {
        let model = self.model;
        match ty {
            Type::Enum(id) => {
                self.select(Element::Enum(id), selection);
            }
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
            let before = before(it.doc.as_deref(), it.deprecated.as_deref(), "\t");
            let members = members(model, &it.members, from);
            format!("{before}\tstruct {} {{\n{members}\t}};\n", it.name)
        }
        Element::Exception(id) => {
            let it = model.exception(id);
            let before = before(it.doc.as_deref(), it.deprecated.as_deref(), "\t");
            let members = members(model, &it.members, from);
            format!("{before}\texception {} {{\n{members}\t}};\n", it.name)
        }
        Element::Enum(id) => {
            let it = model.enum_(id);
            let members = it.members.iter().map(|member| {
                let before = before(member.doc.as_deref(), member.deprecated.as_deref(), "\t\t");
                format!("{before}\t\t{} = {},\n", member.name, member.number)
            });
            let members: String = members.collect();
            let before = before(it.doc.as_deref(), it.deprecated.as_deref(), "\t");
            format!("{before}\tenum {} {{\n{members}\t}};\n", it.name)
        }
        // An interface uses none.
        Element::Constant(_) => String::new(),
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
            let index = operation.index;
            let deprecated = deprecated(operation.deprecated.as_deref());
            let annotations = deprecated.map_or_else(String::new, |text| format!(", {text}"));
            let idempotent = if operation.idempotent {
                ", idempotent"
            } else {
                ""
            };
            let signature = signature(model, operation, from);
            format!("{doc}\t\t[index={index}{annotations}{idempotent}] {signature};\n")
        })
        .collect();
    let deprecated = deprecated(it.deprecated.as_deref());
    let annotations = deprecated.map_or_else(String::new, |text| format!(", {text}"));
    format!(
        "{}\t[index={}{annotations}] interface {}{base} {{\n{operations}\t}};\n",
        docs(it.doc.as_deref(), "\t"),
        it.index,
        it.name
    )
}

/// An operation, with a line for each parameter where one has documentation.
fn signature(model: &Model, operation: &Operation, from: ModuleId) -> String {
    if operation.parameters.iter().all(|it| it.doc.is_none()) {
        return model.signature(operation, from);
    }
    let parameters = operation.parameters.iter().map(|it| {
        let doc = docs(it.doc.as_deref(), "\t\t\t");
        format!("{doc}\t\t\t{} {}", model.spell(Some(it.ty), from), it.name)
    });
    let parameters: Vec<String> = parameters.collect();
    let returns = model.spell(operation.returns, from);
    let (name, parameters) = (&operation.name, parameters.join(",\n"));
    let throws = model.throws_clause(operation, from);
    format!("{returns} {name}(\n{parameters}\n\t\t){throws}")
}

/// The members of a struct or an exception.
fn members(model: &Model, members: &[Member], from: ModuleId) -> String {
    let members = members.iter().map(|member| {
        let before = before(member.doc.as_deref(), member.deprecated.as_deref(), "\t\t");
        let ty = model.spell(Some(member.ty), from);
        format!("{before}\t\t{ty} {};\n", member.name)
    });
    members.collect()
}

/// The documentation and the annotation before a declaration.
fn before(doc: Option<&str>, deprecated_text: Option<&str>, indent: &str) -> String {
    let annotation = deprecated(deprecated_text);
    let annotation = annotation.map_or_else(String::new, |text| format!("{indent}[{text}]\n"));
    docs(doc, indent) + &annotation
}

/// The annotation `deprecated`. Its text comes from a string, so that no quote is in it.
fn deprecated(text: Option<&str>) -> Option<String> {
    text.map(|text| match text {
        "" => "deprecated".to_owned(),
        text => format!("deprecated=\"{text}\""),
    })
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
