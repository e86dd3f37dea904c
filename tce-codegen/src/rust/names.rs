//! Every Rust name of the output, decided here alone.
//!
//! Names are claimed in declared order, bases before what extends them, so that
//! appending to an IDL renames nothing that was there. An interface claims
//! before the structs of its module: `ServerPrx` is always a proxy. Only the traits
//! of clients and the clients of tasks claim last, so that they rename no type of an IDL:
//! an interface `ServerClient` may stand beside `Server`.

use proc_macro2::{Ident, Span};
use tce_idl::model::{
    ConstantId, DictionaryId, EnumId, ExceptionId, InterfaceId, Model, ModuleId, Operation,
    SequenceId, StructId,
};

use super::LANGUAGE;
use crate::naming::{self, shouty_snake, snake, upper_camel};

/// Names that generated code takes from std's prelude, and `T`, the type
/// parameter of servants.
const RESERVED_TYPES: &[&str] = &[
    "Option", "Result", "Self", "Send", "String", "Sync", "T", "Vec",
];

/// The methods of `TypedProxy`, of clients and of the prelude's traits that an
/// operation would hide, and `len`, beside which clippy expects an `is_empty`. `ping` is
/// missing: an interface's own `ping` hides that of the built-in interface.
const RESERVED_METHODS: &[&str] = &[
    "clone",
    "connect",
    "connection",
    "fallback_proxy",
    "into",
    "len",
    "new",
    "to_caller",
    "to_user",
    "to_user_anywhere",
    "try_into",
    "with_deadline_of",
    "with_extra",
    "with_linger",
    "with_timeout",
];

/// The methods of clients of tasks, and of the prelude's traits.
const RESERVED_TASKS: &[&str] = &["clone", "in_group", "into", "len", "new", "try_into"];

/// The variables around a parameter in generated functions.
const RESERVED_PARAMETERS: &[&str] = &["ctx", "servant"];

/// Keywords that can't be written as `r#…`.
const NEVER_RAW: &[&str] = &["crate", "self", "super"];

/// The Rust names of everything in a model.
pub(super) struct Names {
    modules: Vec<Ident>,
    structs: Vec<Ident>,
    exceptions: Vec<Ident>,
    enums: Vec<EnumNames>,
    constants: Vec<Ident>,
    sequences: Vec<Ident>,
    dictionaries: Vec<Ident>,
    interfaces: Vec<InterfaceNames>,
    /// The traits of what calls an interface, by interface.
    clients: Vec<Ident>,
    /// What calls an interface at all members of a topic, by interface.
    multi_calls: Vec<Ident>,
    /// The structs that send the operations of an interface as tasks, by interface.
    task_clients: Vec<TaskNames>,
}

/// The names of a client of tasks.
pub(super) struct TaskNames {
    /// The struct.
    pub(super) name: Ident,
    /// Its methods: for the operations of each interface of the lineage, the last base first.
    pub(super) methods: Vec<Vec<TaskMethods>>,
}

/// The names of an operation in a client of tasks.
pub(super) struct TaskMethods {
    /// The method that makes a task.
    pub(super) call: Ident,
    /// The method that makes a further step of a chain.
    pub(super) step: Ident,
}

/// The names that come from one enum.
pub(super) struct EnumNames {
    /// The struct around the number.
    pub(super) name: Ident,
    /// The constants of its members, in declared order.
    pub(super) members: Vec<Ident>,
}

/// The names that come from one interface.
pub(super) struct InterfaceNames {
    /// The trait that servants implement.
    pub(super) servant_trait: Ident,
    /// The struct that serves an implementation of the trait.
    pub(super) servant: Ident,
    /// The function that calls the trait's method for an operation index.
    pub(super) dispatch: Ident,
    /// The struct that calls the interface.
    pub(super) proxy: Ident,
    /// Of its own operations, in declared order.
    pub(super) operations: Vec<OperationNames>,
}

/// The names that come from one operation.
pub(super) struct OperationNames {
    /// The method of the servant and of the proxy.
    pub(super) method: Ident,
    /// The proxy's method under TCE's name for it.
    pub(super) method_async: Ident,
    /// The proxy's method for a oneway call; only for `void`.
    pub(super) method_oneway: Option<Ident>,
    /// The proxy's constant that describes the operation.
    pub(super) constant: Ident,
    /// In declared order.
    pub(super) parameters: Vec<Ident>,
}

impl Names {
    pub(super) fn of(model: &Model) -> Self {
        let mut scope = Scope::new(&[]);
        let modules = model
            .modules
            .iter()
            .map(|module| scope.claim(snake(&module.name)))
            .collect();
        let mut scopes: Vec<Scopes> = model.modules.iter().map(|_| Scopes::new()).collect();
        let interfaces = (0..)
            .zip(&model.interfaces)
            .map(|(id, interface)| {
                scopes[interface.module.0 as usize].interface(model, InterfaceId(id))
            })
            .collect();
        let constants = model.constants.iter();
        let constants = constants.map(|it| {
            let values = &mut scopes[it.module.0 as usize].values;
            values.claim(shouty_snake(&it.name))
        });
        let constants = constants.collect();
        let mut claim =
            |module: ModuleId, name: &str| scopes[module.0 as usize].types.claim(upper_camel(name));
        Self {
            modules,
            structs: model
                .structs
                .iter()
                .map(|s| claim(s.module, &s.name))
                .collect(),
            sequences: model
                .sequences
                .iter()
                .map(|s| claim(s.module, &s.name))
                .collect(),
            dictionaries: model
                .dictionaries
                .iter()
                .map(|d| claim(d.module, &d.name))
                .collect(),
            // Last, so that they rename nothing in files from before them.
            exceptions: model
                .exceptions
                .iter()
                .map(|it| claim(it.module, &it.name))
                .collect(),
            enums: model
                .enums
                .iter()
                .map(|it| EnumNames {
                    name: claim(it.module, &it.name),
                    members: enum_members(it.members.iter().map(|member| member.name.as_str())),
                })
                .collect(),
            constants,
            interfaces,
            clients: model
                .interfaces
                .iter()
                .map(|i| claim(i.module, &format!("{}Client", upper_camel(&i.name))))
                .collect(),
            multi_calls: model
                .interfaces
                .iter()
                .map(|i| claim(i.module, &format!("{}Multi", upper_camel(&i.name))))
                .collect(),
            task_clients: (0..)
                .map(InterfaceId)
                .zip(&model.interfaces)
                .map(|(id, i)| TaskNames {
                    name: claim(i.module, &format!("{}Tasks", upper_camel(&i.name))),
                    methods: task_methods(model, id),
                })
                .collect(),
        }
    }

    pub(super) fn module(&self, id: ModuleId) -> &Ident {
        &self.modules[id.0 as usize]
    }

    pub(super) fn struct_(&self, id: StructId) -> &Ident {
        &self.structs[id.0 as usize]
    }

    pub(super) fn exception(&self, id: ExceptionId) -> &Ident {
        &self.exceptions[id.0 as usize]
    }

    pub(super) fn enum_(&self, id: EnumId) -> &EnumNames {
        &self.enums[id.0 as usize]
    }

    pub(super) fn constant(&self, id: ConstantId) -> &Ident {
        &self.constants[id.0 as usize]
    }

    pub(super) fn sequence(&self, id: SequenceId) -> &Ident {
        &self.sequences[id.0 as usize]
    }

    pub(super) fn dictionary(&self, id: DictionaryId) -> &Ident {
        &self.dictionaries[id.0 as usize]
    }

    pub(super) fn interface(&self, id: InterfaceId) -> &InterfaceNames {
        &self.interfaces[id.0 as usize]
    }

    pub(super) fn task_client(&self, id: InterfaceId) -> &TaskNames {
        &self.task_clients[id.0 as usize]
    }

    pub(super) fn client(&self, id: InterfaceId) -> &Ident {
        &self.clients[id.0 as usize]
    }

    pub(super) fn multi_call(&self, id: InterfaceId) -> &Ident {
        &self.multi_calls[id.0 as usize]
    }
}

/// The methods of a client of tasks, which has no base: the operations of bases are among them.
fn task_methods(model: &Model, id: InterfaceId) -> Vec<Vec<TaskMethods>> {
    let mut scope = Scope::new(RESERVED_TASKS);
    let mut lineage: Vec<_> = model.lineage(id).collect();
    lineage.reverse();
    let methods = lineage.into_iter().map(|id| {
        let operations = model.interface(id).operations.iter();
        let names = operations.map(|operation| TaskMethods {
            call: scope.claim(method(&operation.name)),
            step: scope.claim(method(&format!("{}_step", operation.name))),
        });
        names.collect()
    });
    methods.collect()
}

/// The names of a struct's members, in declared order.
pub(super) fn members<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Ident> {
    let mut scope = Scope::new(&[]);
    names
        .into_iter()
        .map(|name| scope.claim(snake(name)))
        .collect()
}

fn enum_members<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Ident> {
    let mut scope = Scope::new(&[]);
    names.map(|name| scope.claim(shouty_snake(name))).collect()
}

/// The namespaces of a module. A constant is a value, as functions are, but its
/// upper case keeps it apart from them and, except for some names of one letter,
/// from the types.
struct Scopes {
    types: Scope,
    functions: Scope,
    values: Scope,
}

impl Scopes {
    fn new() -> Self {
        Self {
            types: Scope::new(RESERVED_TYPES),
            functions: Scope::new(&[]),
            values: Scope::new(&[]),
        }
    }

    fn interface(&mut self, model: &Model, id: InterfaceId) -> InterfaceNames {
        let name = &model.interface(id).name;
        InterfaceNames {
            servant_trait: self.types.claim(upper_camel(name)),
            servant: self.types.claim(upper_camel(name) + "Servant"),
            dispatch: self.functions.claim(format!("dispatch_{}", snake(name))),
            proxy: self.types.claim(upper_camel(name) + "Prx"),
            operations: self.operations(model, id),
        }
    }

    /// A proxy has the operations of all its bases, so theirs are claimed first.
    fn operations(&mut self, model: &Model, id: InterfaceId) -> Vec<OperationNames> {
        let mut methods = Scope::new(RESERVED_METHODS);
        let mut bases: Vec<_> = model.lineage(id).skip(1).collect();
        bases.reverse();
        for base in bases {
            for operation in &model.interface(base).operations {
                methods.operation(operation);
            }
        }
        let operations = &model.interface(id).operations;
        operations
            .iter()
            .map(|operation| methods.operation(operation))
            .collect()
    }
}

/// A [`naming::Scope`] of identifiers.
struct Scope(naming::Scope);

impl Scope {
    fn new(reserved: &[&'static str]) -> Self {
        let reserved = reserved.iter().chain(NEVER_RAW);
        Self(naming::Scope::new(reserved.copied()))
    }

    fn claim(&mut self, name: String) -> Ident {
        ident(&self.0.claim(name))
    }

    fn operation(&mut self, operation: &Operation) -> OperationNames {
        let name = method(&operation.name);
        let suffixed = |suffix: &str| method(&format!("{}_{suffix}", operation.name));
        let mut parameters = Scope::new(RESERVED_PARAMETERS);
        OperationNames {
            method: self.claim(name.clone()),
            method_async: self.claim(suffixed("async")),
            method_oneway: operation
                .returns
                .is_none()
                .then(|| self.claim(suffixed("oneway"))),
            constant: self.claim(shouty_snake(&name)),
            parameters: operation
                .parameters
                .iter()
                .map(|p| parameters.claim(snake(&p.name)))
                .collect(),
        }
    }
}

/// A method that starts with `from_` or `into_` would promise a conversion.
fn method(name: &str) -> String {
    let name = snake(name);
    if name.starts_with("from_") || name.starts_with("into_") {
        format!("call_{name}")
    } else {
        name
    }
}

fn ident(name: &str) -> Ident {
    // The table leaves out what no IDL can declare; `Struct` becomes `struct` here.
    if LANGUAGE.has_keyword(name) || name == "struct" {
        Ident::new_raw(name, Span::call_site())
    } else {
        Ident::new(name, Span::call_site())
    }
}
