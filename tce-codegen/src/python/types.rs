//! Types: how Python spells them, the classes and aliases that declare them, and the
//! constants that marshal them.

use std::collections::BTreeSet;

use tce_idl::model::{
    Constant, ConstantValue, Dictionary, Element, EnumId, ExceptionId, Member, Module, ModuleId,
    StructId, Type,
};

use super::Unit;
use super::docs::Docs;
use super::names::{Names, TypeNames};
use super::servant::literal;
use crate::source::SourceWriter;

impl Unit<'_> {
    /// The constants, and all types of the module: first enums, which are the values of
    /// members that are not given, then classes, whose annotations Python evaluates late,
    /// then aliases, each after those that it uses.
    pub(super) fn types(&self, module: &Module, code: &mut SourceWriter) {
        self.constants(module, code);
        for element in &module.elements {
            if let Element::Enum(id) = *element {
                self.enumeration(id, code);
            }
        }
        for element in &module.elements {
            match *element {
                Element::Struct(id) => self.structure(id, code),
                Element::Exception(id) => self.exception(id, code),
                _ => {}
            }
        }
        let is_alias = |it: &Element| matches!(it, Element::Sequence(_) | Element::Dictionary(_));
        if module.elements.iter().any(is_alias) {
            code.blank(2);
        }
        let mut written = BTreeSet::new();
        for element in &module.elements {
            match *element {
                Element::Sequence(id) => self.alias(Type::Sequence(id), &mut written, code),
                Element::Dictionary(id) => self.alias(Type::Dictionary(id), &mut written, code),
                _ => {}
            }
        }
        self.codecs(module, code);
    }

    fn structure(&self, id: StructId, code: &mut SourceWriter) {
        let structure = self.model.struct_(id);
        let name = &self.names.struct_(id).name;
        let declared = self.model.qualified(structure.module, &structure.name);
        let docs = Docs::idl(structure.doc.as_deref()).then_declared(
            name,
            &structure.name,
            &format!("struct {declared}"),
        );
        let docs = docs.then_deprecated(structure.deprecated.as_deref());
        code.blank(2);
        code.line("@_rt.dataclass(slots=True)");
        code.line(&format!("class {name}:"));
        code.indented(|code| {
            if !docs.is_empty() {
                docs.write(code);
                code.blank(1);
            }
            for (member, name) in structure
                .members
                .iter()
                .zip(self.names.members(self.model, id))
            {
                let (ty, default) = (self.annotation(member.ty), self.default(member.ty));
                code.line(&format!("{name}: {ty} = {default}"));
                self.member_docs(member, &name).write(code);
            }
        });
    }

    fn member_docs(&self, member: &Member, name: &str) -> Docs {
        let declared = self.model.spell(Some(member.ty), self.module);
        Docs::idl(member.doc.as_deref())
            .then_declared(name, &member.name, &format!("{declared} {}", member.name))
            .then_deprecated(member.deprecated.as_deref())
    }

    fn constants(&self, module: &Module, code: &mut SourceWriter) {
        let mut is_first = true;
        for element in &module.elements {
            let Element::Constant(id) = *element else {
                continue;
            };
            if std::mem::take(&mut is_first) {
                code.blank(1);
            }
            let constant = self.model.constant(id);
            let name = self.names.constant(id);
            let (ty, value) = (self.annotation(constant.ty), value(constant));
            code.line(&format!("{name}: _rt.Final[{ty}] = {value}"));
            let declared = self.model.qualified(constant.module, &constant.name);
            Docs::idl(constant.doc.as_deref())
                .then_declared(name, &constant.name, &format!("const {declared}"))
                .write(code);
        }
    }

    fn enumeration(&self, id: EnumId, code: &mut SourceWriter) {
        let it = self.model.enum_(id);
        let name = &self.names.enum_(id).name;
        let declared = self.model.qualified(it.module, &it.name);
        let docs = Docs::idl(it.doc.as_deref())
            .then_declared(name, &it.name, &format!("enum {declared}"))
            .then_deprecated(it.deprecated.as_deref());
        code.blank(2);
        code.line(&format!("class {name}(_rt.Enum):"));
        code.indented(|code| {
            if !docs.is_empty() {
                docs.write(code);
                code.blank(1);
            }
            for (member, name) in it.members.iter().zip(Names::enum_members(self.model, id)) {
                code.line(&format!("{name} = {}", member.number));
                Docs::idl(member.doc.as_deref())
                    .then_declared(&name, &member.name, &format!("{declared}::{}", member.name))
                    .then_deprecated(member.deprecated.as_deref())
                    .write(code);
            }
        });
    }

    fn exception(&self, id: ExceptionId, code: &mut SourceWriter) {
        let exception = self.model.exception(id);
        let name = &self.names.exception(id).name;
        let declared = self.model.qualified(exception.module, &exception.name);
        let docs = Docs::idl(exception.doc.as_deref())
            .then(format!("The exception `{declared}`."))
            .then_deprecated(exception.deprecated.as_deref());
        let names = self.names.exception_members(self.model, id);
        let members: Vec<_> = exception.members.iter().zip(&names).collect();
        let mut parameters = vec!["self".to_owned()];
        let typed = members.iter();
        parameters
            .extend(typed.map(|(member, name)| format!("{name}: {}", self.annotation(member.ty))));
        let mut arguments = vec![literal(&self.model.exception_name(id))];
        arguments.extend(names.iter().cloned());
        let mut strings = members.iter().filter(|(it, _)| it.ty == Type::String);
        arguments.extend(strings.next().map(|(_, name)| format!("detail={name}")));
        code.blank(2);
        code.line(&format!("class {name}(_rt.UserException):"));
        code.indented(|code| {
            docs.write(code);
            code.blank(1);
            code.list("def __init__(", &parameters, ") -> None:");
            code.indented(|code| {
                code.list("super().__init__(", &arguments, ")");
                for (member, name) in members {
                    code.line(&format!("self.{name} = {name}"));
                    self.member_docs(member, name).write(code);
                }
            });
        });
    }

    /// Writes an alias after those of this module that it uses.
    fn alias(&self, ty: Type, written: &mut BTreeSet<String>, code: &mut SourceWriter) {
        let (names, docs) = match (ty, self.names.type_(ty)) {
            (Type::Sequence(id), Some(names)) => (names, self.model.sequence(id).doc.as_deref()),
            (Type::Dictionary(id), Some(names)) => {
                (names, self.model.dictionary(id).doc.as_deref())
            }
            _ => return,
        };
        let is_of_this_module = self
            .model
            .declared(ty)
            .is_some_and(|(module, _)| module == self.module);
        if !is_of_this_module || !written.insert(names.name.clone()) {
            return;
        }
        let parts = self.parts(ty);
        parts
            .iter()
            .for_each(|part| self.alias(*part, written, code));
        let is_late = parts.iter().any(|part| self.is_late(*part));
        let value = self.alias_value(ty);
        let value = if is_late {
            format!("\"{value}\"")
        } else {
            value
        };
        code.line(&format!("{}: _rt.TypeAlias = {value}", names.name));
        Docs::idl(docs).write(code);
    }

    /// The types of the elements of a sequence or dictionary.
    fn parts(&self, ty: Type) -> Vec<Type> {
        match ty {
            Type::Sequence(id) => vec![self.model.sequence(id).element],
            Type::Dictionary(id) => {
                let dictionary = self.model.dictionary(id);
                vec![dictionary.key, dictionary.value]
            }
            _ => Vec::new(),
        }
    }

    /// Whether the module of a type is imported at the end of the file.
    fn is_late(&self, ty: Type) -> bool {
        self.model
            .declared(ty)
            .is_some_and(|(module, _)| self.imports.late.contains(&module))
    }

    fn alias_value(&self, ty: Type) -> String {
        match ty {
            Type::Sequence(id) => match self.model.sequence(id).element {
                Type::Byte => "bytes".to_owned(),
                element => format!("list[{}]", self.annotation(element)),
            },
            Type::Dictionary(id) => {
                let Dictionary { key, value, .. } = self.model.dictionary(id);
                format!(
                    "dict[{}, {}]",
                    self.annotation(*key),
                    self.annotation(*value)
                )
            }
            _ => self.annotation(ty),
        }
    }

    /// A type as annotations spell it.
    pub(super) fn annotation(&self, ty: Type) -> String {
        match ty {
            Type::Byte | Type::Short | Type::Int | Type::Long => "int".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::Float | Type::Double => "float".to_owned(),
            Type::String => "str".to_owned(),
            declared => self.path_to(declared, |names| &names.name),
        }
    }

    /// The annotation of a result.
    pub(super) fn returned(&self, ty: Option<Type>) -> String {
        ty.map_or_else(|| "None".to_owned(), |ty| self.annotation(ty))
    }

    /// The value of a member that is not given.
    fn default(&self, ty: Type) -> String {
        match ty {
            Type::Byte | Type::Short | Type::Int | Type::Long => "0".to_owned(),
            Type::Bool => "False".to_owned(),
            Type::Float | Type::Double => "0.0".to_owned(),
            Type::String => "\"\"".to_owned(),
            Type::Enum(id) => {
                let class = self.annotation(ty);
                let first = Names::enum_members(self.model, id);
                let first = first.first().map_or("", String::as_str);
                match self.is_late(ty) {
                    true => format!("_rt.field(default_factory=lambda: {class}.{first})"),
                    false => format!("{class}.{first}"),
                }
            }
            Type::Struct(_) => {
                let class = self.annotation(ty);
                format!("_rt.field(default_factory=lambda: {class}())")
            }
            Type::Sequence(id) => match self.model.sequence(id).element {
                Type::Byte => "b\"\"".to_owned(),
                _ => "_rt.field(default_factory=_rt.empty_list)".to_owned(),
            },
            Type::Dictionary(_) => "_rt.field(default_factory=_rt.empty_dict)".to_owned(),
        }
    }

    /// The expression that marshals a value; `None` for `void`.
    pub(super) fn codec_of(&self, ty: Option<Type>) -> String {
        let builtin = match ty {
            None => "VOID",
            Some(Type::Byte) => "BYTE",
            Some(Type::Bool) => "BOOL",
            Some(Type::Short) => "SHORT",
            Some(Type::Int) => "INT",
            Some(Type::Long) => "LONG",
            Some(Type::Float) => "FLOAT",
            Some(Type::Double) => "DOUBLE",
            Some(Type::String) => "STRING",
            Some(declared) => return self.path_to(declared, |names| &names.codec),
        };
        format!("_rt.{builtin}")
    }

    /// The constants that marshal the types. They are functions of each other, since
    /// types may contain each other in a circle.
    fn codecs(&self, module: &Module, code: &mut SourceWriter) {
        let mut is_first = true;
        for element in &module.elements {
            let (names, open, items, close) = match *element {
                Element::Struct(id) => {
                    let names = self.names.struct_(id);
                    let open = format!("_rt.struct({}, lambda: [", names.name);
                    let members = &self.model.struct_(id).members;
                    let member_names = self.names.members(self.model, id);
                    (
                        names,
                        open,
                        self.member_codecs(members, &member_names),
                        "])",
                    )
                }
                Element::Enum(id) => {
                    let names = self.names.enum_(id);
                    let open = "_rt.enumeration(".to_owned();
                    (names, open, vec![names.name.clone()], ")")
                }
                Element::Exception(id) => {
                    let names = self.names.exception(id);
                    let full_name = literal(&self.model.exception_name(id));
                    let open = format!("_rt.exception({}, {full_name}, lambda: [", names.name);
                    let members = &self.model.exception(id).members;
                    let member_names = self.names.exception_members(self.model, id);
                    (
                        names,
                        open,
                        self.member_codecs(members, &member_names),
                        "])",
                    )
                }
                Element::Sequence(id) => {
                    let names = self.names.sequence(id);
                    match self.model.sequence(id).element {
                        Type::Byte => (names, "_rt.BYTES".to_owned(), Vec::new(), ""),
                        element => {
                            let element = format!("lambda: {}", self.codec_of(Some(element)));
                            (names, "_rt.sequence(".to_owned(), vec![element], ")")
                        }
                    }
                }
                Element::Dictionary(id) => {
                    let names = self.names.dictionary(id);
                    let Dictionary { key, value, .. } = *self.model.dictionary(id);
                    let parts =
                        [key, value].map(|ty| format!("lambda: {}", self.codec_of(Some(ty))));
                    (names, "_rt.dictionary(".to_owned(), parts.to_vec(), ")")
                }
                Element::Interface(_) | Element::Constant(_) => continue,
            };
            if std::mem::take(&mut is_first) {
                code.blank(2);
            }
            let codec = match element {
                Element::Exception(_) => "ExceptionCodec",
                _ => "Codec",
            };
            let declared = format!("{}: _rt.{codec}[{}] = ", names.codec, names.name);
            code.list(&format!("{declared}{open}"), &items, close);
        }
    }

    fn member_codecs(&self, members: &[Member], names: &[String]) -> Vec<String> {
        members
            .iter()
            .zip(names)
            .map(|(member, name)| format!("(\"{name}\", {})", self.codec_of(Some(member.ty))))
            .collect()
    }

    fn path_to(&self, ty: Type, name: fn(&TypeNames) -> &String) -> String {
        match (self.model.declared(ty), self.names.type_(ty)) {
            (Some((module, _)), Some(names)) => self.path(module, name(names)),
            _ => String::new(),
        }
    }

    /// How the module being written names an item of `module`.
    pub(super) fn path(&self, module: ModuleId, item: &str) -> String {
        if module == self.module {
            return item.to_owned();
        }
        format!("{}.{item}", self.names.module_alias(module))
    }
}

/// The value of a constant as a literal.
fn value(constant: &Constant) -> String {
    match &constant.value {
        ConstantValue::Bool(true) => "True".to_owned(),
        ConstantValue::Bool(false) => "False".to_owned(),
        ConstantValue::Integer(value) => value.to_string(),
        ConstantValue::Float(value) => format!("{value:?}"),
        ConstantValue::String(value) => literal(value),
    }
}
