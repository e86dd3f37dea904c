//! Compares the indices of a model with those that peers rely on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{IndexedItem, Lock, LockEntry, items, scope};
use crate::diagnostic::{Breaks, Code, Diagnostic};
use crate::model::{IndexOrigin, Model};
use crate::source::Span;

/// Where the earlier indices come from; the wording of a diagnostic depends on it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Baseline {
    /// A lock file.
    LockFile,
    /// An earlier version of the IDL.
    EarlierVersion,
}

/// The recorded names and entries of one scope, by index.
type RecordedIndices<'l> = BTreeMap<u16, (&'l str, LockEntry)>;

/// Reports each interface and operation whose index has changed, or was that of
/// another one. After all suggested edits, every recorded declaration has its
/// index again, and all indices are distinct.
pub(crate) fn changed_indices(lock: &Lock, model: &Model, baseline: Baseline) -> Vec<Diagnostic> {
    let mut recorded: HashMap<&str, RecordedIndices<'_>> = HashMap::new();
    for (name, entry) in lock.entries() {
        let recorded = recorded.entry(scope(name)).or_default();
        recorded.insert(entry.index, (name, *entry));
    }
    let items = items(model);
    let mut by_scope: BTreeMap<&str, Vec<&IndexedItem>> = BTreeMap::new();
    for item in &items {
        by_scope.entry(&item.scope).or_default().push(item);
    }
    let scopes = by_scope.into_iter().filter_map(|(scope, items)| {
        let recorded = recorded.get(scope)?;
        Some(changed_in_scope(lock, recorded, &items, baseline))
    });
    scopes.flatten().collect()
}

fn changed_in_scope(
    lock: &Lock,
    recorded: &RecordedIndices<'_>,
    items: &[&IndexedItem],
    baseline: Baseline,
) -> Vec<Diagnostic> {
    let is_new = |item: &IndexedItem| !lock.entries().contains_key(&item.name);
    let new = items.iter().filter(|item| is_new(item));
    let mut taken: BTreeSet<u16> = recorded.keys().copied().collect();
    taken.extend(new.map(|item| item.index));
    let names: HashSet<&str> = items.iter().map(|item| item.name.as_str()).collect();
    let mut found = Vec::new();
    for item in items {
        match (lock.entries().get(&item.name), recorded.get(&item.index)) {
            (Some(entry), _) if entry.index != item.index => {
                found.push(moved(item, *entry, baseline));
            }
            (None, Some((owner, entry))) => {
                let label = match baseline {
                    Baseline::LockFile if !names.contains(owner) => {
                        format!("if `{}` is its new name, write that name here", item.name)
                    }
                    _ => "has this index".to_owned(),
                };
                let free = free(&taken);
                taken.extend(free);
                let message = format!(
                    "`{}` has index {}, which peers use for `{owner}`",
                    item.name, item.index
                );
                found.push(reused(item, message, (entry.span, label), free));
            }
            _ => {}
        }
    }
    found
}

/// An unused index: after all others, or else in a gap.
fn free(taken: &BTreeSet<u16>) -> Option<u16> {
    // 65535 is reserved for the built-in interface.
    let last = u16::MAX - 1;
    let next = taken.last().map_or(0, |last| last.saturating_add(1));
    let is_free = |index: &u16| !taken.contains(index);
    (next..=last).chain(0..next.min(last)).find(is_free)
}

fn moved(item: &IndexedItem, entry: LockEntry, baseline: Baseline) -> Diagnostic {
    let IndexedItem { name, index, .. } = item;
    let old = entry.index;
    let message = format!("the index of `{name}` changed from {old} to {index}");
    let there = match baseline {
        Baseline::LockFile => format!("the lock has index {old}"),
        Baseline::EarlierVersion => format!("its index was {old}"),
    };
    let edit = item.origin.edit(old);
    let fix = format!("to keep its index, {}", advice(item.origin, old));
    Diagnostic::new(Code::IndexMoved, message)
        .at(
            item.origin.label_span(item.span),
            format!("its index is {index}"),
        )
        .note(entry.span, there)
        .fix(fix, edit.span, edit.replacement)
        .breaks(Breaks::WIRE)
}

fn reused(
    item: &IndexedItem,
    message: String,
    (there, label): (Span, String),
    free: Option<u16>,
) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code::IndexReused, message)
        .at(
            item.origin.label_span(item.span),
            format!("its index is {}", item.index),
        )
        .note(there, label)
        .breaks(Breaks::WIRE);
    match free {
        None => diagnostic.help("all indices are used: split the interface or the module"),
        Some(free) => {
            let edit = item.origin.edit(free);
            let fix = format!("{}: index {free} is unused", advice(item.origin, free));
            diagnostic.fix(fix, edit.span, edit.replacement)
        }
    }
}

/// How to set an index, as advice.
fn advice(origin: IndexOrigin, index: u16) -> String {
    match origin {
        IndexOrigin::Explicit(_) => format!("write `{index}` here"),
        IndexOrigin::Implicit(_) => format!("write `[index={index}]` before it"),
        IndexOrigin::ImplicitAnnotated(_) => format!("add `index={index}` to its annotations"),
    }
}
