//! Which modules each module imports, and where: at the end those that import it, too.
//!
//! A class is defined after its base, so modules whose interfaces extend each
//! other's can't be imported in any order. All other references are evaluated late.

use std::collections::BTreeSet;

use tce_idl::model::{Element, Interface, Model, ModuleId, Type};

use super::LANGUAGE;
use crate::Error;

/// The imports of one module, in declared order.
pub(super) struct Imports {
    /// At the beginning of the file.
    pub(super) early: Vec<ModuleId>,
    /// At the end of the file.
    pub(super) late: Vec<ModuleId>,
}

/// The imports of every module.
///
/// # Errors
/// [`Error::Options`] where interfaces of two modules extend each other's.
pub(super) fn of(model: &Model) -> Result<Vec<Imports>, Error> {
    let bases: Vec<_> = ids(model).map(|id| bases(model, id)).collect();
    let all: Vec<_> = ids(model)
        .map(|id| &bases[id.0 as usize] | &types(model, id))
        .collect();
    ids(model)
        .map(|id| {
            if let Some(other) = bases[id.0 as usize]
                .iter()
                .find(|base| reaches(&bases, **base, id))
            {
                return Err(circle(model, id, *other));
            }
            let is_early = |other: &ModuleId| {
                bases[id.0 as usize].contains(other) || !reaches(&all, *other, id)
            };
            let (early, late) = all[id.0 as usize].iter().partition(|other| is_early(other));
            Ok(Imports { early, late })
        })
        .collect()
}

fn ids(model: &Model) -> impl Iterator<Item = ModuleId> {
    (0..).map(ModuleId).take(model.modules.len())
}

fn circle(model: &Model, one: ModuleId, other: ModuleId) -> Error {
    let (one, other) = (&model.module(one).name, &model.module(other).name);
    Error::Options {
        language: LANGUAGE.name(),
        message: format!(
            "interfaces of the modules `{one}` and `{other}` extend each other's, and Python \
             imports one module before the other: declare them in one module"
        ),
    }
}

/// Whether there is a path from a module to another one.
fn reaches(edges: &[BTreeSet<ModuleId>], from: ModuleId, to: ModuleId) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            next.extend(&edges[module.0 as usize]);
        }
    }
    false
}

fn interfaces(model: &Model, module: ModuleId) -> impl Iterator<Item = &Interface> {
    model
        .interfaces
        .iter()
        .filter(move |it| it.module == module)
}

/// The other modules whose interfaces this one's extend.
fn bases(model: &Model, id: ModuleId) -> BTreeSet<ModuleId> {
    let bases = interfaces(model, id).filter_map(|it| it.base);
    bases
        .map(|base| model.interface(base).module)
        .filter(|module| *module != id)
        .collect()
}

/// The other modules whose types this one uses.
fn types(model: &Model, id: ModuleId) -> BTreeSet<ModuleId> {
    let mut used: Vec<Type> = Vec::new();
    for element in &model.module(id).elements {
        match *element {
            Element::Struct(id) => used.extend(model.struct_(id).members.iter().map(|it| it.ty)),
            Element::Exception(id) => {
                used.extend(model.exception(id).members.iter().map(|it| it.ty));
            }
            Element::Enum(_) | Element::Constant(_) => {}
            Element::Sequence(id) => used.push(model.sequence(id).element),
            Element::Dictionary(id) => {
                used.extend([model.dictionary(id).key, model.dictionary(id).value]);
            }
            Element::Interface(id) => {
                for operation in &model.interface(id).operations {
                    used.extend(operation.parameters.iter().map(|it| it.ty));
                    used.extend(operation.returns);
                }
            }
        }
    }
    let operations = interfaces(model, id).flat_map(|it| &it.operations);
    let thrown = operations.flat_map(|it| &it.throws);
    let thrown = thrown.map(|id| model.exception(*id).module);
    used.into_iter()
        .filter_map(|ty| model.declared(ty))
        .map(|(module, _)| module)
        .chain(thrown)
        .filter(|module| *module != id)
        .collect()
}
