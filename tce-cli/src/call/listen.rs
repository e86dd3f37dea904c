//! What a server calls on us: printed, a JSON object a line.

use std::{
    io::{self, Write},
    sync::Arc,
};

use serde_json::{Value, json};
use tce_idl::model::{Model, Operation};
use tce_runtime::{
    ErrorCode, Fault, IncomingCall, Servant,
    wire::{DecodeError, Reader, Unmarshal},
};

use super::{json::decode, target::Place};

/// Answers for an interface by printing what is called.
pub(super) struct Printer {
    model: Arc<Model>,
    name: String,
    operations: Vec<(u16, Operation)>,
    interfaces: Vec<u16>,
}

impl Printer {
    pub(super) fn new(place: &Place<'_>) -> Self {
        let owners = place.model.lineage(place.id);
        let owners = owners.map(|id| place.model.interface(id));
        let operations = owners.flat_map(|owner| {
            let operations = owner.operations.iter();
            operations.map(|operation| (owner.index, operation.clone()))
        });
        let operations: Vec<_> = operations.collect();
        Self {
            model: Arc::new(place.model.clone()),
            name: place.name(),
            interfaces: operations.iter().map(|(ifidx, _)| *ifidx).collect(),
            operations,
        }
    }

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

/// Prints, as the servant that it is.
pub(super) struct Listener(pub(super) Arc<Printer>);

impl Servant for Listener {
    fn interfaces(&self) -> &[u16] {
        &self.0.interfaces
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        let key = (call.ifidx(), call.opidx());
        let is_it = |(ifidx, operation): &&(u16, Operation)| (*ifidx, operation.index) == key;
        let Some((_, operation)) = self.0.operations.iter().find(is_it).cloned() else {
            return call.unknown_operation();
        };
        call.run(&self.0, |printer, Rest(params), ctx| async move {
            let printed = printer.print(&operation, &params);
            // What a void operation returns is nothing; of others it is not known.
            let answer = match operation.returns {
                None => printed,
                Some(_) => Err(Fault::new(
                    ErrorCode::RemoteException,
                    "`tce call --listen` prints calls and answers none",
                )),
            };
            (ctx, answer)
        });
    }
}

/// All bytes that are left.
pub(super) struct Rest(pub(super) Vec<u8>);

impl Unmarshal for Rest {
    const MIN_SIZE: usize = 0;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = input.remaining().len();
        Ok(Self(input.take(len)?.to_vec()))
    }
}
