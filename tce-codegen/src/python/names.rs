//! Every Python name of the output, decided here alone.
//!
//! Python has the names of the IDL, as TCE's own compiler gives them, with an
//! underscore behind a keyword, behind a type's name that is builtin, and behind a name
//! that generated code needs itself.
//! A name that begins with two underscores gets a letter before them: Python
//! gives such names another meaning.

use std::collections::{BTreeSet, HashMap};

use tce_idl::model::{
    ConstantId, DictionaryId, EnumId, ExceptionId, Interface, InterfaceId, Member, Model, ModuleId,
    Operation, SequenceId, StructId, Type,
};

use super::LANGUAGE;
use crate::naming::Scope;

/// Names that generated code uses: the runtime, the feature `annotations`, and the attribute
/// of servants, which would hide a type of its name.
const RESERVED_TYPES: &[&str] = &["_interface", "_rt", "annotations"];

/// The module of what clients of tasks use, where they are asked for.
const TASKS: &str = "_tasks";

/// What clients of tasks have themselves.
const RESERVED_TASKS: &[&str] = &["_group", "_interface", "_rt", "_task", "_tasks", "in_group"];

/// Python's builtin names up to 3.14. Generated code uses some of them, and type checkers
/// take an annotation for the builtin one where a type of its name is declared later.
const BUILTINS: &str = "abs aiter all anext any ArithmeticError ascii AssertionError AttributeError \
    BaseException BaseExceptionGroup bin BlockingIOError breakpoint BrokenPipeError \
    BufferError bytearray bytes BytesWarning callable ChildProcessError chr classmethod \
    compile complex ConnectionAbortedError ConnectionError ConnectionRefusedError \
    ConnectionResetError copyright credits delattr DeprecationWarning dict dir divmod \
    Ellipsis EncodingWarning enumerate EnvironmentError EOFError eval Exception \
    ExceptionGroup exec exit FileExistsError FileNotFoundError filter FloatingPointError \
    format frozenset FutureWarning GeneratorExit getattr globals hasattr hash help hex \
    id ImportError ImportWarning IndentationError IndexError input InterruptedError \
    IOError IsADirectoryError isinstance issubclass iter KeyboardInterrupt KeyError len \
    license list locals LookupError map max MemoryError memoryview min \
    ModuleNotFoundError NameError next NotADirectoryError NotImplemented \
    NotImplementedError object oct open ord OSError OverflowError \
    PendingDeprecationWarning PermissionError pow print ProcessLookupError property \
    PythonFinalizationError quit range RecursionError ReferenceError repr \
    ResourceWarning reversed round RuntimeError RuntimeWarning set setattr slice sorted \
    staticmethod StopAsyncIteration StopIteration str sum super SyntaxError \
    SyntaxWarning SystemError SystemExit TabError TimeoutError tuple type TypeError \
    UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError \
    UnicodeTranslateError UnicodeWarning UserWarning ValueError vars Warning \
    ZeroDivisionError zip";

/// Names that bodies of generated classes look up.
const RESERVED_IN_CLASSES: &[&str] = &["_rt", "str"];

/// What an exception has itself, and the parameters of its constructor beside the members.
const RESERVED_IN_EXCEPTIONS: &[&str] = &[
    "_members",
    "add_note",
    "args",
    "can_retry",
    "close_code",
    "code",
    "of_call",
    "operation",
    "peer",
    "self",
    "side",
    "text",
    "what",
    "with_traceback",
];

/// The attributes of Python's `IntEnum`.
const RESERVED_IN_ENUMS: &[&str] = &[
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "denominator",
    "from_bytes",
    "imag",
    "is_integer",
    "is_known",
    "mro",
    "name",
    "numerator",
    "real",
    "to_bytes",
    "value",
];

/// The methods and attributes that all proxies and servants have, in either API.
const RESERVED_METHODS: &[&str] = &[
    "_call",
    "_call_async",
    "_call_blocking",
    "_call_oneway",
    "_connection",
    "_copy",
    "_defaults",
    "_extra",
    "_interface",
    "_linger",
    "_seconds",
    "_timeout",
    "conn",
    "connect",
    "connection",
    "create",
    "createWithProxy",
    "to_caller",
    "to_user",
    "with_deadline_of",
    "with_extra",
    "with_linger",
    "with_timeout",
];

/// The parameters that generated methods add, and `self`.
const RESERVED_PARAMETERS: &[&str] = &[
    "_rt", "callback", "cookie", "ctx", "extra", "on_error", "self", "timeout",
];

/// The Python names of everything in a model.
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
    /// The class or alias.
    pub(super) name: String,
    /// The constant that marshals it.
    pub(super) codec: String,
}

/// The names that come from one interface.
pub(super) struct InterfaceNames {
    /// The class that servants extend.
    pub(super) servant: String,
    /// Its second name, `ServerServant`; `None` if the IDL declares another element of that name.
    pub(super) servant_alias: Option<String>,
    /// The class that calls the interface.
    pub(super) proxy: String,
    /// The class that calls it at all members of a topic.
    pub(super) multi_call: String,
    /// Of its own operations, in declared order.
    pub(super) operations: Vec<OperationNames>,
    /// Of its client of tasks, where it is asked for.
    pub(super) tasks: Option<TaskNames>,
}

/// The names of a client of tasks.
pub(super) struct TaskNames {
    /// The class.
    pub(super) class: String,
    /// Of its own operations, in declared order.
    pub(super) methods: Vec<String>,
}

/// The names that come from one operation.
pub(super) struct OperationNames {
    /// The method of the servant and of the proxy.
    pub(super) method: String,
    /// The proxy's method for a call that is awaited later.
    pub(super) method_async: String,
    /// The proxy's method for a oneway call; only for `void`.
    pub(super) method_oneway: Option<String>,
    /// The module's constant that describes the operation.
    pub(super) constant: String,
    /// In declared order.
    pub(super) parameters: Vec<String>,
}

impl Names {
    pub(super) fn of(model: &Model, has_tasks: bool) -> Self {
        let mut scope = Scope::new([]);
        let modules: Vec<_> = model
            .modules
            .iter()
            .map(|module| claim(&mut scope, &module.name))
            .collect();
        let aliases: Vec<_> = modules.iter().map(|name| alias(name)).collect();
        let mut scopes: Vec<Scope> = model
            .modules
            .iter()
            .map(|_| {
                let aliases = aliases.iter().map(String::as_str);
                let tasks = has_tasks.then_some(TASKS);
                let reserved = RESERVED_TYPES.iter().copied().chain(aliases).chain(tasks);
                Scope::new(reserved.chain(BUILTINS.split_ascii_whitespace()))
            })
            .collect();
        let mut claim_in =
            |module: ModuleId, name: &str| claim(&mut scopes[module.0 as usize], name);
        // All names that programs use come before those that only generated code uses.
        let classes: Vec<_> = model
            .interfaces
            .iter()
            .map(|interface| {
                let servant = claim_in(interface.module, &interface.name);
                let proxy = claim_in(interface.module, &format!("{}Prx", interface.name));
                (servant, proxy)
            })
            .collect();
        let (structs, sequences, dictionaries) = (
            claim_all(
                model.structs.iter().map(|it| (it.module, &it.name)),
                &mut claim_in,
            ),
            claim_all(
                model.sequences.iter().map(|it| (it.module, &it.name)),
                &mut claim_in,
            ),
            claim_all(
                model.dictionaries.iter().map(|it| (it.module, &it.name)),
                &mut claim_in,
            ),
        );
        let exceptions = claim_all(
            model.exceptions.iter().map(|it| (it.module, &it.name)),
            &mut claim_in,
        );
        let enums = claim_all(
            model.enums.iter().map(|it| (it.module, &it.name)),
            &mut claim_in,
        );
        let constants = claim_all(
            model.constants.iter().map(|it| (it.module, &it.name)),
            &mut claim_in,
        );
        let aliases: Vec<_> = model
            .interfaces
            .iter()
            .map(|interface| {
                let wanted = format!("{}Servant", interface.name);
                let claimed = claim_in(interface.module, &wanted);
                (claimed == wanted).then_some(wanted)
            })
            .collect();
        let mut names = Self {
            modules,
            structs: with_codecs(structs, &mut claim_in),
            sequences: with_codecs(sequences, &mut claim_in),
            dictionaries: with_codecs(dictionaries, &mut claim_in),
            exceptions: with_codecs(exceptions, &mut claim_in),
            enums: with_codecs(enums, &mut claim_in),
            constants: constants.into_iter().map(|(_, name)| name).collect(),
            interfaces: Vec::new(),
        };
        names.interfaces = names.all_interfaces(model, &classes, &mut claim_in);
        for (interface, alias) in names.interfaces.iter_mut().zip(aliases) {
            interface.servant_alias = alias;
        }
        if has_tasks {
            for (interface, names) in model.interfaces.iter().zip(&mut names.interfaces) {
                let wanted = format!("{}Tasks", interface.name);
                names.tasks = Some(TaskNames {
                    class: claim_in(interface.module, &wanted),
                    methods: Vec::new(),
                });
            }
            names.name_task_methods(model);
        }
        // Last, so that they rename nothing in files from before them.
        for (names, interface) in names.interfaces.iter_mut().zip(&model.interfaces) {
            names.multi_call = claim_in(interface.module, &format!("{}Multi", interface.name));
        }
        names
    }

    /// Names the methods of the clients of tasks, which have those of their bases.
    fn name_task_methods(&mut self, model: &Model) {
        for id in (0..).map(InterfaceId).take(model.interfaces.len()) {
            let mut scope = Scope::new(RESERVED_TASKS.iter().copied());
            let mut lineage: Vec<_> = model.lineage(id).collect();
            lineage.reverse();
            let mut methods = Vec::new();
            for id in lineage {
                let operations = &self.interfaces[id.0 as usize].operations;
                let operations = operations.iter();
                methods = operations
                    .map(|it| scope.claim(it.method.clone()))
                    .collect();
            }
            if let Some(tasks) = &mut self.interfaces[id.0 as usize].tasks {
                tasks.methods = methods;
            }
        }
    }

    fn all_interfaces(
        &self,
        model: &Model,
        classes: &[(String, String)],
        claim_in: &mut impl FnMut(ModuleId, &str) -> String,
    ) -> Vec<InterfaceNames> {
        let mut methods = HashMap::new();
        let mut operations: HashMap<InterfaceId, Vec<OperationNames>> = HashMap::new();
        for id in (0..).map(InterfaceId).take(model.interfaces.len()) {
            let mut lineage: Vec<_> = model.lineage(id).collect();
            lineage.reverse();
            for id in lineage {
                if operations.contains_key(&id) {
                    continue;
                }
                let interface = model.interface(id);
                // A class has the methods of its bases, so theirs are claimed first.
                let inherited = interface.base.and_then(|base| methods.get(&base));
                let mut scope: Scope = inherited
                    .cloned()
                    .unwrap_or_else(|| Scope::new(RESERVED_METHODS.iter().copied()));
                RESERVED_IN_CLASSES
                    .iter()
                    .for_each(|name| scope.reserve(name));
                let proxy = &classes[id.0 as usize].1;
                scope.reserve(proxy);
                self.types_of(model, interface)
                    .iter()
                    .for_each(|name| scope.reserve(name));
                let names = interface
                    .operations
                    .iter()
                    .map(|it| operation(&mut scope, interface, it, claim_in))
                    .collect();
                methods.insert(id, scope);
                operations.insert(id, names);
            }
        }
        (0..)
            .map(InterfaceId)
            .zip(classes)
            .map(|(id, (servant, proxy))| InterfaceNames {
                servant: servant.clone(),
                servant_alias: None,
                proxy: proxy.clone(),
                multi_call: String::new(),
                operations: operations.remove(&id).unwrap_or_default(),
                tasks: None,
            })
            .collect()
    }

    /// The names of this module's types that the operations of an interface use: a method
    /// of such a name would hide the type from the annotations of the class.
    fn types_of(&self, model: &Model, interface: &Interface) -> BTreeSet<String> {
        let operations = interface.operations.iter();
        let types = operations.flat_map(|it| {
            let parameters = it.parameters.iter().map(|parameter| parameter.ty);
            parameters.chain(it.returns)
        });
        types
            .filter_map(|ty| self.annotation(model, ty, interface.module))
            .collect()
    }

    /// The first name of the annotation of a declared type, as `module` spells it.
    fn annotation(&self, model: &Model, ty: Type, module: ModuleId) -> Option<String> {
        let (declared_in, _) = model.declared(ty)?;
        if declared_in == module {
            self.type_(ty).map(|names| names.name.clone())
        } else {
            Some(self.module_alias(declared_in))
        }
    }

    /// The names of a struct's members, in declared order.
    pub(super) fn members(&self, model: &Model, id: StructId) -> Vec<String> {
        let structure = model.struct_(id);
        self.members_in(model, structure.module, &structure.members, &[])
    }

    /// The names of an exception's members, in declared order.
    pub(super) fn exception_members(&self, model: &Model, id: ExceptionId) -> Vec<String> {
        let exception = model.exception(id);
        let (module, members) = (exception.module, &exception.members);
        self.members_in(model, module, members, RESERVED_IN_EXCEPTIONS)
    }

    fn members_in(
        &self,
        model: &Model,
        module: ModuleId,
        members: &[Member],
        reserved: &[&'static str],
    ) -> Vec<String> {
        let mut scope = Scope::new(RESERVED_IN_CLASSES.iter().chain(reserved).copied());
        for member in members {
            if let Some(name) = self.annotation(model, member.ty, module) {
                scope.reserve(&name);
            }
        }
        let members = members.iter();
        members
            .map(|member| claim(&mut scope, &member.name))
            .collect()
    }

    /// The names of an enum's members, in declared order.
    pub(super) fn enum_members(model: &Model, id: EnumId) -> Vec<String> {
        let reserved = RESERVED_IN_CLASSES.iter().chain(RESERVED_IN_ENUMS);
        let mut scope = Scope::new(reserved.copied());
        let members = model.enum_(id).members.iter();
        members
            .map(|member| match member.name.starts_with('_') {
                // Python gives some of these another meaning.
                true => claim(&mut scope, &format!("n{}", member.name)),
                false => claim(&mut scope, &member.name),
            })
            .collect()
    }

    /// The name of a module, which its file has too.
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

    pub(super) fn constant(&self, id: ConstantId) -> &String {
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

/// Of a module: with an underscore, so that `import *` leaves it out.
fn alias(module: &str) -> String {
    format!("_{module}")
}

fn claim_all<'a>(
    declared: impl Iterator<Item = (ModuleId, &'a String)>,
    claim_in: &mut impl FnMut(ModuleId, &str) -> String,
) -> Vec<(ModuleId, String)> {
    declared
        .map(|(module, name)| (module, claim_in(module, name)))
        .collect()
}

fn with_codecs(
    types: Vec<(ModuleId, String)>,
    claim_in: &mut impl FnMut(ModuleId, &str) -> String,
) -> Vec<TypeNames> {
    types
        .into_iter()
        .map(|(module, name)| TypeNames {
            codec: claim_in(module, &format!("{name}Codec")),
            name,
        })
        .collect()
}

fn operation(
    methods: &mut Scope,
    interface: &Interface,
    operation: &Operation,
    claim_in: &mut impl FnMut(ModuleId, &str) -> String,
) -> OperationNames {
    let name = &operation.name;
    let constant = claim_in(interface.module, &format!("_{}_{name}", interface.name));
    let mut parameters = Scope::new(RESERVED_PARAMETERS.iter().copied());
    parameters.reserve(&constant);
    OperationNames {
        method: claim(methods, name),
        method_async: claim(methods, &format!("{name}_async")),
        method_oneway: operation
            .returns
            .is_none()
            .then(|| claim(methods, &format!("{name}_oneway"))),
        constant,
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
    if name.starts_with("__") {
        name.insert(0, 'n');
    }
    scope.claim(name)
}
