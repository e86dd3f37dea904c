//! Every TypeScript name of the output, decided here alone.
//!
//! TypeScript has the names of the IDL, as TCE's own compiler gives them, with an
//! underscore behind a name that generated code needs itself, and, except for methods
//! and members, behind a keyword.

use std::collections::HashMap;

use tce_idl::model::{
    ConstantId, DictionaryId, EnumId, ExceptionId, InterfaceId, Model, ModuleId, Operation,
    SequenceId, StructId, Type,
};

use super::LANGUAGE;
use crate::naming::Scope;

/// Names of a module that generated code uses, and names that no type may have.
const RESERVED_TYPES: &[&str] = &[
    "Map",
    "Promise",
    "ReadonlyMap",
    "Uint8Array",
    "any",
    "arguments",
    "bigint",
    "boolean",
    "eval",
    "never",
    "number",
    "object",
    "rt",
    "string",
    "symbol",
    "undefined",
    "unknown",
    "void",
];

/// What all proxies have, and names that mean more than a method: an object with `then`
/// is taken for a promise, and `new` of an interface for its constructor.
const RESERVED_METHODS: &[&str] = &[
    "__proto__",
    "connection",
    "constructor",
    "defaults",
    "new",
    "oneway",
    "then",
    "twoway",
];

/// In an object literal it sets the prototype.
const RESERVED_MEMBERS: &[&str] = &["__proto__"];

/// What an exception has itself, and what its constructor has beside parameters.
const RESERVED_IN_EXCEPTIONS: &[&str] = &[
    "__proto__",
    "arguments",
    "canRetry",
    "cause",
    "closeCode",
    "code",
    "constructor",
    "details",
    "encodeMembers",
    "eval",
    "fault",
    "hasOwnProperty",
    "isPrototypeOf",
    "message",
    "name",
    "operation",
    "peer",
    "propertyIsEnumerable",
    "rt",
    "side",
    "stack",
    "text",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// What generated functions have beside parameters, and names that no parameter may have.
const RESERVED_PARAMETERS: &[&str] = &[
    "Infinity",
    "NaN",
    "arguments",
    "ctx",
    "eval",
    "options",
    "out",
    "rt",
    "servant",
    "undefined",
];

/// The TypeScript names of everything in a model.
pub(super) struct Names {
    modules: Vec<String>,
    structs: Vec<TypeNames>,
    sequences: Vec<TypeNames>,
    dictionaries: Vec<TypeNames>,
    exceptions: Vec<TypeNames>,
    enums: Vec<TypeNames>,
    constants: Vec<String>,
    interfaces: Vec<InterfaceNames>,
}

/// The names that come from one type or exception.
pub(super) struct TypeNames {
    /// The interface or alias.
    pub(super) name: String,
    /// The function that encodes it.
    pub(super) encode: String,
    /// The function that decodes it.
    pub(super) decode: String,
}

/// The names that come from one interface.
pub(super) struct InterfaceNames {
    /// The interface that servants implement.
    pub(super) servant: String,
    /// The class that calls the interface.
    pub(super) proxy: String,
    /// The function that makes a servant of an implementation.
    pub(super) serve: String,
    /// The function that gives its own operations.
    pub(super) operations_of: String,
    /// Of its own operations, in declared order.
    pub(super) operations: Vec<OperationNames>,
}

/// The names that come from one operation.
pub(super) struct OperationNames {
    /// The method of the servant and of the proxy.
    pub(super) method: String,
    /// The proxy's method for a oneway call; only for `void`.
    pub(super) method_oneway: Option<String>,
    /// In declared order.
    pub(super) parameters: Vec<String>,
}

/// The scopes of all modules.
struct Scopes(Vec<Scope>);

impl Scopes {
    fn claim(&mut self, module: ModuleId, name: &str) -> String {
        claim(&mut self.0[module.0 as usize], name)
    }
}

impl Names {
    pub(super) fn of(model: &Model) -> Self {
        let modules: Vec<_> = model.modules.iter().map(|it| it.name.clone()).collect();
        let aliases: Vec<_> = modules.iter().map(|name| alias(name)).collect();
        let scope = || {
            let aliases = aliases.iter().map(String::as_str);
            Scope::new(RESERVED_TYPES.iter().copied().chain(aliases))
        };
        let mut scopes = Scopes(model.modules.iter().map(|_| scope()).collect());
        // All names that programs use come before those that only generated code uses.
        let classes: Vec<_> = model
            .interfaces
            .iter()
            .map(|interface| {
                let servant = scopes.claim(interface.module, &interface.name);
                let proxy = scopes.claim(interface.module, &format!("{}Prx", interface.name));
                (interface.module, servant, proxy)
            })
            .collect();
        let structs = model.structs.iter().map(|it| (it.module, &it.name));
        let sequences = model.sequences.iter().map(|it| (it.module, &it.name));
        let dictionaries = model.dictionaries.iter().map(|it| (it.module, &it.name));
        let structs = claim_all(structs, &mut scopes);
        let sequences = claim_all(sequences, &mut scopes);
        let dictionaries = claim_all(dictionaries, &mut scopes);
        let exceptions = model.exceptions.iter().map(|it| (it.module, &it.name));
        let enums = model.enums.iter().map(|it| (it.module, &it.name));
        let constants = model.constants.iter().map(|it| (it.module, &it.name));
        let exceptions = claim_all(exceptions, &mut scopes);
        let enums = claim_all(enums, &mut scopes);
        let constants = claim_all(constants, &mut scopes);
        let mut operations = operations(model);
        let interfaces = (0..).map(InterfaceId).zip(classes);
        let interfaces = interfaces
            .map(|(id, (module, servant, proxy))| InterfaceNames {
                serve: scopes.claim(module, &verb("serve", &servant)),
                operations_of: scopes.claim(module, &verb("operationsOf", &servant)),
                operations: operations.remove(&id).unwrap_or_default(),
                servant,
                proxy,
            })
            .collect();
        Self {
            modules,
            structs: with_codecs(structs, &mut scopes),
            sequences: with_codecs(sequences, &mut scopes),
            dictionaries: with_codecs(dictionaries, &mut scopes),
            exceptions: with_codecs(exceptions, &mut scopes),
            enums: with_codecs(enums, &mut scopes),
            constants: constants.into_iter().map(|(_, name)| name).collect(),
            interfaces,
        }
    }

    /// The names of a struct's members, in declared order.
    pub(super) fn members(model: &Model, id: StructId) -> Vec<String> {
        let mut scope = Scope::new(RESERVED_MEMBERS.iter().copied());
        let members = model.struct_(id).members.iter();
        members
            .map(|member| scope.claim(member.name.clone()))
            .collect()
    }

    /// The names of an exception's members, in declared order.
    pub(super) fn exception_members(model: &Model, id: ExceptionId) -> Vec<String> {
        let mut scope = Scope::new(RESERVED_IN_EXCEPTIONS.iter().copied());
        let members = model.exception(id).members.iter();
        members
            .map(|member| claim(&mut scope, &member.name))
            .collect()
    }

    /// The names of an enum's members, in declared order.
    pub(super) fn enum_members(model: &Model, id: EnumId) -> Vec<String> {
        let mut scope = Scope::new(RESERVED_MEMBERS.iter().copied());
        let members = model.enum_(id).members.iter();
        members
            .map(|member| scope.claim(member.name.clone()))
            .collect()
    }

    /// The name of a module, which its file has.
    pub(super) fn module(&self, id: ModuleId) -> &str {
        &self.modules[id.0 as usize]
    }

    /// The name under which other modules import this one.
    pub(super) fn module_alias(&self, id: ModuleId) -> String {
        alias(self.module(id))
    }

    /// The names of a declared type; `None` for a builtin one.
    pub(super) fn type_(&self, ty: Type) -> Option<&TypeNames> {
        match ty {
            Type::Enum(EnumId(id)) => self.enums.get(id as usize),
            Type::Struct(StructId(id)) => self.structs.get(id as usize),
            Type::Sequence(SequenceId(id)) => self.sequences.get(id as usize),
            Type::Dictionary(DictionaryId(id)) => self.dictionaries.get(id as usize),
            _ => None,
        }
    }

    pub(super) fn exception(&self, id: ExceptionId) -> &TypeNames {
        &self.exceptions[id.0 as usize]
    }

    pub(super) fn enum_(&self, id: EnumId) -> &TypeNames {
        &self.enums[id.0 as usize]
    }

    pub(super) fn constant(&self, id: ConstantId) -> &str {
        &self.constants[id.0 as usize]
    }

    pub(super) fn struct_(&self, id: StructId) -> &TypeNames {
        &self.structs[id.0 as usize]
    }

    pub(super) fn sequence(&self, id: SequenceId) -> &TypeNames {
        &self.sequences[id.0 as usize]
    }

    pub(super) fn dictionary(&self, id: DictionaryId) -> &TypeNames {
        &self.dictionaries[id.0 as usize]
    }

    pub(super) fn interface(&self, id: InterfaceId) -> &InterfaceNames {
        &self.interfaces[id.0 as usize]
    }
}

/// The name of a function for what has `name`: `encodePet`.
fn verb(verb: &str, name: &str) -> String {
    let mut rest = name.chars();
    let first = rest.next().map(|first| first.to_ascii_uppercase());
    verb.chars().chain(first).chain(rest).collect()
}

fn alias(module: &str) -> String {
    format!("_{module}")
}

fn claim_all<'a>(
    declared: impl Iterator<Item = (ModuleId, &'a String)>,
    scopes: &mut Scopes,
) -> Vec<(ModuleId, String)> {
    declared
        .map(|(module, name)| (module, scopes.claim(module, name)))
        .collect()
}

fn with_codecs(types: Vec<(ModuleId, String)>, scopes: &mut Scopes) -> Vec<TypeNames> {
    types
        .into_iter()
        .map(|(module, name)| TypeNames {
            encode: scopes.claim(module, &verb("encode", &name)),
            decode: scopes.claim(module, &verb("decode", &name)),
            name,
        })
        .collect()
}

/// The names of all operations. A proxy and a servant have the methods of their bases,
/// so those are claimed first.
fn operations(model: &Model) -> HashMap<InterfaceId, Vec<OperationNames>> {
    let mut scopes: HashMap<InterfaceId, Scope> = HashMap::new();
    let mut operations = HashMap::new();
    for id in (0..).map(InterfaceId).take(model.interfaces.len()) {
        let mut lineage: Vec<_> = model.lineage(id).collect();
        lineage.reverse();
        for id in lineage {
            if operations.contains_key(&id) {
                continue;
            }
            let interface = model.interface(id);
            let inherited = interface.base.and_then(|base| scopes.get(&base)).cloned();
            let mut scope =
                inherited.unwrap_or_else(|| Scope::new(RESERVED_METHODS.iter().copied()));
            let own = interface.operations.iter();
            let own: Vec<_> = own.map(|it| operation(&mut scope, it)).collect();
            scopes.insert(id, scope);
            operations.insert(id, own);
        }
    }
    operations
}

fn operation(methods: &mut Scope, operation: &Operation) -> OperationNames {
    let name = &operation.name;
    let mut parameters = Scope::new(RESERVED_PARAMETERS.iter().copied());
    let is_void = operation.returns.is_none();
    OperationNames {
        method: methods.claim(name.clone()),
        method_oneway: is_void.then(|| methods.claim(format!("{name}Oneway"))),
        parameters: operation
            .parameters
            .iter()
            .map(|parameter| claim(&mut parameters, &parameter.name))
            .collect(),
    }
}

fn claim(scope: &mut Scope, name: &str) -> String {
    let mut name = name.to_owned();
    if LANGUAGE.has_keyword(&name) {
        name.push('_');
    }
    scope.claim(name)
}
