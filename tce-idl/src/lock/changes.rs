//! A model held against the indices that peers know.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Entry, Item, Lock, items, scope};
use crate::diagnostic::{Breaks, Code, Diagnostic};
use crate::model::{IndexPlace, Model};
use crate::source::Span;

/// Where the earlier indices come from, for the words of a diagnostic.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Before {
    /// A lock file.
    Locked,
    /// An earlier version of the IDL.
    Declared,
}

/// The entries of one scope, by index: what is known there, and by which name.
type Known<'l> = BTreeMap<u16, (&'l str, Entry)>;

/// Each interface and operation whose index is not what peers know. With all
/// of the edits made, every known one has its index, and no two have the same.
pub(crate) fn hold(lock: &Lock, model: &Model, before: Before) -> Vec<Diagnostic> {
    let mut known: HashMap<&str, Known<'_>> = HashMap::new();
    for (name, entry) in lock.entries() {
        let known = known.entry(scope(name)).or_default();
        known.insert(entry.index, (name, *entry));
    }
    let items = items(model);
    let mut by_scope: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in &items {
        by_scope.entry(&item.scope).or_default().push(item);
    }
    let scopes = by_scope.into_iter().filter_map(|(scope, items)| {
        let known = known.get(scope)?;
        Some(hold_scope(lock, known, &items, before))
    });
    scopes.flatten().collect()
}

fn hold_scope(lock: &Lock, known: &Known<'_>, items: &[&Item], before: Before) -> Vec<Diagnostic> {
    let is_new = |item: &Item| !lock.entries().contains_key(&item.name);
    let new = items.iter().filter(|item| is_new(item));
    let mut taken: BTreeSet<u16> = known.keys().copied().collect();
    taken.extend(new.map(|item| item.index));
    let names: HashSet<&str> = items.iter().map(|item| item.name.as_str()).collect();
    let mut found = Vec::new();
    for item in items {
        match (lock.entries().get(&item.name), known.get(&item.index)) {
            (Some(entry), _) if entry.index != item.index => {
                found.push(moved(item, *entry, before));
            }
            (None, Some((owner, entry))) => {
                let label = match before {
                    Before::Locked if !names.contains(owner) => {
                        format!("if `{}` is its new name, write that here", item.name)
                    }
                    _ => "it is this one's".to_owned(),
                };
                let free = free(&taken);
                taken.extend(free);
                let message = format!(
                    "`{}` takes index {}, which peers know as `{owner}`",
                    item.name, item.index
                );
                found.push(reused(item, message, (entry.span, label), free));
            }
            _ => {}
        }
    }
    found
}

/// An index for something new: after all others, or in a gap where there is no after.
fn free(taken: &BTreeSet<u16>) -> Option<u16> {
    // 65535 is the built-in interface's.
    let last = u16::MAX - 1;
    let next = taken.last().map_or(0, |last| last.saturating_add(1));
    let is_free = |index: &u16| !taken.contains(index);
    (next..=last).chain(0..next.min(last)).find(is_free)
}

fn moved(item: &Item, entry: Entry, before: Before) -> Diagnostic {
    let Item { name, index, .. } = item;
    let old = entry.index;
    let message = format!("`{name}` moved from index {old} to {index}");
    let there = match before {
        Before::Locked => format!("locked at {old}"),
        Before::Declared => format!("its index was {old}"),
    };
    let edit = item.place.write(old);
    let fix = format!("to keep its index, {}", advice(item.place, old));
    Diagnostic::new(Code::IndexMoved, message)
        .at(
            item.place.or_name(item.span),
            format!("its index is {index}"),
        )
        .note(entry.span, there)
        .fix(fix, edit.span, edit.replacement)
        .breaks(Breaks::WIRE)
}

fn reused(
    item: &Item,
    message: String,
    (there, label): (Span, String),
    free: Option<u16>,
) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code::IndexReused, message)
        .at(
            item.place.or_name(item.span),
            format!("its index is {}", item.index),
        )
        .note(there, label)
        .breaks(Breaks::WIRE);
    match free {
        None => diagnostic.help("no index is free: split the interface, or the module"),
        Some(free) => {
            let edit = item.place.write(free);
            let fix = format!("{}: that index is free", advice(item.place, free));
            diagnostic.fix(fix, edit.span, edit.replacement)
        }
    }
}

/// What to do to give something an index, for a person.
fn advice(place: IndexPlace, index: u16) -> String {
    match place {
        IndexPlace::Written(_) => format!("write `{index}` here"),
        IndexPlace::Counted(_) => format!("write `[index={index}]` before it"),
        IndexPlace::Annotated(_) => format!("add `index={index}` to its annotations"),
    }
}
