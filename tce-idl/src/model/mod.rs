//! The resolved model: what a set of `.idl` files means.
//!
//! It is immutable and refers by id, never by name: a back end looks nothing
//! up. Whatever reaches it has passed every check, so a back end can't meet a
//! struct that contains itself or two operations with one index.

mod index_place;
mod spell;

use std::collections::BTreeMap;

pub use index_place::IndexPlace;

use crate::source::Span;

/// A module, by its position in [`Model::modules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u32);
/// A struct, by its position in [`Model::structs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StructId(pub u32);
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// `struct S { … };`
    Struct(StructId),
    /// `sequence<T> S;`
    Sequence(SequenceId),
    /// `dictionary<K, V> D;`
    Dictionary(DictionaryId),
    /// `interface I { … };`
    Interface(InterfaceId),
}

/// The type of a value. `void` is no value: see [`Operation::returns`].
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
    /// A struct.
    Struct(StructId),
    /// A sequence.
    Sequence(SequenceId),
    /// A dictionary.
    Dictionary(DictionaryId),
}

/// `struct NAME { members };`
#[derive(Debug, Clone)]
pub struct Struct {
    /// The module that declares it.
    pub module: ModuleId,
    /// Its name, as the IDL spells it.
    pub name: String,
    /// Where its name is declared.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// Its members, in declared order, at least one.
    pub members: Vec<Member>,
}

/// A member of a struct.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, as the IDL spells it.
    pub name: String,
    /// Where its name is declared.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
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
    /// Where its name is declared.
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
    /// Where its name is declared.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The type of its keys: byte, bool, short, int, long or string.
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
    /// Where its name is declared.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The `comment="…"` annotation.
    pub comment: Option<String>,
    /// Its index on the wire (ifidx).
    pub index: u16,
    /// Where that comes from.
    pub index_place: IndexPlace,
    /// Its base.
    pub base: Option<InterfaceId>,
    /// Its own operations, in declared order, at least one. Inherited ones
    /// are the base's: see [`Model::lineage`].
    pub operations: Vec<Operation>,
    /// Whether servant code is wanted, by language (`skeleton_rust=false`,
    /// an index file): see [`Interface::has_skeleton`].
    pub skeletons: BTreeMap<String, bool>,
    /// Whether servant code is wanted where [`Interface::skeletons`] is silent.
    pub skeleton_default: bool,
}

impl Interface {
    /// Whether a back end for `language` (`rust`, `py`, …) writes servant code.
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
    /// Where its name is declared.
    pub span: Span,
    /// Its documentation comment.
    pub doc: Option<String>,
    /// The `comment="…"` annotation.
    pub comment: Option<String>,
    /// Its index on the wire (opidx), unique within the interface.
    pub index: u16,
    /// Where that comes from.
    pub index_place: IndexPlace,
    /// Its parameters, in declared order.
    pub parameters: Vec<Parameter>,
    /// What it returns; nothing for `void`, which alone may be called oneway.
    pub returns: Option<Type>,
}

/// A parameter of an operation.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name, as the IDL spells it.
    pub name: String,
    /// Where its name is declared.
    pub span: Span,
    /// Its type.
    pub ty: Type,
}

impl Model {
    /// The module behind an id.
    #[must_use]
    pub fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.0 as usize]
    }

    /// The struct behind an id.
    #[must_use]
    pub fn struct_(&self, id: StructId) -> &Struct {
        &self.structs[id.0 as usize]
    }

    /// The sequence behind an id.
    #[must_use]
    pub fn sequence(&self, id: SequenceId) -> &Sequence {
        &self.sequences[id.0 as usize]
    }

    /// The dictionary behind an id.
    #[must_use]
    pub fn dictionary(&self, id: DictionaryId) -> &Dictionary {
        &self.dictionaries[id.0 as usize]
    }

    /// The interface behind an id.
    #[must_use]
    pub fn interface(&self, id: InterfaceId) -> &Interface {
        &self.interfaces[id.0 as usize]
    }

    /// An interface and its bases, the interface itself first.
    pub fn lineage(&self, id: InterfaceId) -> impl Iterator<Item = InterfaceId> + '_ {
        std::iter::successors(Some(id), |id| self.interface(*id).base)
    }
}
