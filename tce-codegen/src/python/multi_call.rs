//! What calls an interface at all members of a topic: a class whose methods return a
//! `MultiCall`. That of a derived interface extends that of its base.

use tce_idl::model::InterfaceId;

use super::Unit;
use super::proxy::{EXTRA, TIMEOUT, arguments};
use crate::source::SourceWriter;

/// The methods and attributes of `MultiProxy` that `Proxy`, whose names no operation has, lacks.
const RESERVED_METHODS: &[&str] = &[
    "_except",
    "_expecting",
    "_only",
    "except_",
    "expecting",
    "only",
];

impl Unit<'_> {
    pub(super) fn multi_call(&self, id: InterfaceId, code: &mut SourceWriter) {
        let interface = self.model.interface(id);
        let names = self.names.interface(id);
        let base = interface.base.map(|base| {
            let module = self.model.interface(base).module;
            self.path(module, &self.names.interface(base).multi_call)
        });
        let base = base.unwrap_or_else(|| "_rt.MultiProxy".to_owned());
        code.blank(2);
        code.line(&format!("class {}({base}):", names.multi_call));
        code.indented(|code| {
            self.interface_docs(id, "Calls all members of a topic with")
                .write(code);
            for (operation, names) in interface.operations.iter().zip(&names.operations) {
                let is_reserved = RESERVED_METHODS.contains(&names.method.as_str());
                let suffix = if is_reserved { "_" } else { "" };
                let mut parameters = self.parameters(operation, names);
                parameters.extend(["*", TIMEOUT, EXTRA].map(str::to_owned));
                let returned = self.returned(operation.returns);
                code.blank(1);
                code.list(
                    &format!("def {}{suffix}(", names.method),
                    &parameters,
                    &format!(") -> _rt.MultiCall[{returned}]:"),
                );
                code.indented(|code| {
                    self.operation_docs(id, operation, names).write(code);
                    code.line(&format!(
                        "return self._call({}, {}, timeout, extra)",
                        names.constant,
                        arguments(names)
                    ));
                });
            }
        });
    }
}
