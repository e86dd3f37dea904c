//! Which part of the new version is which of the old one.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::diagnostic::Breaks;
use crate::model::{Interface, Model, ModuleId, Operation, Type};

/// Two versions, and what in them belongs together.
pub(super) struct Pairs<'m> {
    pub(super) old: &'m Model,
    pub(super) new: &'m Model,
    /// As the interfaces of the old model.
    pub(super) interfaces: Vec<Option<Pair<'m>>>,
    /// Interfaces and operations with a new name: both as `module.Interface[.operation]`.
    renamed: BTreeMap<String, String>,
}

/// An interface that both versions have.
pub(super) struct Pair<'m> {
    pub(super) new: &'m Interface,
    /// As the operations of the old interface.
    pub(super) operations: Vec<Option<&'m Operation>>,
}

/// The operations of an interface.
struct Operations<'m> {
    by_name: HashMap<&'m str, &'m Operation>,
    by_index: HashMap<u16, &'m Operation>,
}

impl<'m> Operations<'m> {
    fn of(interface: &'m Interface) -> Self {
        let operations = || interface.operations.iter();
        Self {
            by_name: operations().map(|it| (it.name.as_str(), it)).collect(),
            by_index: operations().map(|it| (it.index, it)).collect(),
        }
    }
}

fn full_name(model: &Model, interface: &Interface) -> String {
    model.full_name(interface.module, &interface.name)
}

impl<'m> Pairs<'m> {
    pub(super) fn new(old: &'m Model, new: &'m Model) -> Self {
        let mut pairs = Self {
            old,
            new,
            interfaces: Vec::new(),
            renamed: BTreeMap::new(),
        };
        let same = pairs.same_interfaces();
        for (before, after) in old.interfaces.iter().zip(same) {
            let pair = after.map(|after| pairs.pair(before, after));
            pairs.interfaces.push(pair);
        }
        pairs
    }

    /// For each old interface the new one of the same name, or else a new name
    /// for the same index and operations.
    fn same_interfaces(&self) -> Vec<Option<&'m Interface>> {
        let (old, new) = (self.old, self.new);
        let names =
            |model, list: &'m [Interface]| list.iter().map(move |it| (full_name(model, it), it));
        let before: HashSet<String> = names(old, &old.interfaces).map(|(name, _)| name).collect();
        let after: HashMap<String, &Interface> = names(new, &new.interfaces).collect();
        let mut fresh: BTreeMap<u16, &Interface> = BTreeMap::new();
        for (_, it) in names(new, &new.interfaces).filter(|(name, _)| !before.contains(name)) {
            fresh.entry(it.index).or_insert(it);
        }
        let pairs = names(old, &old.interfaces).map(|(name, it)| {
            after.get(&name).copied().or_else(|| {
                let serves = fresh.get(&it.index).is_some_and(|new| self.serves(new, it));
                serves.then(|| fresh.remove(&it.index)).flatten()
            })
        });
        pairs.collect()
    }

    /// Whether callers of the interface `old` may call `new` without noticing.
    fn serves(&self, new: &Interface, old: &Interface) -> bool {
        let new = Operations::of(new).by_index;
        old.operations.iter().all(|operation| {
            let candidate = new.get(&operation.index);
            candidate.is_some_and(|candidate| self.answers(candidate, operation))
        })
    }

    /// Whether callers of the operation `old` may call `new` without noticing.
    fn answers(&self, new: &Operation, old: &Operation) -> bool {
        let parameters = || old.parameters.iter().zip(&new.parameters);
        old.parameters.len() == new.parameters.len()
            && parameters().all(|(old, new)| types::same_layout(self, Some(old.ty), Some(new.ty)))
            && types::same_layout(self, old.returns, new.returns)
    }

    /// Pairs the operations, and notes what has a new name.
    fn pair(&mut self, before: &'m Interface, after: &'m Interface) -> Pair<'m> {
        let (old_name, new_name) = (full_name(self.old, before), full_name(self.new, after));
        let (old, new) = (Operations::of(before), Operations::of(after));
        let mut operations = Vec::new();
        for operation in &before.operations {
            let found = new.by_name.get(operation.name.as_str()).or_else(|| {
                let other = new.by_index.get(&operation.index)?;
                let is_fresh = !old.by_name.contains_key(other.name.as_str());
                (is_fresh && self.answers(other, operation)).then_some(other)
            });
            operations.push(found.copied());
            if let Some(found) = found {
                let old = format!("{old_name}.{}", operation.name);
                self.rename(old, format!("{new_name}.{}", found.name));
            }
        }
        self.rename(old_name, new_name);
        Pair {
            new: after,
            operations,
        }
    }

    fn rename(&mut self, old: String, new: String) {
        if old != new {
            self.renamed.insert(old, new);
        }
    }

    /// The new name of `module.Interface[.operation]`.
    pub(super) fn new_name(&self, old: &str) -> String {
        if let Some(name) = self.renamed.get(old) {
            return name.clone();
        }
        // An operation that is gone may be one of an interface with a new name.
        let interface = old.rsplit_once('.');
        let renamed = interface.and_then(|(interface, operation)| {
            let interface = self.renamed.get(interface)?;
            Some(format!("{interface}.{operation}"))
        });
        renamed.unwrap_or_else(|| old.to_owned())
    }
}

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
