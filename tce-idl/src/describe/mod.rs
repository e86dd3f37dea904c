//! What a model declares, to be read: as text, as JSON, as a gateway's list.

mod from;
mod select;
mod text;

use serde::Serialize;

pub use select::UnknownName;

use crate::model::Model;

/// Everything that a model declares, or a selection of it. Types are spelt as
/// `string` and `module.Name`.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// The version of this shape. It changes when a field goes or means something else.
    version: u32,
    modules: Vec<Module>,
}

#[derive(Debug, Clone, Serialize)]
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
}

#[derive(Debug, Clone, Serialize)]
struct Interface {
    name: String,
    index: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extends: Option<String>,
    operations: Vec<Operation>,
    /// What its bases declare, the nearest first: called by their indices.
    inherited: Vec<Inherited>,
}

#[derive(Debug, Clone, Serialize)]
struct Inherited {
    /// The base that declares the operations, as `module.Name`.
    from: String,
    /// Its index.
    index: u16,
    operations: Vec<Operation>,
}

#[derive(Debug, Clone, Serialize)]
struct Operation {
    name: String,
    index: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// A type, or `void`.
    returns: String,
    parameters: Vec<Parameter>,
    /// As the interface declares it. JSON has the parts.
    #[serde(skip)]
    signature: String,
}

#[derive(Debug, Clone, Serialize)]
struct Parameter {
    name: String,
    r#type: String,
}

#[derive(Debug, Clone, Serialize)]
struct Struct {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Serialize)]
struct Member {
    name: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct Sequence {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    element: String,
}

#[derive(Debug, Clone, Serialize)]
struct Dictionary {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    key: String,
    value: String,
}

impl Description {
    /// All that a model declares.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        Self {
            version: 1,
            modules: from::modules(model),
        }
    }

    /// What is called `name`: a module, an element or an operation, as
    /// `test`, `test.Server`, `test.Server.echo`, or by the end of that, as
    /// `Server` or `Server.echo`. Of several all, unless one has exactly this name.
    ///
    /// # Errors
    /// Nothing is called so; with the name that may be meant.
    pub fn only(self, name: &str) -> Result<Self, UnknownName> {
        select::only(self, name)
    }

    /// For people: interfaces and operations with their indices, types, documentation.
    #[must_use]
    pub fn text(&self) -> String {
        text::text(&self.modules)
    }

    /// For programs: one object, in lines.
    ///
    /// ```json
    /// {"version":1, "modules":[{"name":"test", "doc":"…", "files":["test.idl"],
    ///   "interfaces":[{"name":"Server", "index":2, "doc":"…", "comment":"…", "extends":"test.BaseServer",
    ///     "operations":[{"name":"echo", "index":0, "doc":"…", "comment":"…", "returns":"string",
    ///       "parameters":[{"name":"text", "type":"string"}]}],
    ///     "inherited":[{"from":"test.BaseServer", "index":0, "operations":[…]}]}],
    ///   "structs":[{"name":"Pet", "doc":"…", "members":[{"name":"age", "type":"int", "doc":"…"}]}],
    ///   "sequences":[{"name":"Pets", "doc":"…", "element":"test.Pet"}],
    ///   "dictionaries":[{"name":"Counts", "doc":"…", "key":"string", "value":"int"}]}]}
    /// ```
    ///
    /// A type is `string` and the like, or `module.Name`; an operation may also
    /// return `void`. `doc`, `comment` and `extends` are left out where there
    /// is nothing to say. Later versions of tce may add fields; where one goes
    /// or means something else, `version` is another.
    #[must_use]
    pub fn json(&self) -> String {
        // Strings and numbers alone: there is nothing here that JSON could not express.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The `<InterfaceDef>` of a gateway's services.xml, by index.
    #[must_use]
    pub fn interface_defs(&self) -> String {
        let interfaces = self.modules.iter().flat_map(|module| {
            let interfaces = module.interfaces.iter();
            interfaces.map(|it| (it.index, format!("{}.{}", module.name, it.name)))
        });
        let mut rows: Vec<_> = interfaces.collect();
        rows.sort();
        // A name is letters, digits and `_`: XML takes it as it is.
        let rows = rows
            .iter()
            .map(|(index, name)| format!("\t<if id=\"{index}\" name=\"{name}\"/>\n"));
        format!(
            "<InterfaceDef>\n{}</InterfaceDef>\n",
            rows.collect::<String>()
        )
    }
}
