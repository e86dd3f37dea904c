//! The client's side of an interface: a proxy with every operation. That of a derived
//! interface extends that of its base.

use tce_idl::model::{InterfaceId, Operation};

use super::Unit;
use super::docs::Docs;
use super::names::OperationNames;
use super::options::PythonApi;
use super::servant::literal;
use crate::source::SourceWriter;

pub(super) const TIMEOUT: &str = "timeout: float | None = None";
pub(super) const EXTRA: &str = "extra: _rt.Extra = None";

impl Unit<'_> {
    /// The constants of an interface that describe its operations.
    pub(super) fn operation_constants(&self, id: InterfaceId, code: &mut SourceWriter) {
        let interface = self.model.interface(id);
        code.blank(2);
        for (operation, names) in interface
            .operations
            .iter()
            .zip(&self.names.interface(id).operations)
        {
            let spelled = self.model.qualified_operation(id, operation);
            let parameters = operation.parameters.iter();
            let codecs: Vec<_> = parameters.map(|it| self.codec_of(Some(it.ty))).collect();
            let open = format!(
                "{}: _rt.Operation[{}] = _rt.Operation(",
                names.constant,
                self.returned(operation.returns)
            );
            let mut items = vec![
                literal(&spelled),
                interface.index.to_string(),
                operation.index.to_string(),
                format!("lambda: [{}]", codecs.join(", ")),
                format!("lambda: {}", self.codec_of(operation.returns)),
            ];
            let throws = operation.throws.iter().map(|id| {
                let module = self.model.exception(*id).module;
                self.path(module, &self.names.exception(*id).codec)
            });
            let throws: Vec<_> = throws.collect();
            if !throws.is_empty() {
                items.push(format!("throws=lambda: [{}]", throws.join(", ")));
            }
            if operation.idempotent {
                items.push("idempotent=True".to_owned());
            }
            code.list(&open, &items, ")");
        }
    }

    pub(super) fn proxy(&self, id: InterfaceId, code: &mut SourceWriter) {
        let interface = self.model.interface(id);
        let names = self.names.interface(id);
        let base = match interface.base {
            Some(base) => {
                let module = self.model.interface(base).module;
                self.path(module, &self.names.interface(base).proxy)
            }
            None => match self.options.api {
                PythonApi::Asyncio => "_rt.Proxy".to_owned(),
                PythonApi::Blocking => "_rt.BlockingProxy".to_owned(),
            },
        };
        code.blank(2);
        code.line(&format!("class {}({base}):", names.proxy));
        code.indented(|code| {
            self.interface_docs(id, "Calls").write(code);
            for (operation, operation_names) in interface.operations.iter().zip(&names.operations) {
                let method = Method {
                    operation,
                    names: operation_names,
                    docs: self.operation_docs(id, operation, operation_names),
                    proxy: &names.proxy,
                };
                match self.options.api {
                    PythonApi::Asyncio => self.coroutines(&method, code),
                    PythonApi::Blocking => self.blocking(&method, code),
                }
            }
        });
    }

    fn coroutines(&self, method: &Method<'_>, code: &mut SourceWriter) {
        let Method {
            operation,
            names,
            docs,
            ..
        } = method;
        let returned = self.returned(operation.returns);
        let mut parameters = self.parameters(operation, names);
        parameters.extend(["*", TIMEOUT, EXTRA].map(str::to_owned));
        let call = |name: &str| {
            format!(
                "{name}({}, {}, timeout, extra)",
                names.constant,
                method.arguments()
            )
        };
        code.blank(1);
        code.list(
            &format!("async def {}(", names.method),
            &parameters,
            &format!(") -> {returned}:"),
        );
        code.indented(|code| {
            docs.write(code);
            code.line(&format!("return await {}", call("self._call")));
        });
        code.blank(1);
        code.list(
            &format!("def {}(", names.method_async),
            &parameters,
            &format!(") -> _rt.Pending[{returned}]:"),
        );
        code.indented(|code| {
            refer("Sends a call of", names, " now; await the result later.").write(code);
            code.line(&format!("return {}", call("self._call_async")));
        });
        if let Some(oneway) = &names.method_oneway {
            code.blank(1);
            code.list(&format!("async def {oneway}("), &parameters, ") -> None:");
            code.indented(|code| {
                refer(
                    "Calls",
                    names,
                    " oneway: done when it is sent, without an answer.",
                )
                .write(code);
                code.line(&format!("await {}", call("self._call_oneway")));
            });
        }
    }

    fn blocking(&self, method: &Method<'_>, code: &mut SourceWriter) {
        let Method {
            operation,
            names,
            docs,
            proxy,
        } = method;
        let returned = self.returned(operation.returns);
        let parameters = self.parameters(operation, names);
        let with = |more: &[&str]| -> Vec<String> {
            let more = more.iter().map(|it| (*it).to_owned());
            parameters.iter().cloned().chain(more).collect()
        };
        let (constant, arguments) = (&names.constant, method.arguments());
        code.blank(1);
        code.list(
            &format!("def {}(", names.method),
            &with(&[TIMEOUT, EXTRA]),
            &format!(") -> {returned}:"),
        );
        code.indented(|code| {
            docs.write(code);
            code.line(&format!(
                "return self._call_blocking({constant}, {arguments}, timeout, extra)"
            ));
        });
        code.blank(1);
        let callback = format!("callback: _rt.Callback[{returned}, {proxy}]");
        code.list(
            &format!("def {}(", names.method_async),
            &with(&[
                &callback,
                "cookie: _rt.Any = None",
                EXTRA,
                TIMEOUT,
                &format!("on_error: _rt.ErrorCallback[{proxy}] | None = None"),
            ]),
            ") -> None:",
        );
        code.indented(|code| {
            refer(
                "Calls",
                names,
                ", and `callback(result, proxy, cookie)` when it is answered.",
            )
            .write(code);
            code.line("self._call_async(");
            code.indented(|code| {
                let lines = [
                    constant,
                    &arguments,
                    "self, callback, cookie",
                    "timeout, extra, on_error",
                ];
                lines.iter().for_each(|line| code.line(&format!("{line},")));
            });
            code.line(")");
        });
        if let Some(oneway) = &names.method_oneway {
            code.blank(1);
            code.list(&format!("def {oneway}("), &with(&[EXTRA]), ") -> None:");
            code.indented(|code| {
                refer(
                    "Calls",
                    names,
                    " oneway: done when it is sent, without an answer.",
                )
                .write(code);
                code.line(&format!(
                    "self._call_oneway({constant}, {arguments}, extra)"
                ));
            });
        }
    }

    /// `self` and the parameters of the IDL.
    pub(super) fn parameters(&self, operation: &Operation, names: &OperationNames) -> Vec<String> {
        let typed = operation.parameters.iter().zip(&names.parameters);
        let typed = typed.map(|(it, name)| format!("{name}: {}", self.annotation(it.ty)));
        std::iter::once("self".to_owned()).chain(typed).collect()
    }
}

/// An operation, whose methods are written.
struct Method<'m> {
    operation: &'m Operation,
    names: &'m OperationNames,
    docs: Docs,
    /// The class.
    proxy: &'m str,
}

impl Method<'_> {
    fn arguments(&self) -> String {
        arguments(self.names)
    }
}

/// A tuple of the arguments.
pub(super) fn arguments(names: &OperationNames) -> String {
    match names.parameters.as_slice() {
        [one] => format!("({one},)"),
        several => format!("({})", several.join(", ")),
    }
}

/// A sentence on how a method differs from that of the operation.
fn refer(verb: &str, names: &OperationNames, difference: &str) -> Docs {
    Docs::default().then(format!("{verb} `{}`{difference}", names.method))
}
