//! Finds the operation or interface that the command line names.

use tce_idl::{
    diagnostic::{is_end, nearest_end},
    model::{InterfaceId, Model, Operation, Parameter, Type},
};
use tce_runtime::wire;

/// The operation to call.
pub(super) struct CallTarget<'m> {
    pub(super) model: &'m Model,
    /// The declaration, for messages.
    pub(super) signature: String,
    pub(super) parameters: &'m [Parameter],
    pub(super) returns: Option<Type>,
    /// Name and indices on the wire.
    pub(super) operation: wire::Operation,
}

/// No interface or operation has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} `{name}`{}", .near.as_ref().map_or(String::new(), |near| format!(": did you mean `{near}`?")))]
pub(super) struct TargetNotFound {
    kind: &'static str,
    name: String,
    near: Option<String>,
}

impl TargetNotFound {
    fn new(kind: &'static str, name: String, names: &[String]) -> Self {
        let near = nearest_end(&name, names);
        Self { kind, name, near }
    }
}

/// An interface of one of several models.
#[derive(Clone, Copy)]
pub(super) struct InterfaceRef<'m> {
    pub(super) model: &'m Model,
    pub(super) id: InterfaceId,
}

impl InterfaceRef<'_> {
    /// The full name, `module.Interface`.
    pub(super) fn name(&self) -> String {
        let interface = self.model.interface(self.id);
        self.model.full_name(interface.module, &interface.name)
    }
}

/// The interfaces of all models.
pub(super) fn interfaces(models: &[Model]) -> impl Iterator<Item = InterfaceRef<'_>> {
    models.iter().flat_map(|model| {
        let ids = (0..).map(InterfaceId).take(model.interfaces.len());
        ids.map(move |id| InterfaceRef { model, id })
    })
}

/// Finds an interface by `module.Interface` or the end of that.
pub(super) fn find_interface<'m>(
    models: &'m [Model],
    name: &str,
) -> Result<InterfaceRef<'m>, TargetNotFound> {
    let name = name.replace("::", ".");
    let found = interfaces(models).find(|interface| is_end(&interface.name(), &name));
    found.ok_or_else(|| {
        let names: Vec<_> = interfaces(models).map(|it| it.name()).collect();
        TargetNotFound::new("interface", name, &names)
    })
}

/// Finds an operation, own or inherited, by `module.Interface.operation` or the end of that.
pub(super) fn find_operation<'m>(
    models: &'m [Model],
    name: &str,
) -> Result<CallTarget<'m>, TargetNotFound> {
    let name = name.replace("::", ".");
    let mut names = Vec::new();
    for interface in interfaces(models) {
        for owner in interface.model.lineage(interface.id) {
            for operation in &interface.model.interface(owner).operations {
                let full = format!("{}.{}", interface.name(), operation.name);
                if is_end(&full, &name) {
                    return Ok(call_target(interface.model, owner, operation, &full));
                }
                names.push(full);
            }
        }
    }
    Err(TargetNotFound::new("operation", name, &names))
}

/// The operation `full_name`, which `owner` declares.
fn call_target<'m>(
    model: &'m Model,
    owner: InterfaceId,
    operation: &'m Operation,
    full_name: &str,
) -> CallTarget<'m> {
    let interface = model.interface(owner);
    // `wire::Operation` needs a static name. One operation is called per run of the program.
    let name: &'static str = full_name.replace('.', "::").leak();
    CallTarget {
        model,
        signature: model.signature(operation, interface.module),
        parameters: &operation.parameters,
        returns: operation.returns,
        // An inherited operation keeps the indices of its base.
        operation: wire::Operation::new(name, interface.index, operation.index),
    }
}
