//! The caller's end of an interface: a class with a method for each operation.

use tce_idl::model::{InterfaceId, Operation};

use super::Unit;
use super::docs::{self, Docs};
use super::names::OperationNames;
use crate::source::SourceWriter;

impl Unit<'_> {
    /// The class has the methods of all bases itself: it extends none of them, since
    /// modules that import each other would find the class of the other undefined.
    pub(super) fn proxy(&self, id: InterfaceId, code: &mut SourceWriter) {
        let names = self.names.interface(id);
        self.interface_docs(id, "Calls").write(code);
        code.line(&format!("export class {} extends rt.Proxy {{", names.proxy));
        code.indented(|code| {
            let mut lineage: Vec<_> = self.model.lineage(id).collect();
            lineage.reverse();
            let mut is_first = true;
            for id in lineage {
                let operations = &self.model.interface(id).operations;
                let names = &self.names.interface(id).operations;
                for (operation, names) in operations.iter().zip(names) {
                    if !std::mem::take(&mut is_first) {
                        code.blank(1);
                    }
                    self.twoway(id, operation, names, code);
                    if let Some(method) = &names.method_oneway {
                        code.blank(1);
                        self.oneway(id, operation, names, method, code);
                    }
                }
            }
        });
        code.line("}");
    }

    fn twoway(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
        code: &mut SourceWriter,
    ) {
        self.operation_docs(id, operation, names, true).write(code);
        let returns = operation.returns.map_or("void".into(), |ty| self.owned(ty));
        let open = format!("{}(", names.method);
        let close = format!("): Promise<{returns}> {{");
        code.list(&open, &self.parameters(operation, names), &close);
        code.indented(|code| {
            code.line("return this.twoway(");
            code.indented(|code| {
                self.operation_id(id, operation, code);
                self.encoded(operation, names, code);
                code.line(&match operation.returns {
                    Some(ty) => format!("{},", self.decode(ty)),
                    None => "rt.decodeVoid,".to_owned(),
                });
                code.line("options,");
            });
            code.line(");");
        });
        code.line("}");
    }

    fn oneway(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
        method: &str,
        code: &mut SourceWriter,
    ) {
        let twoway = &names.method;
        Docs::sentence(format!(
            "{{@link {twoway}}} without an answer. Throws if it can't be sent."
        ))
        .then_tags(docs::deprecated(operation.deprecated.as_deref()))
        .write(code);
        let open = format!("{method}(");
        code.list(&open, &self.parameters(operation, names), "): void {");
        code.indented(|code| {
            code.line("this.oneway(");
            code.indented(|code| {
                self.operation_id(id, operation, code);
                self.encoded(operation, names, code);
                code.line("options,");
            });
            code.line(");");
        });
        code.line("}");
    }

    fn parameters(&self, operation: &Operation, names: &OperationNames) -> Vec<String> {
        let types = operation.parameters.iter().map(|it| self.given(it.ty));
        let parameters = names.parameters.iter().zip(types);
        let mut parameters: Vec<_> = parameters.map(|(it, ty)| format!("{it}: {ty}")).collect();
        parameters.push("options?: rt.CallOptions".to_owned());
        parameters
    }

    fn operation_id(&self, id: InterfaceId, operation: &Operation, code: &mut SourceWriter) {
        let mut fields = vec![
            format!("ifidx: {}", self.model.interface(id).index),
            format!("opidx: {}", operation.index),
            format!(
                "name: \"{}\"",
                self.model.qualified_operation(id, operation)
            ),
        ];
        let throws = operation.throws.iter().map(|id| {
            let decode = &self.names.exception(*id).decode;
            let decode = self.path(self.model.exception(*id).module, decode);
            format!("[\"{}\", {decode}]", self.model.exception_name(*id))
        });
        let throws: Vec<_> = throws.collect();
        if !throws.is_empty() {
            fields.push(format!("throws: rt.throws({})", throws.join(", ")));
        }
        if operation.idempotent {
            fields.push("idempotent: true".to_owned());
        }
        code.list("{ ", &fields, " },");
    }

    /// The function that encodes the parameters.
    fn encoded(&self, operation: &Operation, names: &OperationNames, code: &mut SourceWriter) {
        if operation.parameters.is_empty() {
            return code.line("rt.encodeVoid,");
        }
        code.line("(out) => {");
        code.indented(|code| {
            for (parameter, name) in operation.parameters.iter().zip(&names.parameters) {
                code.line(&format!("{}(out, {name});", self.encode(parameter.ty)));
            }
        });
        code.line("},");
    }
}
