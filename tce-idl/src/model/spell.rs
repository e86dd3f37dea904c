//! Names as the IDL and its users write them.

use super::{Model, ModuleId, Operation, Type};

impl Model {
    /// A type as an element of module `from` would write it, `void` for none.
    #[must_use]
    pub fn spell(&self, ty: Option<Type>, from: ModuleId) -> String {
        let builtin = match ty {
            None => "void",
            Some(Type::Byte) => "byte",
            Some(Type::Bool) => "bool",
            Some(Type::Short) => "short",
            Some(Type::Int) => "int",
            Some(Type::Long) => "long",
            Some(Type::Float) => "float",
            Some(Type::Double) => "double",
            Some(Type::String) => "string",
            Some(named) => return self.spell_named(named, from),
        };
        builtin.to_owned()
    }

    fn spell_named(&self, ty: Type, from: ModuleId) -> String {
        match self.declared(ty) {
            None => String::new(),
            Some((module, name)) if module == from => name.to_owned(),
            Some((module, name)) => format!("{}::{name}", self.module(module).name),
        }
    }

    /// The module and name of a type that an IDL declares.
    #[must_use]
    pub fn declared(&self, ty: Type) -> Option<(ModuleId, &str)> {
        match ty {
            Type::Struct(id) => Some((self.struct_(id).module, &self.struct_(id).name)),
            Type::Sequence(id) => Some((self.sequence(id).module, &self.sequence(id).name)),
            Type::Dictionary(id) => Some((self.dictionary(id).module, &self.dictionary(id).name)),
            _ => None,
        }
    }

    /// `module.name`, as services.xml, index files and the command line write it.
    #[must_use]
    pub fn full_name(&self, module: ModuleId, name: &str) -> String {
        format!("{}.{name}", self.module(module).name)
    }

    /// An operation as an interface of module `from` would declare it: `string echo(string text)`.
    #[must_use]
    pub fn signature(&self, operation: &Operation, from: ModuleId) -> String {
        let parameters = operation.parameters.iter().map(|parameter| {
            let ty = self.spell(Some(parameter.ty), from);
            format!("{ty} {}", parameter.name)
        });
        let parameters: Vec<String> = parameters.collect();
        let returns = self.spell(operation.returns, from);
        format!("{returns} {}({})", operation.name, parameters.join(", "))
    }
}
