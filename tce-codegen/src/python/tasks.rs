//! The client of an interface's tasks. That of a derived interface extends that of its base.
//! Generated code says `_tasks` for `tce.tasks.codegen`.

use tce_idl::model::InterfaceId;

use super::Unit;
use super::servant::literal;
use crate::source::SourceWriter;

impl Unit<'_> {
    pub(super) fn task_client(&self, id: InterfaceId, code: &mut SourceWriter) {
        let interface = self.model.interface(id);
        let names = self.names.interface(id);
        let Some(tasks) = &names.tasks else { return };
        let base = interface.base.and_then(|base| {
            let names = self.names.interface(base).tasks.as_ref()?;
            Some(self.path(self.model.interface(base).module, &names.class))
        });
        let base = base.unwrap_or_else(|| "_tasks.TaskSender".to_owned());
        let full_name = self.model.full_name(interface.module, &interface.name);
        let group = interface.tasks.as_ref().unwrap_or(&full_name);
        code.blank(2);
        code.line(&format!("class {}({base}):", tasks.class));
        code.indented(|code| {
            self.interface_docs(id, "Sends as tasks the operations of")
                .write(code);
            code.blank(1);
            code.line(&format!("_interface = {}", literal(&full_name)));
            code.line(&format!("_group = {}", literal(group)));
            let operations = interface.operations.iter().zip(&names.operations);
            for ((operation, names), method) in operations.zip(&tasks.methods) {
                let returned = self.returned(operation.returns);
                let arguments = match names.parameters.as_slice() {
                    [one] => format!("({one},)"),
                    several => format!("({})", several.join(", ")),
                };
                code.blank(1);
                code.list(
                    &format!("def {method}("),
                    &self.parameters(operation, names),
                    &format!(") -> _tasks.TaskCall[{returned}]:"),
                );
                code.indented(|code| {
                    self.operation_docs(id, operation, names).write(code);
                    let items = [
                        names.constant.clone(),
                        literal(&operation.name),
                        arguments,
                        format!("lambda: {returned}"),
                    ];
                    code.list("return self._task(", &items, ")");
                });
            }
        });
    }
}
