//! What has names and an order: the members of a struct, the parameters of an operation.

use std::collections::{HashMap, HashSet};

use super::pairs::Pairs;
use super::types;
use crate::diagnostic::{Breaks, Code, Diagnostic};
use crate::model::{ModuleId, Type};
use crate::source::Span;

/// One member or parameter.
pub(super) struct Part<'m> {
    pub(super) name: &'m str,
    pub(super) ty: Type,
    pub(super) span: Span,
}

/// A list in both versions, and how to speak of it.
pub(super) struct List<'m> {
    pub(super) pairs: &'m Pairs<'m>,
    pub(super) old: Vec<Part<'m>>,
    pub(super) new: Vec<Part<'m>>,
    /// Whose it is, as `module.Interface.operation`; and where that stands in the new version.
    pub(super) owner: String,
    pub(super) span: Span,
    pub(super) modules: (ModuleId, ModuleId),
    pub(super) words: &'static Words,
}

/// What differs between members and parameters.
pub(super) struct Words {
    pub(super) what: &'static str,
    /// What to do instead of changing the list.
    pub(super) instead: &'static str,
    pub(super) added: Code,
    pub(super) removed: Code,
    pub(super) retyped: Code,
    pub(super) renamed: Code,
    pub(super) reordered: Code,
}

/// How many names a help shows.
const SHOWN: usize = 12;

/// Parts by name.
type ByName<'l, 'm> = HashMap<&'l str, (usize, &'l Part<'m>)>;

fn by_name<'l, 'm>(list: &'l [Part<'m>]) -> ByName<'l, 'm> {
    let parts = list.iter().enumerate();
    parts.map(|(at, part)| (part.name, (at, part))).collect()
}

impl List<'_> {
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

    fn has_one_type(&self, old: &Part<'_>, new: &Part<'_>) -> bool {
        types::change(self.pairs, Some(old.ty), Some(new.ty)).is_none()
    }

    fn name(&self, part: &Part<'_>) -> String {
        format!("{} `{}` of `{}`", self.words.what, part.name, self.owner)
    }

    fn rename(&self, old: &Part<'_>, new: &Part<'_>) -> Diagnostic {
        let message = format!("{} is now called `{}`", self.name(old), new.name);
        Diagnostic::new(self.words.renamed, message)
            .at(new.span, "")
            .note(old.span, "its name was this")
            .fix(format!("write `{}` again", old.name), new.span, old.name)
            .breaks(Breaks::SOURCE)
    }

    fn add(&self, part: &Part<'_>) -> Diagnostic {
        Diagnostic::new(self.words.added, format!("{} is new", self.name(part)))
            .at(part.span, "old peers send and read nothing here")
            .help(self.words.instead)
            .breaks(Breaks::BOTH)
    }

    fn remove(&self, part: &Part<'_>) -> Diagnostic {
        let message = format!("{} is gone", self.name(part));
        let ty = self.pairs.old.spell(Some(part.ty), self.modules.0);
        let label = format!("has no `{ty} {}` any more", part.name);
        Diagnostic::new(self.words.removed, message)
            .at(self.span, label)
            .note(part.span, "it was here")
            .help(self.words.instead)
            .breaks(Breaks::BOTH)
    }

    fn retype(&self, old: &Part<'_>, new: &Part<'_>) -> Option<Diagnostic> {
        let breaks = types::change(self.pairs, Some(old.ty), Some(new.ty))?;
        let before = (Some(old.ty), self.modules.0);
        let (was, is) = types::spelled(self.pairs, before, (Some(new.ty), self.modules.1));
        let message = format!("{} is now `{is}`, and was `{was}`", self.name(new));
        let diagnostic = Diagnostic::new(self.words.retyped, message)
            .at(new.span, format!("`{is}` now"))
            .note(old.span, format!("`{was}` before"));
        let help = format!("keep `{was}`; or {}", self.words.instead);
        Some(diagnostic.help(help).breaks(breaks))
    }

    /// One diagnostic where those that both versions have changed their order.
    fn reorder(&self, before: &ByName<'_, '_>, after: &ByName<'_, '_>) -> Option<Diagnostic> {
        let kept = self.old.iter().filter_map(|part| after.get(part.name));
        let kept: Vec<_> = kept.collect();
        let moved = kept.windows(2).find(|pair| pair[0].0 > pair[1].0)?;
        let first = moved[1].1;
        let (_, old) = before.get(first.name)?;
        let order = self.old.iter().map(|part| format!("`{}`", part.name));
        let order: Vec<String> = order.collect();
        let words = self.words;
        let message = format!(
            "the {}s of `{}` changed their order",
            words.what, self.owner
        );
        let diagnostic = Diagnostic::new(words.reordered, message)
            .at(first.span, "comes earlier than before")
            .note(old.span, "it was here");
        let help = match order.len() {
            0..=SHOWN => format!("keep the order {}", order.join(", ")),
            _ => "keep the order of the earlier version".to_owned(),
        };
        Some(diagnostic.help(help).breaks(Breaks::BOTH))
    }
}
