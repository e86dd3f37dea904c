//! The server's side of an interface: what servants implement, and what serves it.

use std::collections::BTreeSet;

use tce_idl::model::{InterfaceId, Model, Operation};

use super::Unit;
use super::docs::Docs;
use super::names::OperationNames;
use crate::source::SourceWriter;

impl Unit<'_> {
    /// The servant's interface and its operations, and the function that serves it unless
    /// the IDL switches it off. A base of an interface with a servant has the first two in
    /// any case, since the derived interface needs them.
    pub(super) fn servant(&self, id: InterfaceId, code: &mut SourceWriter) {
        if !self.has_servant(id) {
            return;
        }
        self.servant_interface(id, code);
        code.blank(1);
        self.operations_of(id, code);
        code.blank(1);
        if self.is_wanted(id) {
            self.serve(id, code);
            code.blank(1);
        }
    }

    fn is_wanted(&self, id: InterfaceId) -> bool {
        let interface = self.model.interface(id);
        interface.has_skeleton(super::LANGUAGE.name())
    }

    /// Whether a servant's interface is written.
    pub(super) fn has_servant(&self, id: InterfaceId) -> bool {
        let is_base_of = |wanted: InterfaceId| self.model.lineage(wanted).any(|it| it == id);
        interfaces(self.model).any(|it| self.is_wanted(it) && is_base_of(it))
    }

    fn servant_interface(&self, id: InterfaceId, code: &mut SourceWriter) {
        let interface = self.model.interface(id);
        let names = self.names.interface(id);
        let base = interface.base.map(|base| {
            let module = self.model.interface(base).module;
            let base = &self.names.interface(base).servant;
            format!(" extends {}", self.path(module, base))
        });
        self.interface_docs(id, "Implemented by servants of")
            .write(code);
        let base = base.unwrap_or_default();
        code.line(&format!("export interface {}{base} {{", names.servant));
        code.indented(|code| {
            for (operation, names) in interface.operations.iter().zip(&names.operations) {
                self.servant_method(id, operation, names, code);
            }
        });
        code.line("}");
    }

    fn servant_method(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
        code: &mut SourceWriter,
    ) {
        self.operation_docs(id, operation, names, false).write(code);
        let types = operation.parameters.iter().map(|it| self.owned(it.ty));
        let parameters = names.parameters.iter().zip(types);
        let mut parameters: Vec<_> = parameters.map(|(it, ty)| format!("{it}: {ty}")).collect();
        parameters.push("ctx: rt.Context".to_owned());
        let returns = operation.returns.map_or("void".into(), |ty| self.given(ty));
        let open = format!("{}(", names.method);
        code.list(&open, &parameters, &format!("): rt.Result<{returns}>;"));
    }

    fn operations_of(&self, id: InterfaceId, code: &mut SourceWriter) {
        let interface = self.model.interface(id);
        let names = self.names.interface(id);
        Docs::sentence(format!(
            "The operations of {{@link {}}}, also for interfaces that extend it.",
            names.servant
        ))
        .write(code);
        let open = format!("export function {}(", names.operations_of);
        let parameter = format!("servant: {}", names.servant);
        code.list(&open, &[parameter], "): rt.Operations {");
        code.indented(|code| {
            code.line("return new Map([");
            code.indented(|code| {
                for (operation, names) in interface.operations.iter().zip(&names.operations) {
                    code.line("[");
                    code.indented(|code| self.operation(operation, names, code));
                    code.line("],");
                }
            });
            code.line("]);");
        });
        code.line("}");
    }

    fn operation(&self, operation: &Operation, names: &OperationNames, code: &mut SourceWriter) {
        code.line(&format!("{},", operation.index));
        code.line("rt.operation(");
        code.indented(|code| {
            let decoded = operation.parameters.iter();
            let decoded: Vec<_> = decoded
                .map(|it| format!("{}(input)", self.decode(it.ty)))
                .collect();
            if decoded.is_empty() {
                code.line("rt.decodeNothing,");
                code.line(&format!("(_, ctx) => servant.{}(ctx),", names.method));
            } else {
                code.list("(input) => [", &decoded, "] as const,");
                Self::invocation(names, code);
            }
            code.line(&match operation.returns {
                Some(ty) => format!("{},", self.encode(ty)),
                None => "rt.encodeVoid,".to_owned(),
            });
        });
        code.line("),");
    }

    /// The function that calls the servant's method with the decoded parameters.
    fn invocation(names: &OperationNames, code: &mut SourceWriter) {
        let mut arguments = names.parameters.clone();
        arguments.push("ctx".to_owned());
        let parameters = names.parameters.join(", ");
        let line = format!(
            "([{parameters}], ctx) => servant.{}({}),",
            names.method,
            arguments.join(", ")
        );
        if code.fits(&line) {
            return code.line(&line);
        }
        code.list("([", &names.parameters, "], ctx) =>");
        code.indented(|code| code.list(&format!("servant.{}(", names.method), &arguments, "),"));
    }

    fn serve(&self, id: InterfaceId, code: &mut SourceWriter) {
        let names = self.names.interface(id);
        Docs::sentence(format!(
            "Serves an implementation of {{@link {}}}.",
            names.servant
        ))
        .write(code);
        let open = format!("export function {}(", names.serve);
        let parameter = format!("servant: {}", names.servant);
        code.list(&open, &[parameter], "): rt.Servant {");
        code.indented(|code| {
            code.line("return {");
            code.indented(|code| {
                code.line("interfaces: new Map([");
                code.indented(|code| self.served(id, code));
                code.line("]),");
                let idl = template(&tce_idl::Excerpts::new(self.model).of(id));
                code.line(&format!("idl: {idl},"));
            });
            code.line("};");
        });
        code.line("}");
    }

    /// The operations of the interface and of its bases, by interface index.
    fn served(&self, id: InterfaceId, code: &mut SourceWriter) {
        let mut served = BTreeSet::new();
        for id in self.model.lineage(id) {
            let interface = self.model.interface(id);
            // Two modules may use one index: the derived interface hides its base.
            if served.insert(interface.index) {
                let operations_of = &self.names.interface(id).operations_of;
                let operations_of = self.path(interface.module, operations_of);
                code.line(&format!("[{}, {operations_of}(servant)],", interface.index));
            }
        }
    }
}

fn interfaces(model: &Model) -> impl Iterator<Item = InterfaceId> {
    (0..).map(InterfaceId).take(model.interfaces.len())
}

/// A text as a template literal, whose lines are those of the text.
fn template(text: &str) -> String {
    let mut literal = String::from("`");
    for c in text.chars() {
        match c {
            '`' | '\\' | '$' => literal.extend(['\\', c]),
            '\n' => literal.push(c),
            '\t' => literal.push_str("\\t"),
            // Characters that are not visible, or that change the direction of text.
            _ if !c.escape_debug().eq([c]) && !matches!(c, '\'' | '"') => {
                literal.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
            }
            _ => literal.push(c),
        }
    }
    literal.push('`');
    literal
}
