//! The server's side of an interface: the class that servants extend, with a method for
//! each operation, and what the runtime dispatches by.

use tce_idl::model::{InterfaceId, Model, Operation};

use super::Unit;
use super::names::OperationNames;
use super::options::PythonApi;
use crate::source::SourceWriter;

impl Unit<'_> {
    /// The class of an interface, unless the IDL switches it off. A base of an interface
    /// with a servant has the class in any case, since the derived class extends it.
    pub(super) fn servant(&self, id: InterfaceId, code: &mut SourceWriter) {
        if !self.has_servant(id) {
            return;
        }
        let interface = self.model.interface(id);
        let names = self.names.interface(id);
        let base = match interface.base {
            Some(base) => {
                let module = self.model.interface(base).module;
                self.path(module, &self.names.interface(base).servant)
            }
            None => match self.options.api {
                PythonApi::Asyncio => "_rt.Servant".to_owned(),
                PythonApi::Blocking => "_rt.BlockingServant".to_owned(),
            },
        };
        code.blank(2);
        code.line(&format!("class {}({base}):", names.servant));
        code.indented(|code| {
            self.interface_docs(id, "Extended by servants of")
                .write(code);
            code.blank(1);
            self.interface_constant(id, code);
            for (operation, names) in interface.operations.iter().zip(&names.operations) {
                code.blank(1);
                self.servant_method(id, operation, names, code);
            }
        });
        if let Some(alias) = self.servant_alias(id) {
            code.blank(2);
            code.line(&format!("{alias} = {}", names.servant));
        }
    }

    /// The second name of a servant's class; TCE's own Python programs know none.
    pub(super) fn servant_alias(&self, id: InterfaceId) -> Option<&str> {
        match self.options.api {
            PythonApi::Asyncio => self.names.interface(id).servant_alias.as_deref(),
            PythonApi::Blocking => None,
        }
    }

    /// Whether a servant's class is written for an interface.
    pub(super) fn has_servant(&self, id: InterfaceId) -> bool {
        let is_wanted = |id: InterfaceId| {
            let interface = self.model.interface(id);
            interface.has_skeleton(super::LANGUAGE.name())
        };
        is_wanted(id) || is_base_of(self.model, id, is_wanted)
    }

    fn interface_constant(&self, id: InterfaceId, code: &mut SourceWriter) {
        let interface = self.model.interface(id);
        let names = self.names.interface(id);
        let full_name = self.model.full_name(interface.module, &interface.name);
        code.line("_interface = _rt.Interface(");
        code.indented(|code| {
            code.line(&format!("\"{full_name}\","));
            code.line(&format!("{},", interface.index));
            let operations: Vec<_> = names
                .operations
                .iter()
                .map(|names| format!("\"{}\": {}", names.method, names.constant))
                .collect();
            code.list("{", &operations, "},");
            for line in tce_idl::Excerpts::new(self.model)
                .of(id)
                .split_inclusive('\n')
            {
                code.line(&literal(line));
            }
        });
        code.line(")");
    }

    fn servant_method(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
        code: &mut SourceWriter,
    ) {
        let mut parameters = self.parameters(operation, names);
        let docs = self.operation_docs(id, operation, names);
        let close = format!(") -> {}:", self.returned(operation.returns));
        match self.options.api {
            PythonApi::Asyncio => {
                parameters.push("ctx: _rt.Context".to_owned());
                code.line("@_rt.abstractmethod");
                code.list(&format!("async def {}(", names.method), &parameters, &close);
                code.indented(|code| {
                    docs.write(code);
                    code.line("...");
                });
            }
            // Servants of TCE's own Python programs leave operations out.
            PythonApi::Blocking => {
                parameters.push("ctx: _rt.Context".to_owned());
                code.list(&format!("def {}(", names.method), &parameters, &close);
                code.indented(|code| {
                    docs.write(code);
                    code.line(&format!("raise _rt.not_implemented({})", names.constant));
                });
            }
        }
    }
}

/// Whether an interface that is wanted extends this one, directly or not.
fn is_base_of(model: &Model, id: InterfaceId, is_wanted: impl Fn(InterfaceId) -> bool) -> bool {
    (0..)
        .map(InterfaceId)
        .take(model.interfaces.len())
        .filter(|derived| is_wanted(*derived))
        .any(|derived| model.lineage(derived).any(|base| base == id))
}

/// A text as a literal, with escapes for characters that are not visible.
pub(super) fn literal(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.escape_debug().eq([c]) || c == '\'' => c.to_string(),
        c => match u32::from(c) {
            code @ ..=0xffff => format!("\\u{code:04x}"),
            code => format!("\\U{code:08x}"),
        },
    });
    format!("\"{}\"", escaped.collect::<String>())
}
