//! One file as it is written: names are not resolved, and every node has its position.

use std::collections::HashSet;

use crate::source::{FileId, Span};

/// A word of the text, and its position.
#[derive(Debug, Clone)]
pub(crate) struct Identifier {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// One `.idl` file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) id: FileId,
    pub(crate) imports: Vec<Identifier>,
    pub(crate) modules: Vec<Module>,
    /// The words of declarations that could not be parsed. Using one as a name
    /// is not reported as unknown: its declaration was reported already.
    pub(crate) broken: HashSet<String>,
}

/// One opening of a module.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: Identifier,
    /// From its keyword to its end.
    pub(crate) whole: Span,
    pub(crate) doc: Option<String>,
    pub(crate) elements: Vec<Element>,
}

#[derive(Debug)]
pub(crate) enum Element {
    Struct(Struct),
    Exception(Struct),
    Enum(Enum),
    Constant(Constant),
    Sequence(Sequence),
    Dictionary(Dictionary),
    Interface(Interface),
}

impl Element {
    pub(crate) fn name(&self) -> &Identifier {
        match self {
            Self::Struct(it) | Self::Exception(it) => &it.name,
            Self::Enum(it) => &it.name,
            Self::Constant(it) => &it.name,
            Self::Sequence(it) => &it.name,
            Self::Dictionary(it) => &it.name,
            Self::Interface(it) => &it.name,
        }
    }
}

/// `Name` or `module::Name`, including builtin types.
#[derive(Debug)]
pub(crate) struct TypeName {
    pub(crate) module: Option<Identifier>,
    pub(crate) name: Identifier,
    pub(crate) span: Span,
}

/// A struct or an exception.
#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) name: Identifier,
    /// From its keyword to its end.
    pub(crate) whole: Span,
    pub(crate) doc: Option<String>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) members: Vec<Member>,
    /// Whether a member was left out because it could not be parsed.
    pub(crate) broken: bool,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Identifier,
    pub(crate) doc: Option<String>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) ty: TypeName,
}

#[derive(Debug)]
pub(crate) struct Enum {
    pub(crate) name: Identifier,
    /// From its keyword to its end.
    pub(crate) whole: Span,
    pub(crate) doc: Option<String>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) members: Vec<Enumerator>,
    /// Whether a member was left out because it could not be parsed.
    pub(crate) broken: bool,
}

#[derive(Debug)]
pub(crate) struct Enumerator {
    pub(crate) name: Identifier,
    pub(crate) doc: Option<String>,
    pub(crate) annotations: Vec<Annotation>,
    /// As it is written; `None` where it follows from the member before.
    pub(crate) number: Option<Identifier>,
}

#[derive(Debug)]
pub(crate) struct Constant {
    pub(crate) name: Identifier,
    /// From its keyword to its end.
    pub(crate) whole: Span,
    pub(crate) doc: Option<String>,
    pub(crate) ty: TypeName,
    pub(crate) value: Literal,
    pub(crate) value_span: Span,
}

/// The value of a constant.
#[derive(Debug)]
pub(crate) enum Literal {
    /// A number as it is written.
    Number(String),
    /// A string, without its quotes and with its escapes.
    String(String),
    /// A word, such as `true`.
    Name(String),
}

#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) name: Identifier,
    /// From its keyword to its end.
    pub(crate) whole: Span,
    pub(crate) doc: Option<String>,
    pub(crate) element: TypeName,
}

#[derive(Debug)]
pub(crate) struct Dictionary {
    pub(crate) name: Identifier,
    /// From its keyword to its end.
    pub(crate) whole: Span,
    pub(crate) doc: Option<String>,
    pub(crate) key: TypeName,
    pub(crate) value: TypeName,
}

#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) name: Identifier,
    /// From its keyword to its end.
    pub(crate) whole: Span,
    pub(crate) doc: Option<String>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) base: Option<TypeName>,
    pub(crate) operations: Vec<Operation>,
    /// Whether an operation was left out because it could not be parsed.
    pub(crate) broken: bool,
}

#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: Identifier,
    /// From its result type to its end.
    pub(crate) whole: Span,
    pub(crate) doc: Option<String>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) returns: TypeName,
    pub(crate) parameters: Vec<Parameter>,
    /// The exceptions behind `throws`.
    pub(crate) throws: Vec<TypeName>,
}

#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: Identifier,
    pub(crate) doc: Option<String>,
    pub(crate) ty: TypeName,
}

/// `key=value` or `key` of an annotation list.
#[derive(Debug)]
pub(crate) struct Annotation {
    pub(crate) key: Identifier,
    pub(crate) value: AnnotationValue,
    /// That of the key if there is no value.
    pub(crate) value_span: Span,
}

/// The value of an annotation.
#[derive(Debug)]
pub(crate) enum AnnotationValue {
    /// No value: `[idempotent]`.
    Flag,
    /// A number as it is written, which may be too large for an index.
    Number(String),
    /// A string, without its quotes.
    String(String),
    /// A word without quotes, such as `false`.
    Name(String),
}
