//! Finds the operation or interface that a user names.

use std::collections::BTreeSet;

use tce_idl::{
    diagnostic::{is_end, nearest_end},
    model::{InterfaceId, Model, Operation, Parameter, Type},
};
use tce_runtime::wire;

/// The operation to call.
#[derive(Debug)]
pub struct CallTarget<'m> {
    /// The model that declares it.
    pub model: &'m Model,
    /// The declaration, for messages.
    pub signature: String,
    /// The parameters in declared order.
    pub parameters: &'m [Parameter],
    /// The type of the result; `None` for `void`.
    pub returns: Option<Type>,
    /// The interface that declares the operation, if the named one inherits it.
    pub inherited_from: Option<String>,
    /// Name and indices on the wire.
    pub operation: wire::Operation,
}

/// Why a name does not name one interface or operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No interface or operation has the name.
    #[error("there is no {kind} `{name}`{}", .near.as_ref().map_or(String::new(), |near| format!(": did you mean `{near}`?")))]
    NotFound {
        /// Interface or operation.
        kind: &'static str,
        /// The name as given.
        name: String,
        /// A similar name that exists.
        near: Option<String>,
    },
    /// Several have the name.
    #[error("`{name}` is ambiguous: write {}", .full_names.join(" or "))]
    Ambiguous {
        /// The name as given.
        name: String,
        /// The full names that it may stand for, in backquotes.
        full_names: Vec<String>,
    },
    /// Two models give the same name different indices.
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
#[derive(Debug, Clone, Copy)]
pub struct InterfaceRef<'m> {
    /// The model that declares it.
    pub model: &'m Model,
    /// Its id in the model.
    pub id: InterfaceId,
}

impl InterfaceRef<'_> {
    /// The full name, `module.Interface`.
    #[must_use]
    pub fn name(&self) -> String {
        let interface = self.model.interface(self.id);
        self.model.full_name(interface.module, &interface.name)
    }
}

/// The interfaces of all models.
pub fn interfaces(models: &[Model]) -> impl Iterator<Item = InterfaceRef<'_>> {
    models.iter().flat_map(|model| {
        let ids = (0..).map(InterfaceId).take(model.interfaces.len());
        ids.map(move |id| InterfaceRef { model, id })
    })
}

/// Finds an interface by `module.Interface` or the end of that.
///
/// # Errors
/// The name is unknown or ambiguous.
pub fn find_interface<'m>(
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

/// Finds an operation, own or inherited, by `module.Interface.operation` or the end of that. The name
/// of the result's `operation` is never freed: find an operation once and keep it.
///
/// # Errors
/// The name is unknown or ambiguous.
pub fn find_operation<'m>(models: &'m [Model], name: &str) -> Result<CallTarget<'m>, TargetError> {
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
    // `wire::Operation` needs a static name.
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
