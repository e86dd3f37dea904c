//! A part of a description, by name.

use std::fmt;

use super::{Description, Interface, Module};
use crate::diagnostic::{is_end, nearest_end};

/// Nothing is called so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// The name as it was given.
    pub name: String,
    /// The name that may be meant.
    pub near: Option<String>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing is called `{}`", self.name)?;
        match &self.near {
            Some(near) => write!(f, ": did you mean `{near}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownName {}

pub(super) fn only(mut from: Description, given: &str) -> Result<Description, UnknownName> {
    let name = given.replace("::", ".");
    let names = names(&from.modules);
    let is_whole = names.contains(&name);
    let chosen = |full: &str| match is_whole {
        true => full == name,
        false => is_end(full, &name),
    };
    if !names.iter().any(|full| chosen(full)) {
        return Err(UnknownName {
            name: given.to_owned(),
            near: nearest_end(&name, &names),
        });
    }
    from.modules.retain_mut(|module| {
        let full = module.name.clone();
        chosen(&full) || select_module(module, &chosen)
    });
    Ok(from)
}

/// The full names of everything that can be asked for.
fn names(modules: &[Module]) -> Vec<String> {
    let mut names = Vec::new();
    for module in modules {
        names.push(module.name.clone());
        let full = |name: &str| format!("{}.{name}", module.name);
        for interface in &module.interfaces {
            let interface_name = full(&interface.name);
            let operations = interface.operations.iter();
            names.extend(operations.map(|it| format!("{interface_name}.{}", it.name)));
            names.push(interface_name);
        }
        names.extend(module.structs.iter().map(|it| full(&it.name)));
        names.extend(module.sequences.iter().map(|it| full(&it.name)));
        names.extend(module.dictionaries.iter().map(|it| full(&it.name)));
    }
    names
}

/// Keeps what is chosen of a module, and says whether that is anything.
fn select_module(module: &mut Module, chosen: &impl Fn(&str) -> bool) -> bool {
    let prefix = module.name.clone();
    let keep = |name: &str| chosen(&format!("{prefix}.{name}"));
    module
        .interfaces
        .retain_mut(|it| keep(&it.name) || select_operations(it, &prefix, chosen));
    module.structs.retain(|it| keep(&it.name));
    module.sequences.retain(|it| keep(&it.name));
    module.dictionaries.retain(|it| keep(&it.name));
    module.interfaces.len()
        + module.structs.len()
        + module.sequences.len()
        + module.dictionaries.len()
        > 0
}

/// Keeps the chosen operations of an interface, and says whether there are any.
fn select_operations(
    interface: &mut Interface,
    module: &str,
    chosen: &impl Fn(&str) -> bool,
) -> bool {
    let prefix = format!("{module}.{}", interface.name);
    interface
        .operations
        .retain(|it| chosen(&format!("{prefix}.{}", it.name)));
    interface.inherited.clear();
    !interface.operations.is_empty()
}
