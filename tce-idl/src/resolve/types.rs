//! What the name of a type means.

use super::Origin;
use super::scope::{Bound, Scope, UNKNOWN};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use crate::model::{Element, InterfaceId, ModuleId, Type};
use crate::source::Span;
use crate::syntax::ast::TypeName;

/// A name in the text that stands for something declared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use {
    pub(crate) span: Span,
    pub(crate) target: Target,
}

/// What a name can stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Module(ModuleId),
    Element(Element),
}

/// Looks types up.
pub(super) struct Types<'a, 's> {
    pub(super) scope: &'s Scope<'a>,
    pub(super) origin: &'s Origin<'a>,
    pub(super) sink: &'s mut Diagnostics,
    /// Every name that was found.
    pub(super) uses: Vec<Use>,
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
                    .push(diagnostic.help("`void` only says that an operation returns nothing"));
                return UNKNOWN;
            }
            if let Some(builtin) = builtin(&ty.name.text) {
                return builtin;
            }
        }
        match self.lookup(ty, module) {
            None => UNKNOWN,
            Some(Bound { element, span }) => {
                match element {
                    Element::Struct(id) => Type::Struct(id),
                    Element::Sequence(id) => Type::Sequence(id),
                    Element::Dictionary(id) => Type::Dictionary(id),
                    Element::Interface(_) => {
                        let message =
                            format!("interface `{}` can't be the type of a value", ty.name.text);
                        let diagnostic = Diagnostic::new(Code::InterfaceValue, message)
                            .at(ty.span, "an interface is called, never sent");
                        let diagnostic = diagnostic.note(span, "declared as an interface here");
                        self.sink.push(diagnostic.help("send what the other side needs to find the servant, as a name or an id"));
                        UNKNOWN
                    }
                }
            }
        }
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
            let message = format!("`{}` is no interface", ty.name.text);
            self.sink.push(
                Diagnostic::new(code, message)
                    .at(ty.span, "")
                    .help("an interface extends an interface"),
            );
            return None;
        }
        let Bound { element, span } = self.lookup(ty, module)?;
        let kind = match element {
            Element::Interface(id) => return Some(id),
            Element::Struct(_) => "struct",
            Element::Sequence(_) => "sequence",
            Element::Dictionary(_) => "dictionary",
        };
        let diagnostic =
            Diagnostic::new(code, format!("`{}` is no interface", ty.name.text)).at(ty.span, "");
        let diagnostic = diagnostic.note(span, format!("declared as a {kind} here"));
        self.sink
            .push(diagnostic.help("an interface extends an interface"));
        None
    }

    /// What a name stands for; reported where it is nothing.
    fn lookup(&mut self, ty: &TypeName, module: ModuleId) -> Option<Bound> {
        let name = ty.name.text.as_str();
        let found = match &ty.module {
            None => self.scope.element(module, name),
            Some(module) => match self.scope.module(&module.text) {
                Some(id) => {
                    self.uses.push(Use {
                        span: module.span,
                        target: Target::Module(id),
                    });
                    self.scope.element(id, name)
                }
                None => {
                    self.unknown_module(ty);
                    return None;
                }
            },
        };
        self.uses.extend(found.map(|bound| Use {
            span: ty.name.span,
            target: Target::Element(bound.element),
        }));
        if found.is_none() && !self.origin.broken.contains(name) {
            let diagnostic = self.unknown(ty, module);
            self.sink.push(diagnostic);
        }
        found
    }

    fn unknown_module(&mut self, ty: &TypeName) {
        let Some(module) = &ty.module else { return };
        // A missing import was reported, and may be what declares it.
        if self.origin.missing_import || self.origin.broken.contains(module.text.as_str()) {
            return;
        }
        let message = format!("there is no module `{}`", module.text);
        let diagnostic = Diagnostic::new(Code::UnknownModule, message).at(module.span, "");
        let names: Vec<&str> = self.scope.module_names().collect();
        self.sink.push(match nearest(&module.text, &names) {
            Some(near) => diagnostic.fix(format!("did you mean `{near}`?"), module.span, near),
            None => diagnostic
                .help("import the file that opens it: `import NAME` at the top of this file"),
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
        // Past the limit nobody reads it, and looking for likely names takes time.
        if self.sink.is_full() {
            return diagnostic;
        }
        let mean = |near: &str| format!("did you mean `{near}`?");
        let prefix = ty.module.as_ref();
        if let Some(ours) =
            suggest::builtin(name).filter(|_| prefix.is_none() || builtin(name).is_some())
        {
            return diagnostic.fix(mean(ours), ty.span, ours);
        }
        let searched = prefix
            .and_then(|module| self.scope.module(&module.text))
            .unwrap_or(module);
        let names: Vec<&str> = self.scope.names(searched).collect();
        let near = nearest(name, &names)
            .or_else(|| prefix.is_none().then(|| suggest::near_builtin(name))?);
        match (near, self.scope.home(name)) {
            (_, Some(home)) if self.scope.module(home) == Some(module) => diagnostic.fix(
                format!("`{name}` is in this module: write `{name}`"),
                ty.span,
                name,
            ),
            (_, Some(home)) => {
                let full = format!("{home}::{name}");
                diagnostic.fix(
                    format!("`{name}` is in module `{home}`: write `{full}`"),
                    ty.span,
                    full,
                )
            }
            (Some(near), None) => {
                let full = prefix.map_or(near.clone(), |module| format!("{}::{near}", module.text));
                diagnostic.fix(mean(&full), ty.name.span, near)
            }
            (None, None) => {
                diagnostic.help("declare it, or import the file that does and write `module::Name`")
            }
        }
    }
}

/// The builtin type called `name`, but for `void`.
fn builtin(name: &str) -> Option<Type> {
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

/// Builtin types as others spell them.
const ELSEWHERE: &[(&str, &[&str])] = &[
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

/// The builtin type that `name` was meant to be, misspelt or from another language.
pub(super) fn builtin(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let elsewhere = ELSEWHERE
        .iter()
        .find(|(_, names)| names.contains(&lower.as_str()));
    elsewhere
        .map(|(ours, _)| *ours)
        .or_else(|| BUILTIN.iter().find(|ours| **ours == lower).copied())
}

/// The builtin type that is spelt almost like `name`.
pub(super) fn near_builtin(name: &str) -> Option<String> {
    nearest(name, BUILTIN)
}
