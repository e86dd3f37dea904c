//! Types: how TypeScript spells them, and the interfaces and aliases that declare them.

use tce_idl::model::{DictionaryId, ModuleId, SequenceId, StructId, Type};

use super::Unit;
use super::docs::Docs;
use super::names::{Names, TypeNames};
use crate::source::SourceWriter;

impl Unit<'_> {
    pub(super) fn structure(&self, id: StructId, code: &mut SourceWriter) {
        let structure = self.model.struct_(id);
        let names = self.names.struct_(id);
        let spelled = self.spelled(structure.module, &structure.name);
        Docs::idl(structure.doc.as_deref())
            .then_declared(&names.name, &structure.name, &format!("struct {spelled}"))
            .write(code);
        code.line(&format!("export interface {} {{", names.name));
        code.indented(|code| {
            for (member, name) in structure.members.iter().zip(Names::members(self.model, id)) {
                let declared = format!("{} {}", self.idl_type(member.ty), member.name);
                Docs::idl(member.doc.as_deref())
                    .then_declared(&name, &member.name, &declared)
                    .write(code);
                code.line(&format!("{name}: {};", self.owned(member.ty)));
            }
        });
        code.line("}");
        self.struct_codec(id, code);
    }

    pub(super) fn sequence(&self, id: SequenceId, code: &mut SourceWriter) {
        let sequence = self.model.sequence(id);
        let names = self.names.sequence(id);
        let declared = format!(
            "sequence<{}> {}",
            self.idl_type(sequence.element),
            self.spelled(sequence.module, &sequence.name)
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
            self.idl_type(key),
            self.idl_type(value),
            self.spelled(dictionary.module, &dictionary.name)
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
            Type::Struct(_) | Type::Sequence(_) | Type::Dictionary(_) => {
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

    /// A type as the IDL spells it, with its module.
    fn idl_type(&self, ty: Type) -> String {
        match self.model.declared(ty) {
            Some((module, name)) => self.spelled(module, name),
            None => self.model.spell(Some(ty), self.module),
        }
    }

    /// `module::name`, as the IDL spells both.
    pub(super) fn spelled(&self, module: ModuleId, name: &str) -> String {
        format!("{}::{name}", self.model.module(module).name)
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
