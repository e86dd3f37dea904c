//! What is called: an operation, by its name.

use tce_idl::{
    diagnostic::{is_end, nearest_end},
    model::{InterfaceId, Model, Operation, Parameter, Type},
};
use tce_runtime::wire;

/// An operation of one of several models.
pub(super) struct Target<'m> {
    pub(super) model: &'m Model,
    pub(super) signature: String,
    pub(super) parameters: &'m [Parameter],
    pub(super) returns: Option<Type>,
    /// What goes on the wire.
    pub(super) operation: wire::Operation,
}

/// Nothing is called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {what} is called `{name}`{}", .near.as_ref().map_or(String::new(), |near| format!(": did you mean `{near}`?")))]
pub(super) struct Unknown {
    what: &'static str,
    name: String,
    near: Option<String>,
}

/// An interface of one of several models.
#[derive(Clone, Copy)]
pub(super) struct Place<'m> {
    pub(super) model: &'m Model,
    pub(super) id: InterfaceId,
}

impl Place<'_> {
    pub(super) fn name(&self) -> String {
        let interface = self.model.interface(self.id);
        self.model.full_name(interface.module, &interface.name)
    }
}

pub(super) fn interfaces(models: &[Model]) -> impl Iterator<Item = Place<'_>> {
    models.iter().flat_map(|model| {
        let ids = (0..).map(InterfaceId).take(model.interfaces.len());
        ids.map(move |id| Place { model, id })
    })
}

/// The interface `module.Interface`; its module may be left out.
pub(super) fn find_interface<'m>(models: &'m [Model], name: &str) -> Result<Place<'m>, Unknown> {
    let name = name.replace("::", ".");
    interfaces(models)
        .find(|place| is_end(&place.name(), &name))
        .ok_or_else(|| {
            let names: Vec<_> = interfaces(models).map(|place| place.name()).collect();
            unknown("interface", &name, &names)
        })
}

/// The operation `module.Interface.operation`, inherited ones too; words at the
/// front may be left out.
pub(super) fn find<'m>(models: &'m [Model], name: &str) -> Result<Target<'m>, Unknown> {
    let name = name.replace("::", ".");
    let mut names = Vec::new();
    for place in interfaces(models) {
        for owner in place.model.lineage(place.id) {
            for operation in &place.model.interface(owner).operations {
                let full = format!("{}.{}", place.name(), operation.name);
                if is_end(&full, &name) {
                    return Ok(target(place.model, owner, operation, &full));
                }
                names.push(full);
            }
        }
    }
    Err(unknown("operation", &name, &names))
}

fn target<'m>(
    model: &'m Model,
    owner: InterfaceId,
    operation: &'m Operation,
    name: &str,
) -> Target<'m> {
    let interface = model.interface(owner);
    // Operations have names that live as long as the program; there is one.
    let spelt: &'static str = name.replace('.', "::").leak();
    Target {
        model,
        signature: model.signature(operation, interface.module),
        parameters: &operation.parameters,
        returns: operation.returns,
        // An inherited operation keeps its base's index.
        operation: wire::Operation::new(spelt, interface.index, operation.index),
    }
}

fn unknown(what: &'static str, name: &str, names: &[String]) -> Unknown {
    Unknown {
        what,
        name: name.to_owned(),
        near: nearest_end(name, names),
    }
}
