//! Finds the operation or interface that the command line names.

use std::collections::BTreeSet;

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
    /// The interface that declares the operation, if the named one inherits it.
    pub(super) inherited_from: Option<String>,
    /// Name and indices on the wire.
    pub(super) operation: wire::Operation,
}

/// Why a name on the command line does not name one interface or operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TargetError {
    #[error("there is no {kind} `{name}`{}", .near.as_ref().map_or(String::new(), |near| format!(": did you mean `{near}`?")))]
    NotFound {
        kind: &'static str,
        name: String,
        near: Option<String>,
    },
    #[error("`{name}` is ambiguous: write {}", .full_names.join(" or "))]
    Ambiguous {
        name: String,
        full_names: Vec<String>,
    },
    #[error("`{0}` is declared twice with different indices: name one IDL file with --idl")]
    DeclaredTwice(String),
}

/// An interface or operation that a name can select.
struct Candidate<T> {
    /// The full name.
    name: String,
    /// The full name of the declaration: an inherited operation has that of the base.
    declaration: String,
    /// The indices on the wire.
    indices: (u16, u16),
    item: T,
}

/// Selects by a full name or the end of one, in IDL or C++ notation. A full name takes precedence.
fn select<T>(
    kind: &'static str,
    name: &str,
    mut candidates: Vec<Candidate<T>>,
) -> Result<Candidate<T>, TargetError> {
    let name = name.replace("::", ".");
    let is_full = candidates.iter().any(|it| it.name == name);
    let is_match = |it: &Candidate<T>| match is_full {
        true => it.name == name,
        false => is_end(&it.name, &name),
    };
    let Some(first) = candidates.iter().position(is_match) else {
        let names: Vec<_> = candidates.into_iter().map(|it| it.name).collect();
        let near = nearest_end(&name, &names);
        return Err(TargetError::NotFound { kind, name, near });
    };
    let matches = candidates.iter().filter(|it| is_match(it));
    let declarations: BTreeSet<_> = matches.map(|it| (&it.declaration, it.indices)).collect();
    if declarations.len() > 1 {
        let full_names: BTreeSet<_> = declarations.iter().map(|(name, _)| name).collect();
        return Err(match full_names.len() {
            1 => TargetError::DeclaredTwice(name),
            _ => TargetError::Ambiguous {
                full_names: full_names.iter().map(|name| format!("`{name}`")).collect(),
                name,
            },
        });
    }
    Ok(candidates.swap_remove(first))
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
) -> Result<InterfaceRef<'m>, TargetError> {
    let candidates = interfaces(models).map(|interface| Candidate {
        name: interface.name(),
        declaration: interface.name(),
        indices: (interface.model.interface(interface.id).index, 0),
        item: interface,
    });
    Ok(select("interface", name, candidates.collect())?.item)
}

/// Finds an operation, own or inherited, by `module.Interface.operation` or the end of that.
pub(super) fn find_operation<'m>(
    models: &'m [Model],
    name: &str,
) -> Result<CallTarget<'m>, TargetError> {
    let mut candidates = Vec::new();
    for interface in interfaces(models) {
        let model = interface.model;
        for owner in model.lineage(interface.id) {
            let declaring = InterfaceRef { model, id: owner };
            for operation in &model.interface(owner).operations {
                candidates.push(Candidate {
                    name: format!("{}.{}", interface.name(), operation.name),
                    declaration: format!("{}.{}", declaring.name(), operation.name),
                    indices: (model.interface(owner).index, operation.index),
                    item: (declaring, operation),
                });
            }
        }
    }
    let selected = select("operation", name, candidates)?;
    let (declaring, operation) = selected.item;
    let is_inherited = selected.name != selected.declaration;
    Ok(CallTarget {
        inherited_from: is_inherited.then(|| declaring.name()),
        ..call_target(declaring.model, declaring.id, operation, &selected.name)
    })
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
        inherited_from: None,
        // An inherited operation keeps the indices of its base.
        operation: wire::Operation::new(name, interface.index, operation.index),
    }
}
