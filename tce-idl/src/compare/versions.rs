//! Which interface and operation of the new version corresponds to which of the
//! old one, and whether types of both are the same, by name and on the wire.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::diagnostic::Breaks;
use crate::model::{Interface, Model, ModuleId, Operation, Type};

/// Two versions of an IDL, with their corresponding interfaces and operations.
pub(super) struct Versions<'m> {
    pub(super) old: &'m Model,
    pub(super) new: &'m Model,
    /// For each interface of the old model the corresponding new one.
    pub(super) interfaces: Vec<Option<InterfaceMatch<'m>>>,
    /// The renamed interfaces and operations, old name to new name, as `module.Interface[.operation]`.
    renamed: BTreeMap<String, String>,
}

/// The new version of an interface.
pub(super) struct InterfaceMatch<'m> {
    pub(super) new: &'m Interface,
    /// For each operation of the old interface the corresponding new one.
    pub(super) operations: Vec<Option<&'m Operation>>,
}

/// The operations of an interface, by name and by index.
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

impl<'m> Versions<'m> {
    pub(super) fn new(old: &'m Model, new: &'m Model) -> Self {
        let mut versions = Self {
            old,
            new,
            interfaces: Vec::new(),
            renamed: BTreeMap::new(),
        };
        let same = versions.same_interfaces();
        for (before, after) in old.interfaces.iter().zip(same) {
            let matched = after.map(|after| versions.match_operations(before, after));
            versions.interfaces.push(matched);
        }
        versions
    }

    /// For each old interface the new one of the same name, or else one with a
    /// new name and the same index and operations.
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
        let versions = names(old, &old.interfaces).map(|(name, it)| {
            after.get(&name).copied().or_else(|| {
                let is_renamed = fresh
                    .get(&it.index)
                    .is_some_and(|new| self.has_operations_of(new, it));
                is_renamed.then(|| fresh.remove(&it.index)).flatten()
            })
        });
        versions.collect()
    }

    /// Whether `new` has every operation of `old`, with the same index and layout.
    fn has_operations_of(&self, new: &Interface, old: &Interface) -> bool {
        let new = Operations::of(new).by_index;
        old.operations.iter().all(|operation| {
            let candidate = new.get(&operation.index);
            candidate.is_some_and(|candidate| self.is_compatible(candidate, operation))
        })
    }

    /// Whether `new` has the same parameters and result as `old` on the wire.
    fn is_compatible(&self, new: &Operation, old: &Operation) -> bool {
        let parameters = || old.parameters.iter().zip(&new.parameters);
        old.parameters.len() == new.parameters.len()
            && parameters().all(|(old, new)| same_layout(self, Some(old.ty), Some(new.ty)))
            && same_layout(self, old.returns, new.returns)
    }

    /// Matches the operations of an interface, and records the renamed ones.
    fn match_operations(
        &mut self,
        before: &'m Interface,
        after: &'m Interface,
    ) -> InterfaceMatch<'m> {
        let (old_name, new_name) = (full_name(self.old, before), full_name(self.new, after));
        let (old, new) = (Operations::of(before), Operations::of(after));
        let mut operations = Vec::new();
        for operation in &before.operations {
            let found = new.by_name.get(operation.name.as_str()).or_else(|| {
                let other = new.by_index.get(&operation.index)?;
                let is_fresh = !old.by_name.contains_key(other.name.as_str());
                (is_fresh && self.is_compatible(other, operation)).then_some(other)
            });
            operations.push(found.copied());
            if let Some(found) = found {
                let old = format!("{old_name}.{}", operation.name);
                self.rename(old, format!("{new_name}.{}", found.name));
            }
        }
        self.rename(old_name, new_name);
        InterfaceMatch {
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
        // A removed operation may belong to a renamed interface.
        let interface = old.rsplit_once('.');
        let renamed = interface.and_then(|(interface, operation)| {
            let interface = self.renamed.get(interface)?;
            Some(format!("{interface}.{operation}"))
        });
        renamed.unwrap_or_else(|| old.to_owned())
    }
}

/// What a change of a type from `old` to `new` breaks; `None` as a type means
/// `void`. A type with the same name breaks nothing here: its content is
/// compared at its declaration.
pub(super) fn change(
    versions: &Versions<'_>,
    old: Option<Type>,
    new: Option<Type>,
) -> Option<Breaks> {
    if same_name(versions, old, new) {
        return None;
    }
    Some(match same_layout(versions, old, new) {
        true => Breaks::SOURCE,
        false => Breaks::BOTH,
    })
}

fn same_name(versions: &Versions<'_>, old: Option<Type>, new: Option<Type>) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return old == new;
    };
    match (versions.old.declared(old), versions.new.declared(new)) {
        (None, None) => old == new,
        (Some((old_module, old)), Some((new_module, new))) => {
            versions.old.full_name(old_module, old) == versions.new.full_name(new_module, new)
        }
        _ => false,
    }
}

/// Both types as text, with their modules if their short names are the same.
pub(super) fn spelled(
    versions: &Versions<'_>,
    (old, old_module): (Option<Type>, ModuleId),
    (new, new_module): (Option<Type>, ModuleId),
) -> (String, String) {
    let was = versions.old.spell(old, old_module);
    let is = versions.new.spell(new, new_module);
    if was != is {
        return (was, is);
    }
    let in_full = |model: &Model, ty: Option<Type>| {
        let declared = ty.and_then(|ty| model.declared(ty));
        declared.map(|(module, name)| format!("{}::{name}", model.module(module).name))
    };
    (
        in_full(versions.old, old).unwrap_or(was),
        in_full(versions.new, new).unwrap_or(is),
    )
}

/// Whether values of both types have the same encoding, whatever the types are called.
pub(super) fn same_layout(versions: &Versions<'_>, old: Option<Type>, new: Option<Type>) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return old == new;
    };
    // Iterative, since types may be nested deeply; `seen` ends the loop for types that contain themselves.
    let mut seen = HashSet::from([(old, new)]);
    let mut open = vec![(old, new)];
    while let Some((old, new)) = open.pop() {
        let Some(parts) = parts(versions, old, new) else {
            return false;
        };
        open.extend(parts.into_iter().filter(|pair| seen.insert(*pair)));
    }
    true
}

/// The pairs of inner types that must have the same layout; `None` if the two types differ already.
fn parts(versions: &Versions<'_>, old: Type, new: Type) -> Option<Vec<(Type, Type)>> {
    let (before, after) = (versions.old, versions.new);
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
        // An enum is an `int` on the wire.
        (Type::Enum(_) | Type::Int, Type::Enum(_) | Type::Int) => Some(Vec::new()),
        (old, new) => (old == new && before.declared(old).is_none()).then(Vec::new),
    }
}
