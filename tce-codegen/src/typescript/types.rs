//! Types: how TypeScript spells them, and the interfaces and aliases that declare them.

use tce_idl::model::{
    ConstantId, ConstantValue, DictionaryId, EnumId, ExceptionId, Member, ModuleId, SequenceId,
    StructId, Type,
};

use super::Unit;
use super::docs::{self, Docs};
use super::names::{Names, TypeNames};
use crate::source::SourceWriter;

impl Unit<'_> {
    pub(super) fn structure(&self, id: StructId, code: &mut SourceWriter) {
        let structure = self.model.struct_(id);
        let names = self.names.struct_(id);
        let spelled = self.model.qualified(structure.module, &structure.name);
        Docs::idl(structure.doc.as_deref())
            .then_declared(&names.name, &structure.name, &format!("struct {spelled}"))
            .then_deprecated(structure.deprecated.as_deref())
            .write(code);
        code.line(&format!("export interface {} {{", names.name));
        code.indented(|code| {
            for (member, name) in structure.members.iter().zip(Names::members(self.model, id)) {
                self.member_docs(member, &name).write(code);
                code.line(&format!("{name}: {};", self.owned(member.ty)));
            }
        });
        code.line("}");
        self.struct_codec(id, code);
    }

    fn member_docs(&self, member: &Member, name: &str) -> Docs {
        let declared = format!("{} {}", self.model.qualified_type(member.ty), member.name);
        Docs::idl(member.doc.as_deref())
            .then_declared(name, &member.name, &declared)
            .then_deprecated(member.deprecated.as_deref())
    }

    /// A class, which servants throw and callers catch.
    pub(super) fn exception(&self, id: ExceptionId, code: &mut SourceWriter) {
        let exception = self.model.exception(id);
        let names = self.names.exception(id);
        let member_names = Names::exception_members(self.model, id);
        let members: Vec<_> = exception.members.iter().zip(&member_names).collect();
        let spelled = self.model.qualified(exception.module, &exception.name);
        Docs::idl(exception.doc.as_deref())
            .then(format!("The exception `{spelled}`."))
            .then_deprecated(exception.deprecated.as_deref())
            .write(code);
        code.line(&format!(
            "export class {} extends rt.UserException {{",
            names.name
        ));
        code.indented(|code| {
            for (member, name) in &members {
                self.member_docs(member, name).write(code);
                code.line(&format!("readonly {name}: {};", self.owned(member.ty)));
            }
            if !members.is_empty() {
                code.blank(1);
            }
            let typed = members.iter();
            let mut parameters: Vec<_> = typed
                .map(|(member, name)| format!("{name}: {}", self.owned(member.ty)))
                .collect();
            parameters.push("details?: rt.RpcErrorDetails".to_owned());
            let mut strings = members.iter().filter(|(it, _)| it.ty == Type::String);
            let detail = strings.next().map_or("\"\"", |(_, name)| name.as_str());
            code.list("constructor(", &parameters, ") {");
            code.indented(|code| {
                let full_name = self.model.exception_name(id);
                code.line(&format!("super(\"{full_name}\", {detail}, details);"));
                for (_, name) in &members {
                    code.line(&format!("this.{name} = {name};"));
                }
            });
            code.line("}");
            code.blank(1);
            self.exception_encoder(&members, code);
        });
        code.line("}");
        self.exception_codec(id, code);
    }

    fn exception_encoder(&self, members: &[(&Member, &String)], code: &mut SourceWriter) {
        if members.is_empty() {
            code.line("override encodeMembers(): void {");
            code.indented(|code| code.line("// It has none."));
            return code.line("}");
        }
        code.line("override encodeMembers(out: rt.Writer): void {");
        code.indented(|code| {
            for (member, name) in members {
                code.line(&format!("{}(out, this.{name});", self.encode(member.ty)));
            }
        });
        code.line("}");
    }

    /// An object with the numbers of the members, and the type of a number: one of a
    /// later version is kept.
    pub(super) fn enumeration(&self, id: EnumId, code: &mut SourceWriter) {
        let it = self.model.enum_(id);
        let names = self.names.enum_(id);
        let name = &names.name;
        let spelled = self.model.qualified(it.module, &it.name);
        let docs = || {
            Docs::idl(it.doc.as_deref())
                .then_declared(name, &it.name, &format!("enum {spelled}"))
                .then_deprecated(it.deprecated.as_deref())
        };
        docs().write(code);
        code.line(&format!("export const {name} = {{"));
        code.indented(|code| {
            for (member, name) in it.members.iter().zip(Names::enum_members(self.model, id)) {
                Docs::idl(member.doc.as_deref())
                    .then_declared(&name, &member.name, &format!("{spelled}::{}", member.name))
                    .then_tags(docs::deprecated(member.deprecated.as_deref()))
                    .write(code);
                code.line(&format!("{name}: {},", member.number));
            }
        });
        code.line("} as const;");
        code.blank(1);
        Docs::sentence(format!(
            "One of {{@link {name}}}, or a number of a later version."
        ))
        .write(code);
        code.line(&format!("export type {name} = number;"));
        self.enum_codec(id, code);
    }

    pub(super) fn constant(&self, id: ConstantId, code: &mut SourceWriter) {
        let constant = self.model.constant(id);
        let name = self.names.constant(id);
        let spelled = self.model.qualified(constant.module, &constant.name);
        Docs::idl(constant.doc.as_deref())
            .then_declared(name, &constant.name, &format!("const {spelled}"))
            .write(code);
        let value = match &constant.value {
            ConstantValue::Bool(value) => value.to_string(),
            ConstantValue::Integer(value) if constant.ty == Type::Long => format!("{value}n"),
            ConstantValue::Integer(value) => value.to_string(),
            ConstantValue::Float(value) => format!("{value:?}"),
            ConstantValue::String(value) => literal(value),
        };
        code.line(&format!("export const {name} = {value};"));
    }

    pub(super) fn sequence(&self, id: SequenceId, code: &mut SourceWriter) {
        let sequence = self.model.sequence(id);
        let names = self.names.sequence(id);
        let declared = format!(
            "sequence<{}> {}",
            self.model.qualified_type(sequence.element),
            self.model.qualified(sequence.module, &sequence.name)
        );
        Docs::idl(sequence.doc.as_deref())
            .then_declared(&names.name, &sequence.name, &declared)
            .write(code);
        let ty = self.array(sequence.element, "");
        code.line(&format!("export type {} = {ty};", names.name));
        self.sequence_codec(id, code);
    }

    pub(super) fn dictionary(&self, id: DictionaryId, code: &mut SourceWriter) {
        let dictionary = self.model.dictionary(id);
        let names = self.names.dictionary(id);
        let (key, value) = (dictionary.key, dictionary.value);
        let declared = format!(
            "dictionary<{}, {}> {}",
            self.model.qualified_type(key),
            self.model.qualified_type(value),
            self.model.qualified(dictionary.module, &dictionary.name)
        );
        Docs::idl(dictionary.doc.as_deref())
            .then_declared(&names.name, &dictionary.name, &declared)
            .write(code);
        let (key, value) = (self.owned(key), self.owned(value));
        code.line(&format!(
            "export type {} = Map<{key}, {value}>;",
            names.name
        ));
        self.dictionary_codec(id, code);
    }

    /// A type as members, results and servants have it.
    pub(super) fn owned(&self, ty: Type) -> String {
        match ty {
            Type::Byte | Type::Short | Type::Int | Type::Float | Type::Double => "number".into(),
            Type::Bool => "boolean".into(),
            Type::Long => "bigint".into(),
            Type::String => "string".into(),
            Type::Enum(_) | Type::Struct(_) | Type::Sequence(_) | Type::Dictionary(_) => {
                self.path_to(ty, |names| &names.name)
            }
        }
    }

    /// A type as it is given to be sent: a `long` may be a number, too.
    pub(super) fn given(&self, ty: Type) -> String {
        match ty {
            Type::Long => "bigint | number".into(),
            Type::Sequence(id) => self.array(self.model.sequence(id).element, "readonly "),
            Type::Dictionary(id) => {
                let dictionary = self.model.dictionary(id);
                let (key, value) = (self.owned(dictionary.key), self.owned(dictionary.value));
                format!("ReadonlyMap<{key}, {value}>")
            }
            _ => self.owned(ty),
        }
    }

    fn array(&self, element: Type, modifier: &str) -> String {
        match element {
            Type::Byte => "Uint8Array".to_owned(),
            element => format!("{modifier}{}[]", self.owned(element)),
        }
    }

    /// One of the names of a declared type, as the module being written says it.
    pub(super) fn path_to(&self, ty: Type, name: fn(&TypeNames) -> &String) -> String {
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

/// A text as a string literal, with escapes for characters that are not visible.
fn literal(text: &str) -> String {
    let mut out = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c == '\'' || c.escape_debug().eq([c]) => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}
