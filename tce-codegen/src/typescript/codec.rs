//! The functions that encode and decode a type.

use tce_idl::model::{DictionaryId, EnumId, ExceptionId, Model, SequenceId, StructId, Type};

use super::Unit;
use super::docs::Docs;
use super::names::{Names, TypeNames};
use crate::source::SourceWriter;

impl Unit<'_> {
    pub(super) fn struct_codec(&self, id: StructId, code: &mut SourceWriter) {
        let names = self.names.struct_(id);
        let members = self.model.struct_(id).members.iter();
        let members: Vec<_> = members.zip(Names::members(self.model, id)).collect();
        self.encoder(names, &names.name, code, |code| {
            for (member, name) in &members {
                let encode = self.encode(member.ty);
                code.line(&format!("{encode}(out, value.{name});"));
            }
        });
        self.decoder(names, code, |code| {
            code.line("return {");
            code.indented(|code| {
                for (member, name) in &members {
                    code.line(&format!("{name}: {}(input),", self.decode(member.ty)));
                }
            });
            code.line("};");
        });
    }

    /// An enum is its number, an `int`.
    pub(super) fn enum_codec(&self, id: EnumId, code: &mut SourceWriter) {
        let names = self.names.enum_(id);
        self.encoder(names, &names.name, code, |code| {
            code.line("rt.encodeInt(out, value);");
        });
        self.decoder(names, code, |code| code.line("return rt.decodeInt(input);"));
    }

    /// The function that reads an exception out of an error RETURN.
    pub(super) fn exception_codec(&self, id: ExceptionId, code: &mut SourceWriter) {
        let names = self.names.exception(id);
        let members = self.model.exception(id).members.iter();
        let mut arguments: Vec<_> = members
            .map(|member| format!("{}(input)", self.decode(member.ty)))
            .collect();
        arguments.push("details".to_owned());
        let input = if arguments.len() == 1 { "_" } else { "input" };
        code.blank(1);
        Docs::sentence(format!("Reads a {{@link {}}}.", names.name)).write(code);
        let open = format!("export function {}(", names.decode);
        let parameters = [
            format!("{input}: rt.Reader"),
            "details?: rt.RpcErrorDetails".to_owned(),
        ];
        code.list(&open, &parameters, &format!("): {} {{", names.name));
        code.indented(|code| {
            code.list(&format!("return new {}(", names.name), &arguments, ");");
        });
        code.line("}");
    }

    pub(super) fn sequence_codec(&self, id: SequenceId, code: &mut SourceWriter) {
        let names = self.names.sequence(id);
        let element = self.model.sequence(id).element;
        let given = self.given(Type::Sequence(id));
        self.encoder(names, &given, code, |code| {
            code.line(&match element {
                Type::Byte => "rt.encodeBytes(out, value);".to_owned(),
                _ => format!("rt.encodeSequence(out, value, {});", self.encode(element)),
            });
        });
        self.decoder(names, code, |code| match element {
            Type::Byte => code.line("return rt.decodeBytes(input);"),
            _ => {
                let arguments = [
                    "input".to_owned(),
                    self.decode(element),
                    self.min_sizes.size(element).to_string(),
                ];
                code.list("return rt.decodeSequence(", &arguments, ");");
            }
        });
    }

    pub(super) fn dictionary_codec(&self, id: DictionaryId, code: &mut SourceWriter) {
        let names = self.names.dictionary(id);
        let dictionary = self.model.dictionary(id);
        let (key, value) = (dictionary.key, dictionary.value);
        let given = self.given(Type::Dictionary(id));
        self.encoder(names, &given, code, |code| {
            let arguments = [
                "out".to_owned(),
                "value".to_owned(),
                self.encode(key),
                self.encode(value),
            ];
            code.list("rt.encodeDictionary(", &arguments, ");");
        });
        self.decoder(names, code, |code| {
            let size = self.min_sizes.size(key);
            let size = size.saturating_add(self.min_sizes.size(value));
            let arguments = [
                "input".to_owned(),
                self.decode(key),
                self.decode(value),
                size.to_string(),
            ];
            code.list("return rt.decodeDictionary(", &arguments, ");");
        });
    }

    fn encoder(
        &self,
        names: &TypeNames,
        given: &str,
        code: &mut SourceWriter,
        body: impl FnOnce(&mut SourceWriter),
    ) {
        code.blank(1);
        Docs::sentence(format!("Appends a {{@link {}}}.", names.name)).write(code);
        let parameters = ["out: rt.Writer".to_owned(), format!("value: {given}")];
        let open = format!("export function {}(", names.encode);
        code.list(&open, &parameters, "): void {");
        code.indented(body);
        code.line("}");
    }

    fn decoder(
        &self,
        names: &TypeNames,
        code: &mut SourceWriter,
        body: impl FnOnce(&mut SourceWriter),
    ) {
        code.blank(1);
        Docs::sentence(format!("Reads a {{@link {}}}.", names.name)).write(code);
        let open = format!("export function {}(", names.decode);
        let close = format!("): {} {{", names.name);
        code.list(&open, &["input: rt.Reader".to_owned()], &close);
        code.indented(body);
        code.line("}");
    }

    /// The function that encodes a type.
    pub(super) fn encode(&self, ty: Type) -> String {
        match builtin(ty) {
            Some(name) => format!("rt.encode{name}"),
            None => self.path_to(ty, |names| &names.encode),
        }
    }

    /// The function that decodes a type.
    pub(super) fn decode(&self, ty: Type) -> String {
        match builtin(ty) {
            Some(name) => format!("rt.decode{name}"),
            None => self.path_to(ty, |names| &names.decode),
        }
    }
}

fn builtin(ty: Type) -> Option<&'static str> {
    match ty {
        Type::Byte => Some("Byte"),
        Type::Bool => Some("Bool"),
        Type::Short => Some("Short"),
        Type::Int => Some("Int"),
        Type::Long => Some("Long"),
        Type::Float => Some("Float"),
        Type::Double => Some("Double"),
        Type::String => Some("String"),
        Type::Enum(_) | Type::Struct(_) | Type::Sequence(_) | Type::Dictionary(_) => None,
    }
}

/// The minimum encoded sizes of the structs of a model, in bytes.
pub(super) struct MinSizes(Vec<u32>);

impl MinSizes {
    pub(super) fn of(model: &Model) -> Self {
        let mut known = vec![None; model.structs.len()];
        for id in (0..).map(StructId).take(model.structs.len()) {
            struct_size(model, id, &mut known);
        }
        Self(known.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// The minimum encoded size of a type in bytes.
    fn size(&self, ty: Type) -> u32 {
        builtin_size(ty).unwrap_or_else(|id| self.0[id.0 as usize])
    }
}

/// It ends, since a struct contains itself only through sequences and dictionaries.
fn struct_size(model: &Model, id: StructId, known: &mut [Option<u32>]) -> u32 {
    if let Some(size) = known[id.0 as usize] {
        return size;
    }
    let mut size = 0_u32;
    for member in &model.struct_(id).members {
        let member = builtin_size(member.ty).unwrap_or_else(|id| struct_size(model, id, known));
        // Structs in structs may double the size at each level: it may exceed any number.
        size = size.saturating_add(member);
    }
    known[id.0 as usize] = Some(size);
    size
}

fn builtin_size(ty: Type) -> Result<u32, StructId> {
    match ty {
        Type::Byte | Type::Bool => Ok(1),
        Type::Short => Ok(2),
        Type::Int
        | Type::Float
        | Type::String
        | Type::Enum(_)
        | Type::Sequence(_)
        | Type::Dictionary(_) => Ok(4),
        Type::Long | Type::Double => Ok(8),
        Type::Struct(id) => Err(id),
    }
}
