//! The resolved model: what a set of `.idl` files means.
//!
//! The model refers by id, never by name, so that a back end looks nothing up.
//! A model without errors has passed every check: no struct contains itself, no
//! two operations of an interface have the same index.

mod layout;

use std::collections::BTreeMap;

use crate::diagnostic::Edit;
use crate::source::Span;

/// A module, by its position in [`Model::modules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u32);
/// A struct, by its position in [`Model::structs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StructId(pub u32);
/// An exception, by its position in [`Model::exceptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExceptionId(pub u32);
/// An enum, by its position in [`Model::enums`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnumId(pub u32);
/// A constant, by its position in [`Model::constants`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConstantId(pub u32);
/// A sequence, by its position in [`Model::sequences`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub u32);
/// A dictionary, by its position in [`Model::dictionaries`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DictionaryId(pub u32);
/// An interface, by its position in [`Model::interfaces`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub u32);

/// Everything that one compilation declares.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The modules, in the order in which they are first opened (imports first).
    pub modules: Vec<Module>,
    /// The structs of all modules.
    pub structs: Vec<Struct>,
    /// The exceptions of all modules.
    pub exceptions: Vec<Exception>,
    /// The enums of all modules.
    pub enums: Vec<Enum>,
    /// The constants of all modules.
    pub constants: Vec<Constant>,
    /// The sequences of all modules.
    pub sequences: Vec<Sequence>,
    /// The dictionaries of all modules.
    pub dictionaries: Vec<Dictionary>,
    /// The interfaces of all modules.
    pub interfaces: Vec<Interface>,
}

/// One module, merged from every place where it is opened.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The documentation comment before its first opening.
    pub doc: Option<String>,
    /// Its elements, in declared order.
    pub elements: Vec<Element>,
    /// The files that open it, as given or found, in reading order.
    pub files: Vec<String>,
}

/// An element of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// `struct S { … };`
    Struct(StructId),
    /// `exception E { … };`
    Exception(ExceptionId),
    /// `enum E { … };`
    Enum(EnumId),
    /// `const T C = …;`
    Constant(ConstantId),
    /// `sequence<T> S;`
    Sequence(SequenceId),
    /// `dictionary<K, V> D;`
    Dictionary(DictionaryId),
    /// `interface I { … };`
    Interface(InterfaceId),
}

/// The type of a value. `void` is not a value: see [`Operation::returns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// `byte`: 8 bits, unsigned.
    Byte,
    /// `bool`
    Bool,
    /// `short`: 16 bits, signed.
    Short,
    /// `int`: 32 bits, signed.
    Int,
    /// `long`: 64 bits, signed.
    Long,
    /// `float`: IEEE 754 binary32.
    Float,
    /// `double`: IEEE 754 binary64.
    Double,
    /// `string`: UTF-8.
    String,
    /// An enum, an `int` on the wire.
    Enum(EnumId),
    /// A struct.
    Struct(StructId),
    /// A sequence.
    Sequence(SequenceId),
    /// A dictionary.
    Dictionary(DictionaryId),
}

impl Type {
    /// The keyword of a builtin type; empty for a declared one.
    #[must_use]
    pub fn builtin_name(self) -> &'static str {
        match self {
            Self::Byte => "byte",
            Self::Bool => "bool",
            Self::Short => "short",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
            Self::Enum(_) | Self::Struct(_) | Self::Sequence(_) | Self::Dictionary(_) => "",
        }
    }
}

/// `struct NAME { members };`
#[derive(Debug, Clone)]
pub struct Struct {
    /// The module that declares it.
    pub module: ModuleId,
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The `deprecated` annotation: see [`Operation::deprecated`].
    pub deprecated: Option<String>,
    /// Its members, in declared order, at least one.
    pub members: Vec<Member>,
}

/// `exception NAME { members };`
#[derive(Debug, Clone)]
pub struct Exception {
    /// The module that declares it.
    pub module: ModuleId,
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The `deprecated` annotation: see [`Operation::deprecated`].
    pub deprecated: Option<String>,
    /// Its members, in declared order. There may be none.
    pub members: Vec<Member>,
}

/// `enum NAME { members };`
#[derive(Debug, Clone)]
pub struct Enum {
    /// The module that declares it.
    pub module: ModuleId,
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The `deprecated` annotation: see [`Operation::deprecated`].
    pub deprecated: Option<String>,
    /// Its members, in declared order, at least one. Their names and their numbers differ.
    pub members: Vec<EnumMember>,
}

/// A member of an enum.
#[derive(Debug, Clone)]
pub struct EnumMember {
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The `deprecated` annotation: see [`Operation::deprecated`].
    pub deprecated: Option<String>,
    /// What is sent.
    pub number: i32,
}

/// `const TYPE NAME = VALUE;`
#[derive(Debug, Clone)]
pub struct Constant {
    /// The module that declares it.
    pub module: ModuleId,
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// Its type, a builtin one.
    pub ty: Type,
    /// Its value, in the range of its type.
    pub value: ConstantValue,
}

/// The value of a constant.
#[derive(Debug, Clone, PartialEq)]
pub enum ConstantValue {
    /// Of a `bool`.
    Bool(bool),
    /// Of a `byte`, `short`, `int` or `long`.
    Integer(i64),
    /// Of a `float` or `double`: finite.
    Float(f64),
    /// Of a `string`.
    String(String),
}

/// A member of a struct or an exception.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The `deprecated` annotation: see [`Operation::deprecated`].
    pub deprecated: Option<String>,
    /// Its type.
    pub ty: Type,
}

/// `sequence<element> NAME;`
#[derive(Debug, Clone)]
pub struct Sequence {
    /// The module that declares it.
    pub module: ModuleId,
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The type of its elements.
    pub element: Type,
}

/// `dictionary<key, value> NAME;`
#[derive(Debug, Clone)]
pub struct Dictionary {
    /// The module that declares it.
    pub module: ModuleId,
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The type of its keys: byte, bool, short, int, long, string or an enum.
    pub key: Type,
    /// The type of its values.
    pub value: Type,
}

/// `interface NAME extends BASE { operations };`
#[derive(Debug, Clone)]
pub struct Interface {
    /// The module that declares it.
    pub module: ModuleId,
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The `comment="…"` annotation.
    pub comment: Option<String>,
    /// The `deprecated` annotation: see [`Operation::deprecated`].
    pub deprecated: Option<String>,
    /// Its index on the wire (ifidx).
    pub index: u16,
    /// How the index is determined.
    pub index_origin: IndexOrigin,
    /// Its base.
    pub base: Option<InterfaceId>,
    /// Its own operations, in declared order, at least one. For inherited
    /// operations see [`Model::lineage`].
    pub operations: Vec<Operation>,
    /// Whether servant code is generated, by language (`skeleton_rust=false`):
    /// see [`Interface::has_skeleton`].
    pub skeletons: BTreeMap<String, bool>,
    /// Whether servant code is generated for languages without an entry in
    /// [`Interface::skeletons`]; an index file can switch it off.
    pub skeleton_default: bool,
    /// The `tasks="GROUP"` annotation: the group of tasks whose workers serve it.
    pub tasks: Option<String>,
}

impl Interface {
    /// Whether a back end for `language` (`rust`, `py`, …) generates servant code.
    #[must_use]
    pub fn has_skeleton(&self, language: &str) -> bool {
        self.skeletons
            .get(language)
            .copied()
            .unwrap_or(self.skeleton_default)
    }
}

/// One operation of an interface.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The `comment="…"` annotation.
    pub comment: Option<String>,
    /// The `deprecated` annotation: the text that says what to use instead, empty for
    /// `[deprecated]` alone.
    pub deprecated: Option<String>,
    /// The `idempotent` annotation: a call may be repeated without another effect.
    pub idempotent: bool,
    /// Its index on the wire (opidx), unique within the interface.
    pub index: u16,
    /// How the index is determined.
    pub index_origin: IndexOrigin,
    /// Its parameters, in declared order.
    pub parameters: Vec<Parameter>,
    /// The type that it returns; `None` for `void`. Only `void` operations can be called oneway.
    pub returns: Option<Type>,
    /// The exceptions that its callers know, in declared order.
    pub throws: Vec<ExceptionId>,
}

/// A parameter of an operation.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name, as the IDL spells it.
    pub name: String,
    /// The position of its name.
    pub span: Span,
    /// The documentation comment before it.
    pub doc: Option<String>,
    /// Its type.
    pub ty: Type,
}

impl Model {
    /// The module with this id.
    #[must_use]
    pub fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.0 as usize]
    }

    /// The struct with this id.
    #[must_use]
    pub fn struct_(&self, id: StructId) -> &Struct {
        &self.structs[id.0 as usize]
    }

    /// The exception with this id.
    #[must_use]
    pub fn exception(&self, id: ExceptionId) -> &Exception {
        &self.exceptions[id.0 as usize]
    }

    /// The enum with this id.
    #[must_use]
    pub fn enum_(&self, id: EnumId) -> &Enum {
        &self.enums[id.0 as usize]
    }

    /// The constant with this id.
    #[must_use]
    pub fn constant(&self, id: ConstantId) -> &Constant {
        &self.constants[id.0 as usize]
    }

    /// The sequence with this id.
    #[must_use]
    pub fn sequence(&self, id: SequenceId) -> &Sequence {
        &self.sequences[id.0 as usize]
    }

    /// The dictionary with this id.
    #[must_use]
    pub fn dictionary(&self, id: DictionaryId) -> &Dictionary {
        &self.dictionaries[id.0 as usize]
    }

    /// The interface with this id.
    #[must_use]
    pub fn interface(&self, id: InterfaceId) -> &Interface {
        &self.interfaces[id.0 as usize]
    }

    /// An interface and its bases, the interface itself first.
    pub fn lineage(&self, id: InterfaceId) -> impl Iterator<Item = InterfaceId> + '_ {
        std::iter::successors(Some(id), |id| self.interface(*id).base)
    }
}

/// How an index is determined, and where another one can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexOrigin {
    /// The number in an annotation or an index file.
    Explicit(Span),
    /// The position of the declaration among its siblings. It has no annotations, and starts here.
    Implicit(Span),
    /// The position of the declaration among its siblings. Its annotations start here, without an index.
    ImplicitAnnotated(Span),
}

impl IndexOrigin {
    /// The range to underline: the number, or `name` if the index is a position.
    pub(crate) fn label_span(self, name: Span) -> Span {
        match self {
            Self::Explicit(span) => span,
            Self::Implicit(_) | Self::ImplicitAnnotated(_) => name,
        }
    }

    /// The edit that sets the index to `index`. Other indices stay as they are.
    #[must_use]
    pub fn edit(self, index: u16) -> Edit {
        let (span, replacement) = match self {
            Self::Explicit(span) => (span, index.to_string()),
            Self::Implicit(start) => (start.before(), format!("[index={index}] ")),
            Self::ImplicitAnnotated(first) => (first.before(), format!("index={index}, ")),
        };
        Edit { span, replacement }
    }
}

impl Model {
    /// A type as module `from` refers to it; `void` for `None`.
    #[must_use]
    pub fn spell(&self, ty: Option<Type>, from: ModuleId) -> String {
        let Some(ty) = ty else {
            return "void".to_owned();
        };
        match self.declared(ty) {
            Some((module, name)) => self.spell_in(module, name, from),
            None => ty.builtin_name().to_owned(),
        }
    }

    /// The name of an element of `module` as module `from` refers to it.
    #[must_use]
    pub fn spell_in(&self, module: ModuleId, name: &str, from: ModuleId) -> String {
        match module == from {
            true => name.to_owned(),
            false => self.qualified(module, name),
        }
    }

    /// `module::name`, as any module can refer to an element.
    #[must_use]
    pub fn qualified(&self, module: ModuleId, name: &str) -> String {
        format!("{}::{name}", self.module(module).name)
    }

    /// `module::Interface::operation`.
    #[must_use]
    pub fn qualified_operation(&self, id: InterfaceId, operation: &Operation) -> String {
        let interface = self.interface(id);
        let interface = self.qualified(interface.module, &interface.name);
        format!("{interface}::{}", operation.name)
    }

    /// A type as any module can refer to it.
    #[must_use]
    pub fn qualified_type(&self, ty: Type) -> String {
        match self.declared(ty) {
            Some((module, name)) => self.qualified(module, name),
            None => ty.builtin_name().to_owned(),
        }
    }

    /// The module and name of a declared type; `None` for a builtin one.
    #[must_use]
    pub fn declared(&self, ty: Type) -> Option<(ModuleId, &str)> {
        match ty {
            Type::Enum(id) => Some((self.enum_(id).module, &self.enum_(id).name)),
            Type::Struct(id) => Some((self.struct_(id).module, &self.struct_(id).name)),
            Type::Sequence(id) => Some((self.sequence(id).module, &self.sequence(id).name)),
            Type::Dictionary(id) => Some((self.dictionary(id).module, &self.dictionary(id).name)),
            _ => None,
        }
    }

    /// `module.name`, as in services.xml, index files and on the command line.
    #[must_use]
    pub fn full_name(&self, module: ModuleId, name: &str) -> String {
        format!("{}.{name}", self.module(module).name)
    }

    /// The full name of an exception, by which a RETURN names it.
    #[must_use]
    pub fn exception_name(&self, id: ExceptionId) -> String {
        let exception = self.exception(id);
        self.full_name(exception.module, &exception.name)
    }

    /// An operation as module `from` declares it: `string echo(string text) throws Denied`.
    #[must_use]
    pub fn signature(&self, operation: &Operation, from: ModuleId) -> String {
        let parameters = operation.parameters.iter().map(|parameter| {
            let ty = self.spell(Some(parameter.ty), from);
            format!("{ty} {}", parameter.name)
        });
        let parameters: Vec<String> = parameters.collect();
        let returns = self.spell(operation.returns, from);
        let parameters = parameters.join(", ");
        let throws = self.throws_clause(operation, from);
        format!("{returns} {}({parameters}){throws}", operation.name)
    }

    /// ` throws A, B`, as module `from` names them; empty if the operation throws nothing.
    #[must_use]
    pub fn throws_clause(&self, operation: &Operation, from: ModuleId) -> String {
        let names = operation.throws.iter().map(|id| {
            let exception = self.exception(*id);
            self.spell_in(exception.module, &exception.name, from)
        });
        let names: Vec<String> = names.collect();
        match names.is_empty() {
            true => String::new(),
            false => format!(" throws {}", names.join(", ")),
        }
    }
}
