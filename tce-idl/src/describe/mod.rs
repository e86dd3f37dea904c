//! Descriptions of a model: as text, as JSON, as the interface list of a gateway.

mod text;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::diagnostic::{is_end, nearest_end};
use crate::model::{self, ConstantValue, Element, InterfaceId, Model, ModuleId, Type};

/// All declarations of a model, or a selection of them. Types are spelt `string`
/// or `module.Name`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Description {
    /// The version of the JSON format. It changes when a field is removed or changes its meaning.
    version: u32,
    modules: Vec<Module>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Module {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    /// The files that open it.
    files: Vec<String>,
    interfaces: Vec<Interface>,
    structs: Vec<Struct>,
    sequences: Vec<Sequence>,
    dictionaries: Vec<Dictionary>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    enums: Vec<Enum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exceptions: Vec<Struct>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    constants: Vec<Constant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Interface {
    name: String,
    index: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extends: Option<String>,
    /// `false` if no servant code is generated for languages that `skeletons` does not name.
    #[serde(skip_serializing_if = "is_true")]
    skeleton: bool,
    /// Whether servant code is generated, by language: `skeleton_<language>` of the IDL.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    skeletons: BTreeMap<String, bool>,
    /// The group of tasks whose workers serve it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<String>,
    operations: Vec<Operation>,
    /// The operations of its bases, the nearest base first; they are called with the index of the base.
    inherited: Vec<Inherited>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Inherited {
    /// The base that declares the operations, as `module.Name`.
    from: String,
    /// Its index.
    index: u16,
    operations: Vec<Operation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Operation {
    name: String,
    index: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    idempotent: bool,
    /// A type, or `void`.
    returns: String,
    parameters: Vec<Parameter>,
    /// Exceptions, as `module.Name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    throws: Vec<String>,
    /// The operation as the interface declares it. Not in the JSON, which has its parts.
    #[serde(skip)]
    signature: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Parameter {
    name: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Struct {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<String>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Enum {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<String>,
    members: Vec<EnumMember>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct EnumMember {
    name: String,
    number: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Constant {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    r#type: String,
    value: Value,
}

/// The value of a constant, as JSON has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Value {
    Bool(bool),
    Integer(i64),
    Float(f64),
    String(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Member {
    name: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Sequence {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    element: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Dictionary {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    key: String,
    value: String,
}

/// No declaration has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// The name that was asked for.
    pub name: String,
    /// The name that may be meant.
    pub near: Option<String>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no module, type, interface or operation is called `{}`",
            self.name
        )?;
        match &self.near {
            Some(near) => write!(f, ": did you mean `{near}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownName {}

impl Description {
    /// Adds what another description has and this one has not: the declarations of two
    /// servants of one server, which have modules in common. Files are named by neither.
    pub fn merge(&mut self, other: Self) {
        self.version = other.version;
        for mut module in other.modules {
            module.files.clear();
            let mut known = self.modules.iter_mut();
            match known.find(|known| known.name == module.name) {
                Some(known) => {
                    add_new(&mut known.interfaces, module.interfaces);
                    add_new(&mut known.structs, module.structs);
                    add_new(&mut known.sequences, module.sequences);
                    add_new(&mut known.dictionaries, module.dictionaries);
                    add_new(&mut known.enums, module.enums);
                    add_new(&mut known.exceptions, module.exceptions);
                    add_new(&mut known.constants, module.constants);
                }
                None => self.modules.push(module),
            }
        }
    }

    /// Describes all declarations of a model.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        Self {
            version: 1,
            modules: modules(model),
        }
    }

    /// Only the module, element or operation called `name`: `test`, `test.Server`
    /// or `test.Server.echo`, or the end of such a name, as `Server` or
    /// `Server.echo`. If several names end so, all of them, unless one is exactly `name`.
    ///
    /// # Errors
    /// No declaration has this name. The error suggests a similar one.
    pub fn only(self, name: &str) -> Result<Self, UnknownName> {
        select(self, name)
    }

    /// As text: interfaces and operations with their indices, types, documentation.
    #[must_use]
    pub fn text(&self) -> String {
        text::text(&self.modules)
    }

    /// As JSON: one object over several lines.
    ///
    /// ```json
    /// {"version":1, "modules":[{"name":"test", "doc":"…", "files":["test.idl"],
    ///   "interfaces":[{"name":"Server", "index":2, "doc":"…", "comment":"…", "extends":"test.BaseServer",
    ///     "operations":[{"name":"echo", "index":0, "doc":"…", "comment":"…", "returns":"string",
    ///       "parameters":[{"name":"text", "type":"string"}]}],
    ///     "inherited":[{"from":"test.BaseServer", "index":0, "operations":[…]}]}],
    ///   "structs":[{"name":"Pet", "doc":"…", "members":[{"name":"age", "type":"int", "doc":"…"}]}],
    ///   "sequences":[{"name":"Pets", "doc":"…", "element":"test.Pet"}],
    ///   "dictionaries":[{"name":"Counts", "doc":"…", "key":"string", "value":"int"}],
    ///   "enums":[{"name":"Color", "doc":"…", "members":[{"name":"RED", "number":0, "doc":"…"}]}],
    ///   "exceptions":[{"name":"Denied", "doc":"…", "members":[{"name":"why", "type":"string"}]}],
    ///   "constants":[{"name":"MAX", "doc":"…", "type":"int", "value":5}]}]}
    /// ```
    ///
    /// `enums`, `exceptions` and `constants` are left out if there are none. An operation
    /// that throws exceptions has `"throws":["test.Denied"]`, an idempotent one
    /// `"idempotent":true`; a parameter may have `doc`, and what is deprecated has
    /// `"deprecated":"text"`. A type is `string` and the like, or `module.Name`; an operation may also
    /// return `void`. `doc`, `comment` and `extends` are left out if they are
    /// empty. An interface for which some languages get no servant code has also
    /// `"skeleton":false` or, by language, `"skeletons":{"go":false}`; one whose tasks have a group
    /// `"tasks":"group"`. Later versions of tce may add fields; if one is removed or changes its
    /// meaning, `version` changes.
    #[must_use]
    pub fn json(&self) -> String {
        // Serialization can't fail: the object consists of strings and numbers.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The `<InterfaceDef>` of a gateway's services.xml, sorted by index.
    #[must_use]
    pub fn interface_defs(&self) -> String {
        let interfaces = self.modules.iter().flat_map(|module| {
            let interfaces = module.interfaces.iter();
            interfaces.map(|it| (it.index, format!("{}.{}", module.name, it.name)))
        });
        let mut rows: Vec<_> = interfaces.collect();
        rows.sort();
        // A name consists of letters, digits and `_`, so that it needs no escaping in XML.
        let rows = rows
            .iter()
            .map(|(index, name)| format!("\t<if id=\"{index}\" name=\"{name}\"/>\n"));
        format!(
            "<InterfaceDef>\n{}</InterfaceDef>\n",
            rows.collect::<String>()
        )
    }
}

fn add_new<T: PartialEq>(known: &mut Vec<T>, items: Vec<T>) {
    for item in items {
        if !known.contains(&item) {
            known.push(item);
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_true(value: &bool) -> bool {
    *value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

fn modules(model: &Model) -> Vec<Module> {
    let modules = model.modules.iter().map(|it| module(model, it));
    modules.collect()
}

fn module(model: &Model, it: &model::Module) -> Module {
    let mut module = Module {
        name: it.name.clone(),
        doc: it.doc.clone(),
        files: it.files.clone(),
        interfaces: Vec::new(),
        structs: Vec::new(),
        sequences: Vec::new(),
        dictionaries: Vec::new(),
        enums: Vec::new(),
        exceptions: Vec::new(),
        constants: Vec::new(),
    };
    for element in &it.elements {
        match *element {
            Element::Interface(id) => module.interfaces.push(interface(model, id)),
            Element::Struct(id) => {
                let it = model.struct_(id);
                module.structs.push(Struct {
                    name: it.name.clone(),
                    doc: it.doc.clone(),
                    deprecated: it.deprecated.clone(),
                    members: members(model, &it.members),
                });
            }
            Element::Exception(id) => {
                let it = model.exception(id);
                module.exceptions.push(Struct {
                    name: it.name.clone(),
                    doc: it.doc.clone(),
                    deprecated: it.deprecated.clone(),
                    members: members(model, &it.members),
                });
            }
            Element::Enum(id) => module.enums.push(enumeration(model.enum_(id))),
            Element::Constant(id) => module.constants.push(constant(model, model.constant(id))),
            Element::Sequence(id) => {
                let it = model.sequence(id);
                module.sequences.push(Sequence {
                    name: it.name.clone(),
                    doc: it.doc.clone(),
                    element: ty(model, it.element),
                });
            }
            Element::Dictionary(id) => {
                let it = model.dictionary(id);
                module.dictionaries.push(Dictionary {
                    name: it.name.clone(),
                    doc: it.doc.clone(),
                    key: ty(model, it.key),
                    value: ty(model, it.value),
                });
            }
        }
    }
    module
}

/// A type as a description spells it.
fn ty(model: &Model, ty: Type) -> String {
    match model.declared(ty) {
        Some((module, name)) => model.full_name(module, name),
        // Builtin types are spelt the same in every module.
        None => model.spell(Some(ty), ModuleId(0)),
    }
}

fn members(model: &Model, members: &[model::Member]) -> Vec<Member> {
    let members = members.iter().map(|member| Member {
        name: member.name.clone(),
        r#type: ty(model, member.ty),
        doc: member.doc.clone(),
        deprecated: member.deprecated.clone(),
    });
    members.collect()
}

fn enumeration(it: &model::Enum) -> Enum {
    let members = it.members.iter().map(|member| EnumMember {
        name: member.name.clone(),
        number: member.number,
        doc: member.doc.clone(),
        deprecated: member.deprecated.clone(),
    });
    Enum {
        name: it.name.clone(),
        doc: it.doc.clone(),
        deprecated: it.deprecated.clone(),
        members: members.collect(),
    }
}

fn constant(model: &Model, it: &model::Constant) -> Constant {
    Constant {
        name: it.name.clone(),
        doc: it.doc.clone(),
        r#type: ty(model, it.ty),
        value: match &it.value {
            ConstantValue::Bool(value) => Value::Bool(*value),
            ConstantValue::Integer(value) => Value::Integer(*value),
            ConstantValue::Float(value) => Value::Float(*value),
            ConstantValue::String(value) => Value::String(value.clone()),
        },
    }
}

fn interface(model: &Model, id: InterfaceId) -> Interface {
    let it = model.interface(id);
    let full_name = |it: &model::Interface| model.full_name(it.module, &it.name);
    let bases = model.lineage(id).skip(1).map(|id| {
        let base = model.interface(id);
        Inherited {
            from: full_name(base),
            index: base.index,
            operations: operations(model, base, it.module),
        }
    });
    Interface {
        name: it.name.clone(),
        index: it.index,
        doc: it.doc.clone(),
        comment: it.comment.clone(),
        deprecated: it.deprecated.clone(),
        extends: it.base.map(|base| full_name(model.interface(base))),
        skeleton: it.skeleton_default,
        skeletons: it.skeletons.clone(),
        tasks: it.tasks.clone(),
        operations: operations(model, it, it.module),
        inherited: bases.collect(),
    }
}

/// The operations of an interface, with signatures as module `from` spells them.
fn operations(model: &Model, interface: &model::Interface, from: ModuleId) -> Vec<Operation> {
    let operations = interface.operations.iter().map(|it| Operation {
        name: it.name.clone(),
        index: it.index,
        doc: it.doc.clone(),
        comment: it.comment.clone(),
        deprecated: it.deprecated.clone(),
        idempotent: it.idempotent,
        returns: it
            .returns
            .map_or("void".to_owned(), |returns| ty(model, returns)),
        parameters: it
            .parameters
            .iter()
            .map(|parameter| Parameter {
                name: parameter.name.clone(),
                r#type: ty(model, parameter.ty),
                doc: parameter.doc.clone(),
            })
            .collect(),
        throws: it
            .throws
            .iter()
            .map(|id| model.exception_name(*id))
            .collect(),
        signature: model.signature(it, from),
    });
    operations.collect()
}

fn select(mut from: Description, given: &str) -> Result<Description, UnknownName> {
    let name = given.replace("::", ".");
    let names = names(&from.modules);
    let is_whole = names.contains(&name);
    let chosen = |full: &str| match is_whole {
        true => full == name,
        false => is_end(full, &name),
    };
    if !names.iter().any(|full| chosen(full)) {
        return Err(UnknownName {
            name: given.to_owned(),
            near: nearest_end(&name, &names),
        });
    }
    from.modules.retain_mut(|module| {
        let full = module.name.clone();
        chosen(&full) || select_module(module, &chosen)
    });
    Ok(from)
}

/// The full names of everything that can be selected.
fn names(modules: &[Module]) -> Vec<String> {
    let mut names = Vec::new();
    for module in modules {
        names.push(module.name.clone());
        let full = |name: &str| format!("{}.{name}", module.name);
        for interface in &module.interfaces {
            let interface_name = full(&interface.name);
            let operations = interface.operations.iter();
            names.extend(operations.map(|it| format!("{interface_name}.{}", it.name)));
            names.push(interface_name);
        }
        names.extend(module.structs.iter().map(|it| full(&it.name)));
        names.extend(module.sequences.iter().map(|it| full(&it.name)));
        names.extend(module.dictionaries.iter().map(|it| full(&it.name)));
        names.extend(module.enums.iter().map(|it| full(&it.name)));
        names.extend(module.exceptions.iter().map(|it| full(&it.name)));
        names.extend(module.constants.iter().map(|it| full(&it.name)));
    }
    names
}

/// Keeps the chosen declarations of a module. Returns whether there are any.
fn select_module(module: &mut Module, chosen: &impl Fn(&str) -> bool) -> bool {
    let prefix = module.name.clone();
    let keep = |name: &str| chosen(&format!("{prefix}.{name}"));
    module
        .interfaces
        .retain_mut(|it| keep(&it.name) || select_operations(it, &prefix, chosen));
    module.structs.retain(|it| keep(&it.name));
    module.sequences.retain(|it| keep(&it.name));
    module.dictionaries.retain(|it| keep(&it.name));
    module.enums.retain(|it| keep(&it.name));
    module.exceptions.retain(|it| keep(&it.name));
    module.constants.retain(|it| keep(&it.name));
    module.interfaces.len()
        + module.structs.len()
        + module.sequences.len()
        + module.dictionaries.len()
        + module.enums.len()
        + module.exceptions.len()
        + module.constants.len()
        > 0
}

/// Keeps the chosen operations of an interface. Returns whether there are any.
fn select_operations(
    interface: &mut Interface,
    module: &str,
    chosen: &impl Fn(&str) -> bool,
) -> bool {
    let prefix = format!("{module}.{}", interface.name);
    interface
        .operations
        .retain(|it| chosen(&format!("{prefix}.{}", it.name)));
    interface.inherited.clear();
    !interface.operations.is_empty()
}
