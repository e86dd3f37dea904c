//! Ordered lists of names and types: the members of a struct, the parameters of an operation.

use std::collections::{HashMap, HashSet};

use super::versions::{self, Versions};
use crate::diagnostic::{Breaks, Code, Diagnostic};
use crate::model::{ModuleId, Type};
use crate::source::Span;

/// One member or parameter.
pub(super) struct TypedName<'m> {
    pub(super) name: &'m str,
    pub(super) ty: Type,
    pub(super) span: Span,
}

/// A list in both versions, and the terms of its diagnostics.
pub(super) struct ListComparison<'m> {
    pub(super) versions: &'m Versions<'m>,
    pub(super) old: Vec<TypedName<'m>>,
    pub(super) new: Vec<TypedName<'m>>,
    /// The struct or operation, as `module.Interface.operation`, and its position in the new version.
    pub(super) owner: String,
    pub(super) span: Span,
    pub(super) modules: (ModuleId, ModuleId),
    pub(super) terms: &'static ListTerms,
}

/// The terms and codes for members or for parameters.
pub(super) struct ListTerms {
    pub(super) noun: &'static str,
    /// The advice what to do instead of changing the list.
    pub(super) instead: &'static str,
    pub(super) added: Code,
    pub(super) removed: Code,
    pub(super) retyped: Code,
    pub(super) renamed: Code,
    pub(super) reordered: Code,
}

/// The most names that a help message lists.
const SHOWN: usize = 12;

/// Parts by name.
type ByName<'l, 'm> = HashMap<&'l str, (usize, &'l TypedName<'m>)>;

fn by_name<'l, 'm>(list: &'l [TypedName<'m>]) -> ByName<'l, 'm> {
    let parts = list.iter().enumerate();
    parts.map(|(at, part)| (part.name, (at, part))).collect()
}

impl ListComparison<'_> {
    pub(super) fn compare(&self, found: &mut Vec<Diagnostic>) {
        let (before, after) = (by_name(&self.old), by_name(&self.new));
        let mut renamed = HashSet::new();
        for (old, new) in self.old.iter().zip(&self.new) {
            let is_new = !after.contains_key(old.name) && !before.contains_key(new.name);
            if is_new && self.old.len() == self.new.len() && self.has_one_type(old, new) {
                found.push(self.rename(old, new));
                renamed.extend([old.name, new.name]);
            }
        }
        for part in self.old.iter().filter(|it| !renamed.contains(it.name)) {
            match after.get(part.name) {
                None => found.push(self.remove(part)),
                Some((_, now)) => found.extend(self.retype(part, now)),
            }
        }
        let added = self.new.iter().filter(|it| !before.contains_key(it.name));
        let added = added.filter(|it| !renamed.contains(it.name));
        found.extend(added.map(|part| self.add(part)));
        found.extend(self.reorder(&before, &after));
    }

    fn has_one_type(&self, old: &TypedName<'_>, new: &TypedName<'_>) -> bool {
        versions::change(self.versions, Some(old.ty), Some(new.ty)).is_none()
    }

    fn name(&self, part: &TypedName<'_>) -> String {
        format!("{} `{}` of `{}`", self.terms.noun, part.name, self.owner)
    }

    fn rename(&self, old: &TypedName<'_>, new: &TypedName<'_>) -> Diagnostic {
        let message = format!("{} is renamed to `{}`", self.name(old), new.name);
        Diagnostic::new(self.terms.renamed, message)
            .at(new.span, "")
            .note(old.span, "renamed from this")
            .fix(
                format!("rename it back to `{}`", old.name),
                new.span,
                old.name,
            )
            .breaks(Breaks::SOURCE)
    }

    fn add(&self, part: &TypedName<'_>) -> Diagnostic {
        Diagnostic::new(self.terms.added, format!("{} is added", self.name(part)))
            .at(part.span, "old peers neither send nor expect it")
            .help(self.terms.instead)
            .breaks(Breaks::BOTH)
    }

    fn remove(&self, part: &TypedName<'_>) -> Diagnostic {
        let message = format!("{} is removed", self.name(part));
        let ty = self.versions.old.spell(Some(part.ty), self.modules.0);
        let label = format!("no longer has `{ty} {}`", part.name);
        Diagnostic::new(self.terms.removed, message)
            .at(self.span, label)
            .note(part.span, "it was declared here")
            .help(self.terms.instead)
            .breaks(Breaks::BOTH)
    }

    fn retype(&self, old: &TypedName<'_>, new: &TypedName<'_>) -> Option<Diagnostic> {
        let breaks = versions::change(self.versions, Some(old.ty), Some(new.ty))?;
        let before = (Some(old.ty), self.modules.0);
        let (was, is) = versions::spelled(self.versions, before, (Some(new.ty), self.modules.1));
        let message = format!(
            "the type of {} changed from `{was}` to `{is}`",
            self.name(new)
        );
        let diagnostic = Diagnostic::new(self.terms.retyped, message)
            .at(new.span, format!("`{is}` now"))
            .note(old.span, format!("`{was}` before"));
        let help = format!("keep `{was}`; or {}", self.terms.instead);
        Some(diagnostic.help(help).breaks(breaks))
    }

    /// One diagnostic if the names that both versions have are in a different order.
    fn reorder(&self, before: &ByName<'_, '_>, after: &ByName<'_, '_>) -> Option<Diagnostic> {
        let common = self.old.iter().filter_map(|part| after.get(part.name));
        let common: Vec<_> = common.collect();
        let moved = common.windows(2).find(|pair| pair[0].0 > pair[1].0)?;
        let first = moved[1].1;
        let (_, old) = before.get(first.name)?;
        let order = self.old.iter().map(|part| format!("`{}`", part.name));
        let order: Vec<String> = order.collect();
        let terms = self.terms;
        let message = format!("the {}s of `{}` are reordered", terms.noun, self.owner);
        let diagnostic = Diagnostic::new(terms.reordered, message)
            .at(first.span, "now comes earlier")
            .note(old.span, "it was declared here");
        let help = match order.len() {
            0..=SHOWN => format!("keep the order {}", order.join(", ")),
            _ => "keep the order of the earlier version".to_owned(),
        };
        Some(diagnostic.help(help).breaks(Breaks::BOTH))
    }
}
