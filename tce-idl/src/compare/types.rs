//! Whether types of two versions are the same, by name and on the wire.

use std::collections::HashSet;

use super::pairs::Pairs;
use crate::diagnostic::Breaks;
use crate::model::{Model, ModuleId, Type};

/// What it breaks that `old` has become `new`; `None` stands for `void`. A
/// type that keeps its name breaks nothing here: what it holds is compared
/// where it is declared.
pub(super) fn change(pairs: &Pairs<'_>, old: Option<Type>, new: Option<Type>) -> Option<Breaks> {
    if same_name(pairs, old, new) {
        return None;
    }
    Some(match same_layout(pairs, old, new) {
        true => Breaks::SOURCE,
        false => Breaks::BOTH,
    })
}

fn same_name(pairs: &Pairs<'_>, old: Option<Type>, new: Option<Type>) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return old == new;
    };
    match (pairs.old.declared(old), pairs.new.declared(new)) {
        (None, None) => old == new,
        (Some((old_module, old)), Some((new_module, new))) => {
            pairs.old.full_name(old_module, old) == pairs.new.full_name(new_module, new)
        }
        _ => false,
    }
}

/// Both types for a reader, in full where their short names are the same.
pub(super) fn spelled(
    pairs: &Pairs<'_>,
    (old, old_module): (Option<Type>, ModuleId),
    (new, new_module): (Option<Type>, ModuleId),
) -> (String, String) {
    let was = pairs.old.spell(old, old_module);
    let is = pairs.new.spell(new, new_module);
    if was != is {
        return (was, is);
    }
    let in_full = |model: &Model, ty: Option<Type>| {
        let declared = ty.and_then(|ty| model.declared(ty));
        declared.map(|(module, name)| format!("{}::{name}", model.module(module).name))
    };
    (
        in_full(pairs.old, old).unwrap_or(was),
        in_full(pairs.new, new).unwrap_or(is),
    )
}

/// Whether values of both types are the same bytes, whatever they are called.
pub(super) fn same_layout(pairs: &Pairs<'_>, old: Option<Type>, new: Option<Type>) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return old == new;
    };
    // Types may contain themselves, deeply: this does not recurse.
    let mut seen = HashSet::from([(old, new)]);
    let mut open = vec![(old, new)];
    while let Some((old, new)) = open.pop() {
        let Some(parts) = parts(pairs, old, new) else {
            return false;
        };
        open.extend(parts.into_iter().filter(|pair| seen.insert(*pair)));
    }
    true
}

/// The pairs of types that must have the same layout for these two to have it.
fn parts(pairs: &Pairs<'_>, old: Type, new: Type) -> Option<Vec<(Type, Type)>> {
    let (before, after) = (pairs.old, pairs.new);
    match (old, new) {
        (Type::Struct(old), Type::Struct(new)) => {
            let (old, new) = (&before.struct_(old).members, &after.struct_(new).members);
            let members = old.iter().zip(new).map(|(old, new)| (old.ty, new.ty));
            (old.len() == new.len()).then(|| members.collect())
        }
        (Type::Sequence(old), Type::Sequence(new)) => Some(vec![(
            before.sequence(old).element,
            after.sequence(new).element,
        )]),
        (Type::Dictionary(old), Type::Dictionary(new)) => {
            let (old, new) = (before.dictionary(old), after.dictionary(new));
            Some(vec![(old.key, new.key), (old.value, new.value)])
        }
        (old, new) => (old == new && before.declared(old).is_none()).then(Vec::new),
    }
}
