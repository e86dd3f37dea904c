//! Resolves the names of types and bases.

use super::AstNodes;
use super::scope::{ModuleScopes, NameBinding, UNKNOWN};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use crate::model::{Element, ExceptionId, InterfaceId, ModuleId, Type};
use crate::source::Span;
use crate::syntax::ast::TypeName;

/// A use of the name of a declaration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference {
    pub(crate) span: Span,
    pub(crate) target: ReferenceTarget,
}

/// The declaration that a name refers to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ReferenceTarget {
    Module(ModuleId),
    Element(Element),
}

/// Resolves the types of one compilation.
pub(super) struct Types<'a, 's> {
    pub(super) scope: &'s ModuleScopes<'a>,
    pub(super) ast: &'s AstNodes<'a>,
    pub(super) sink: &'s mut Diagnostics,
    /// Every name that was resolved.
    pub(super) references: Vec<Reference>,
}

impl Types<'_, '_> {
    /// The type of a value.
    pub(super) fn value(&mut self, ty: &TypeName, module: ModuleId) -> Type {
        if ty.module.is_none() {
            if ty.name.text == "void" {
                let diagnostic =
                    Diagnostic::new(Code::VoidValue, "`void` can't be the type of a value")
                        .at(ty.span, "");
                self.sink
                    .push(diagnostic.help("`void` is only allowed as the result of an operation"));
                return UNKNOWN;
            }
            if let Some(builtin) = builtin(&ty.name.text) {
                return builtin;
            }
        }
        match self.lookup(ty, module) {
            None => UNKNOWN,
            Some(NameBinding { element, span }) => match element {
                Element::Struct(id) => Type::Struct(id),
                Element::Enum(id) => Type::Enum(id),
                Element::Sequence(id) => Type::Sequence(id),
                Element::Dictionary(id) => Type::Dictionary(id),
                Element::Interface(_) | Element::Exception(_) | Element::Constant(_) => {
                    self.sink.push(no_value(ty, element, span));
                    UNKNOWN
                }
            },
        }
    }

    /// The exceptions behind `throws`.
    pub(super) fn thrown(&mut self, names: &[TypeName], module: ModuleId) -> Vec<ExceptionId> {
        let mut thrown: Vec<(ExceptionId, Span)> = Vec::new();
        for name in names {
            let is_builtin = name.module.is_none()
                && (name.name.text == "void" || builtin(&name.name.text).is_some());
            let binding = match is_builtin {
                true => None,
                false => match self.lookup(name, module) {
                    None => continue,
                    binding => binding,
                },
            };
            let Some(Element::Exception(id)) = binding.map(|it| it.element) else {
                let message = format!("`{}` is not an exception", name.name.text);
                let diagnostic = Diagnostic::new(Code::NotAnException, message).at(name.span, "");
                let diagnostic = binding.iter().fold(diagnostic, |diagnostic, it| {
                    let kind = kind_in_words(it.element);
                    diagnostic.note(it.span, format!("declared as {kind} here"))
                });
                self.sink
                    .push(diagnostic.help("declare it as `exception NAME { … };`"));
                continue;
            };
            match thrown.iter().find(|(other, _)| *other == id) {
                None => thrown.push((id, name.span)),
                Some((_, first)) => {
                    let message = format!("`{}` is named twice behind `throws`", name.name.text);
                    let diagnostic = Diagnostic::new(Code::RepeatedThrows, message);
                    let diagnostic = diagnostic
                        .at(name.span, "")
                        .note(*first, "first named here");
                    self.sink.push(diagnostic.help("remove one of them"));
                }
            }
        }
        thrown.into_iter().map(|(id, _)| id).collect()
    }

    /// The type that an operation returns.
    pub(super) fn returned(&mut self, ty: &TypeName, module: ModuleId) -> Option<Type> {
        let void = ty.module.is_none() && ty.name.text == "void";
        (!void).then(|| self.value(ty, module))
    }

    /// The base of an interface.
    pub(super) fn base(&mut self, ty: &TypeName, module: ModuleId) -> Option<InterfaceId> {
        let code = Code::NotAnInterface;
        if ty.module.is_none() && (ty.name.text == "void" || builtin(&ty.name.text).is_some()) {
            let message = format!("`{}` is not an interface", ty.name.text);
            self.sink.push(
                Diagnostic::new(code, message)
                    .at(ty.span, "")
                    .help("an interface can only extend an interface"),
            );
            return None;
        }
        let NameBinding { element, span } = self.lookup(ty, module)?;
        let kind = match element {
            Element::Interface(id) => return Some(id),
            other => kind_in_words(other),
        };
        let diagnostic = Diagnostic::new(code, format!("`{}` is not an interface", ty.name.text))
            .at(ty.span, "");
        let diagnostic = diagnostic.note(span, format!("declared as {kind} here"));
        self.sink
            .push(diagnostic.help("an interface can only extend an interface"));
        None
    }

    /// The element that a name refers to; reports an unknown name.
    fn lookup(&mut self, ty: &TypeName, module: ModuleId) -> Option<NameBinding> {
        let name = ty.name.text.as_str();
        let found = match &ty.module {
            None => self.scope.element(module, name),
            Some(module) => match self.scope.module(&module.text) {
                Some(id) => {
                    self.references.push(Reference {
                        span: module.span,
                        target: ReferenceTarget::Module(id),
                    });
                    self.scope.element(id, name)
                }
                None => {
                    self.unknown_module(ty);
                    return None;
                }
            },
        };
        self.references.extend(found.map(|binding| Reference {
            span: ty.name.span,
            target: ReferenceTarget::Element(binding.element),
        }));
        if found.is_none() && !self.ast.broken.contains(name) {
            let diagnostic = self.unknown(ty, module);
            self.sink.push(diagnostic);
        }
        found
    }

    fn unknown_module(&mut self, ty: &TypeName) {
        let Some(module) = &ty.module else { return };
        // The missing import, which was reported, may declare it.
        if self.ast.missing_import || self.ast.broken.contains(module.text.as_str()) {
            return;
        }
        let message = format!("there is no module `{}`", module.text);
        let diagnostic = Diagnostic::new(Code::UnknownModule, message).at(module.span, "");
        let names: Vec<&str> = self.scope.module_names().collect();
        self.sink.push(match nearest(&module.text, &names) {
            Some(near) => diagnostic.fix(format!("did you mean `{near}`?"), module.span, near),
            None => diagnostic
                .help("import the file that declares it: `import NAME` at the top of this file"),
        });
    }

    fn unknown(&self, ty: &TypeName, module: ModuleId) -> Diagnostic {
        let name = ty.name.text.as_str();
        let written = match &ty.module {
            Some(module) => format!("{}::{name}", module.text),
            None => name.to_owned(),
        };
        let diagnostic =
            Diagnostic::new(Code::UnknownType, format!("there is no type `{written}`"))
                .at(ty.span, "");
        // A diagnostic past the limit is not shown, and the search for similar names takes time.
        if self.sink.is_full() {
            return diagnostic;
        }
        let did_you_mean = |near: &str| format!("did you mean `{near}`?");
        let prefix = ty.module.as_ref();
        if let Some(ours) =
            builtin_of_other_spelling(name).filter(|_| prefix.is_none() || builtin(name).is_some())
        {
            return diagnostic.fix(did_you_mean(ours), ty.span, ours);
        }
        let searched = prefix
            .and_then(|module| self.scope.module(&module.text))
            .unwrap_or(module);
        let names: Vec<&str> = self.scope.names(searched).collect();
        let near =
            nearest(name, &names).or_else(|| prefix.is_none().then(|| nearest(name, BUILTIN))?);
        match (near, self.scope.module_with(name)) {
            (_, Some(module_name)) if self.scope.module(module_name) == Some(module) => diagnostic
                .fix(
                    format!("`{name}` is in this module: write `{name}`"),
                    ty.span,
                    name,
                ),
            (_, Some(module_name)) => {
                let full = format!("{module_name}::{name}");
                diagnostic.fix(
                    format!("`{name}` is in module `{module_name}`: write `{full}`"),
                    ty.span,
                    full,
                )
            }
            (Some(near), None) => {
                let full = prefix.map_or(near.clone(), |module| format!("{}::{near}", module.text));
                diagnostic.fix(did_you_mean(&full), ty.name.span, near)
            }
            (None, None) => {
                diagnostic.help("declare it, or import the file that does and write `module::Name`")
            }
        }
    }
}

/// The kind of an element, with its article.
fn kind_in_words(element: Element) -> &'static str {
    match element {
        Element::Struct(_) => "a struct",
        Element::Exception(_) => "an exception",
        Element::Enum(_) => "an enum",
        Element::Constant(_) => "a constant",
        Element::Sequence(_) => "a sequence",
        Element::Dictionary(_) => "a dictionary",
        Element::Interface(_) => "an interface",
    }
}

/// Reports an element that is used as the type of a value and is no type, declared at `span`.
fn no_value(ty: &TypeName, element: Element, span: Span) -> Diagnostic {
    let name = &ty.name.text;
    let (code, what, label, help) = match element {
        Element::Exception(_) => (
            Code::ExceptionValue,
            "exception",
            "an exception can be thrown, but not sent as a value",
            "name it behind an operation, `void f() throws NAME;`, or declare a struct",
        ),
        Element::Constant(_) => (
            Code::ConstantType,
            "constant",
            "a constant is a value",
            "write the type of the constant",
        ),
        _ => (
            Code::InterfaceValue,
            "interface",
            "an interface can be called, but not sent",
            "send a name or an id by which the receiver finds the servant",
        ),
    };
    let message = format!("{what} `{name}` can't be the type of a value");
    Diagnostic::new(code, message)
        .at(ty.span, label)
        .note(span, format!("declared as {} here", kind_in_words(element)))
        .help(help)
}

/// The builtin type called `name`, except for `void`.
pub(super) fn builtin(name: &str) -> Option<Type> {
    Some(match name {
        "byte" => Type::Byte,
        "bool" => Type::Bool,
        "short" => Type::Short,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "string" => Type::String,
        _ => return None,
    })
}

/// Builtin types, as TCE spells them.
const BUILTIN: &[&str] = &[
    "byte", "bool", "short", "int", "long", "float", "double", "string", "void",
];

/// Builtin types as other languages spell them.
const OTHER_SPELLINGS: &[(&str, &[&str])] = &[
    (
        "byte",
        &[
            "u8", "uint8", "uint8_t", "octet", "char", "uchar", "ubyte", "i8", "int8", "sbyte",
        ],
    ),
    ("bool", &["boolean", "bit", "logical"]),
    (
        "short",
        &[
            "i16", "int16", "int16_t", "u16", "uint16", "ushort", "smallint",
        ],
    ),
    (
        "int",
        &[
            "i32", "int32", "int32_t", "u32", "uint32", "uint", "integer", "sint32", "fixed32",
            "number",
        ],
    ),
    (
        "long",
        &[
            "i64",
            "int64",
            "int64_t",
            "u64",
            "uint64",
            "ulong",
            "bigint",
            "size_t",
            "longlong",
            "timestamp",
        ],
    ),
    ("float", &["f32", "float32", "single", "real"]),
    ("double", &["f64", "float64", "decimal"]),
    (
        "string",
        &["str", "text", "wstring", "varchar", "std::string", "utf8"],
    ),
    ("void", &["none", "unit", "null", "nil"]),
];

/// The builtin type that `name` spells in another case or as another language does.
fn builtin_of_other_spelling(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let elsewhere = OTHER_SPELLINGS
        .iter()
        .find(|(_, names)| names.contains(&lower.as_str()));
    elsewhere
        .map(|(ours, _)| *ours)
        .or_else(|| BUILTIN.iter().find(|ours| **ours == lower).copied())
}
