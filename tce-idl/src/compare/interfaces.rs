//! Changes of interfaces and operations, except for their indices.

use std::collections::BTreeSet;

use super::list::{ListComparison, ListTerms, TypedName};
use super::versions::{self, InterfaceMatch, Versions};
use crate::diagnostic::{Breaks, Code, Diagnostic};
use crate::model::{Interface, Operation};

const PARAMETERS: ListTerms = ListTerms {
    noun: "parameter",
    instead: "leave this operation unchanged, and add a new one at the end",
    added: Code::ParameterAdded,
    removed: Code::ParameterRemoved,
    retyped: Code::ParameterRetyped,
    renamed: Code::ParameterRenamed,
    reordered: Code::ParametersReordered,
};

pub(super) fn compare(versions: &Versions<'_>, found: &mut Vec<Diagnostic>) {
    for (old, pair) in versions.old.interfaces.iter().zip(&versions.interfaces) {
        let Some(InterfaceMatch { new, operations }) = pair else {
            found.push(removed(versions, old));
            continue;
        };
        let name = versions.new.full_name(new.module, &new.name);
        let comparison = InterfaceComparison {
            versions,
            old,
            new,
            name,
        };
        found.extend(comparison.renamed());
        found.extend(comparison.base());
        found.extend(comparison.servant());
        for (old, new) in old.operations.iter().zip(operations) {
            match new {
                Some(new) => comparison.operation(old, new, found),
                None => found.push(comparison.removed_operation(old)),
            }
        }
    }
}

fn removed(versions: &Versions<'_>, old: &Interface) -> Diagnostic {
    let name = versions.old.full_name(old.module, &old.name);
    let help = format!(
        "keep it as long as peers call it; do not reuse index {} afterwards",
        old.index
    );
    Diagnostic::new(
        Code::InterfaceRemoved,
        format!("interface `{name}` is removed"),
    )
    .at(old.span, "it was declared here")
    .help(help)
    .breaks(Breaks::BOTH)
}

/// An interface in both versions.
struct InterfaceComparison<'m> {
    versions: &'m Versions<'m>,
    old: &'m Interface,
    new: &'m Interface,
    /// The new name, `module.Interface`.
    name: String,
}

impl InterfaceComparison<'_> {
    fn renamed(&self) -> Option<Diagnostic> {
        let name = self.versions.old.full_name(self.old.module, &self.old.name);
        if name == self.name {
            return None;
        }
        let message = format!("interface `{name}` is renamed to `{}`", self.name);
        let diagnostic = Diagnostic::new(Code::InterfaceRenamed, message)
            .at(self.new.span, "the same index and operations")
            .note(self.old.span, "renamed from this");
        let help = format!("keep the name `{name}`");
        Some(diagnostic.help(help).breaks(Breaks::SOURCE))
    }

    fn base(&self) -> Option<Diagnostic> {
        let Versions { old, new, .. } = self.versions;
        let full = |base: &Interface| new.full_name(base.module, &base.name);
        let was = self.old.base.map(|base| {
            let it = old.interface(base);
            let name = old.full_name(it.module, &it.name);
            self.versions.new_name(&name)
        });
        let is = self.new.base.map(|base| full(new.interface(base)));
        if was == is {
            return None;
        }
        let bases = std::iter::successors(self.new.base, |id| new.interface(*id).base);
        let mut bases = bases.map(|id| full(new.interface(id)));
        // A servant of the new version still accepts calls with the index of the old base if it extends that base.
        let breaks = match was
            .as_ref()
            .is_none_or(|was| bases.any(|base| base == *was))
        {
            true => Breaks::SOURCE,
            false => Breaks::BOTH,
        };
        let name = &self.name;
        let message = match (&was, &is) {
            (Some(was), Some(is)) => {
                format!("the base of interface `{name}` changed from `{was}` to `{is}`")
            }
            (Some(was), None) => format!("interface `{name}` no longer has the base `{was}`"),
            (None, Some(is)) => format!("interface `{name}` now has the base `{is}`"),
            (None, None) => return None,
        };
        let help = match &was {
            Some(was) => format!("keep the base `{was}`, and declare a new interface"),
            None => "keep the interface without a base, and declare a new one".to_owned(),
        };
        let label = |base: Option<String>| match base {
            Some(base) => format!("extends `{base}`"),
            None => "extends nothing".to_owned(),
        };
        let (was, is) = (label(was), label(is));
        let diagnostic = Diagnostic::new(Code::BaseChanged, message)
            .at(self.new.span, format!("{is} now"))
            .note(self.old.span, format!("{was} before"));
        Some(diagnostic.help(help).breaks(breaks))
    }

    fn servant(&self) -> Option<Diagnostic> {
        let keys = self.old.skeletons.keys().chain(self.new.skeletons.keys());
        let languages: BTreeSet<&String> = keys.collect();
        let is_dropped =
            |language: &str| self.old.has_skeleton(language) && !self.new.has_skeleton(language);
        let mut dropped: Vec<String> = languages
            .into_iter()
            .filter(|language| is_dropped(language))
            .map(|language| format!("`{language}`"))
            .collect();
        if self.old.skeleton_default && !self.new.skeleton_default {
            dropped.push("all other languages".to_owned());
        }
        if dropped.is_empty() {
            return None;
        }
        let languages = dropped.join(", ");
        let message = format!(
            "servant code of `{}` is no longer generated for {languages}",
            self.name
        );
        let diagnostic = Diagnostic::new(Code::ServantRemoved, message)
            .at(self.new.span, "")
            .note(self.old.span, "it was generated for this declaration");
        let help = "remove `skeleton_…=false`, or `false` in the index file";
        Some(diagnostic.help(help).breaks(Breaks::SOURCE))
    }

    fn operation(&self, old: &Operation, new: &Operation, found: &mut Vec<Diagnostic>) {
        let owner = format!("{}.{}", self.name, new.name);
        if old.name != new.name {
            found.push(self.renamed_operation(old, new));
        }
        found.extend(self.result(&owner, old, new));
        found.extend(self.throws(&owner, old, new));
        let list = ListComparison {
            versions: self.versions,
            old: parameters(old),
            new: parameters(new),
            owner,
            span: new.span,
            modules: (self.old.module, self.new.module),
            terms: &PARAMETERS,
        };
        list.compare(found);
    }

    fn removed_operation(&self, old: &Operation) -> Diagnostic {
        let message = format!("operation `{}.{}` is removed", self.name, old.name);
        let label = format!("no longer has `{}`", old.name);
        let diagnostic = Diagnostic::new(Code::OperationRemoved, message)
            .at(self.new.span, label)
            .note(
                old.span,
                format!("it was declared here, with index {}", old.index),
            );
        let model = self.versions.new;
        let bases = std::iter::successors(self.new.base, |id| model.interface(*id).base);
        let mut bases = bases.map(|id| model.interface(id));
        let inherited = bases.find(|base| base.operations.iter().any(|it| it.name == old.name));
        let help = match inherited {
            Some(base) => format!(
                "`{}` declares it now, and calls of inherited operations use the index of the base: keep it here",
                base.name
            ),
            None => format!(
                "keep it as long as peers call it; do not reuse index {} afterwards",
                old.index
            ),
        };
        diagnostic.help(help).breaks(Breaks::BOTH)
    }

    fn renamed_operation(&self, old: &Operation, new: &Operation) -> Diagnostic {
        let was = format!("{}.{}", self.name, old.name);
        let message = format!("operation `{was}` is renamed to `{}`", new.name);
        Diagnostic::new(Code::OperationRenamed, message)
            .at(new.span, "the same index and types")
            .note(old.span, "renamed from this")
            .fix(
                format!("rename it back to `{}`", old.name),
                new.span,
                &old.name,
            )
            .breaks(Breaks::SOURCE)
    }

    /// The first exception that the operation no longer declares: callers that are
    /// compiled again get a plain error in its place. A new one breaks nothing, since
    /// callers that do not know it get a plain error.
    fn throws(&self, owner: &str, old: &Operation, new: &Operation) -> Option<Diagnostic> {
        let Versions {
            old: before,
            new: after,
            ..
        } = self.versions;
        let kept: Vec<String> = new
            .throws
            .iter()
            .map(|id| after.exception_name(*id))
            .collect();
        let mut names = old.throws.iter().map(|id| before.exception_name(*id));
        let name = names.find(|name| !kept.contains(name))?;
        let message = format!("`{owner}` no longer throws `{name}`");
        let diagnostic = Diagnostic::new(Code::ThrowsRemoved, message)
            .at(new.span, "")
            .note(old.span, "it was declared here");
        let help = format!("keep `{name}` as long as servers throw it");
        Some(diagnostic.help(help).breaks(Breaks::SOURCE))
    }

    fn result(&self, owner: &str, old: &Operation, new: &Operation) -> Option<Diagnostic> {
        let breaks = versions::change(self.versions, old.returns, new.returns)?;
        let (before, after) = (
            (old.returns, self.old.module),
            (new.returns, self.new.module),
        );
        let (was, is) = versions::spelled(self.versions, before, after);
        let message = format!("the result of `{owner}` changed from `{was}` to `{is}`");
        let diagnostic = Diagnostic::new(Code::ResultChanged, message)
            .at(new.span, format!("`{is}` now"))
            .note(old.span, format!("`{was}` before"));
        let help = format!("keep `{was}`; or {}", PARAMETERS.instead);
        Some(diagnostic.help(help).breaks(breaks))
    }
}

fn parameters(from: &Operation) -> Vec<TypedName<'_>> {
    let parameters = from.parameters.iter().map(|parameter| TypedName {
        name: &parameter.name,
        ty: parameter.ty,
        span: parameter.span,
    });
    parameters.collect()
}
