//! `--listen`: prints the calls that the server makes, one JSON object per line.

use std::{
    io::{self, Write},
    sync::Arc,
};

use serde_json::{Value, json};
use tce_dynamic::{InterfaceRef, UndecodedBytes, decode};
use tce_idl::model::{Model, Operation};
use tce_runtime::{
    ErrorCode, Fault, IncomingCall, Servant,
    wire::{DecodeError, Reader},
};

/// A servant for an interface that prints its calls.
pub(super) struct PrintServant {
    interfaces: Vec<u16>,
    printer: Arc<CallPrinter>,
}

struct CallPrinter {
    model: Model,
    /// Full name of the interface.
    name: String,
    /// Own and inherited operations, each with the index of the interface that declares it.
    operations: Vec<(u16, Operation)>,
}

impl PrintServant {
    pub(super) fn new(interface: &InterfaceRef<'_>) -> Self {
        let model = interface.model;
        let owners = model.lineage(interface.id).map(|id| model.interface(id));
        let operations = owners.flat_map(|owner| {
            let operations = owner.operations.iter();
            operations.map(|operation| (owner.index, operation.clone()))
        });
        let operations: Vec<_> = operations.collect();
        Self {
            interfaces: operations.iter().map(|(ifidx, _)| *ifidx).collect(),
            printer: Arc::new(CallPrinter {
                model: model.clone(),
                name: interface.name(),
                operations,
            }),
        }
    }
}

impl CallPrinter {
    fn print(&self, operation: &Operation, params: &[u8]) -> Result<(), Fault> {
        let mut input = Reader::new(params);
        let values = operation.parameters.iter().map(|parameter| {
            let value = decode(&self.model, parameter.ty, &mut input)?;
            Ok((parameter.name.clone(), value))
        });
        let values: Result<serde_json::Map<String, Value>, DecodeError> = values.collect();
        let arguments = values?;
        let line = json!({
            "interface": self.name,
            "operation": operation.name,
            "arguments": arguments,
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }
}

impl Servant for PrintServant {
    fn interfaces(&self) -> &[u16] {
        &self.interfaces
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        let key = (call.ifidx(), call.opidx());
        let is_called = |(ifidx, operation): &&(u16, Operation)| (*ifidx, operation.index) == key;
        let Some((_, operation)) = self.printer.operations.iter().find(is_called).cloned() else {
            return call.unknown_operation();
        };
        call.run(
            &self.printer,
            |printer, UndecodedBytes(params), ctx| async move {
                let printed = printer.print(&operation, &params);
                let result = match operation.returns {
                    None => printed,
                    Some(_) => Err(Fault::new(
                        ErrorCode::RemoteException,
                        "`tce call --listen` prints calls and returns no results",
                    )),
                };
                (ctx, result)
            },
        );
    }
}
