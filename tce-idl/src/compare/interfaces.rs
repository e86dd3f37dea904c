//! Interfaces and operations, but for their indices.

use std::collections::BTreeSet;

use super::list::{List, Part, Words};
use super::pairs::{Pair, Pairs};
use super::types;
use crate::diagnostic::{Breaks, Code, Diagnostic};
use crate::model::{Interface, Operation};

const PARAMETERS: Words = Words {
    what: "parameter",
    instead: "leave this operation as it is, and add another one at the end",
    added: Code::ParameterAdded,
    removed: Code::ParameterRemoved,
    retyped: Code::ParameterRetyped,
    renamed: Code::ParameterRenamed,
    reordered: Code::ParametersReordered,
};

pub(super) fn compare(pairs: &Pairs<'_>, found: &mut Vec<Diagnostic>) {
    for (old, pair) in pairs.old.interfaces.iter().zip(&pairs.interfaces) {
        let Some(Pair { new, operations }) = pair else {
            found.push(removed(pairs, old));
            continue;
        };
        let name = pairs.new.full_name(new.module, &new.name);
        let versions = Versions {
            pairs,
            old,
            new,
            name,
        };
        found.extend(versions.renamed());
        found.extend(versions.base());
        found.extend(versions.servant());
        for (old, new) in old.operations.iter().zip(operations) {
            match new {
                Some(new) => versions.operation(old, new, found),
                None => found.push(versions.removed_operation(old)),
            }
        }
    }
}

fn removed(pairs: &Pairs<'_>, old: &Interface) -> Diagnostic {
    let name = pairs.old.full_name(old.module, &old.name);
    let help = format!(
        "keep it while peers call it; index {} stays taken even after that",
        old.index
    );
    Diagnostic::new(
        Code::InterfaceRemoved,
        format!("interface `{name}` is gone"),
    )
    .at(old.span, "it was here")
    .help(help)
    .breaks(Breaks::BOTH)
}

/// An interface in both versions.
struct Versions<'m> {
    pairs: &'m Pairs<'m>,
    old: &'m Interface,
    new: &'m Interface,
    /// `module.Interface`, as it is now.
    name: String,
}

impl Versions<'_> {
    fn renamed(&self) -> Option<Diagnostic> {
        let name = self.pairs.old.full_name(self.old.module, &self.old.name);
        if name == self.name {
            return None;
        }
        let message = format!("interface `{name}` is now called `{}`", self.name);
        let diagnostic = Diagnostic::new(Code::InterfaceRenamed, message)
            .at(self.new.span, "the same index and operations")
            .note(self.old.span, "its name was this");
        let help = format!("keep the name `{name}`");
        Some(diagnostic.help(help).breaks(Breaks::SOURCE))
    }

    fn base(&self) -> Option<Diagnostic> {
        let Pairs { old, new, .. } = self.pairs;
        let full = |base: &Interface| new.full_name(base.module, &base.name);
        let was = self.old.base.map(|base| {
            let it = old.interface(base);
            let name = old.full_name(it.module, &it.name);
            self.pairs.new_name(&name)
        });
        let is = self.new.base.map(|base| full(new.interface(base)));
        if was == is {
            return None;
        }
        let bases = std::iter::successors(self.new.base, |id| new.interface(*id).base);
        let mut bases = bases.map(|id| full(new.interface(id)));
        // A servant of the new version may answer on the old base's index still.
        let breaks = match was
            .as_ref()
            .is_none_or(|was| bases.any(|base| base == *was))
        {
            true => Breaks::SOURCE,
            false => Breaks::BOTH,
        };
        let words = |base: Option<String>| match base {
            Some(base) => format!("extends `{base}`"),
            None => "extends nothing".to_owned(),
        };
        let (was, is) = (words(was), words(is));
        let message = format!("interface `{}` now {is}, and before {was}", self.name);
        let diagnostic = Diagnostic::new(Code::BaseChanged, message)
            .at(self.new.span, format!("{is} now"))
            .note(self.old.span, format!("{was} before"));
        let help = "keep the base, and make another interface for what is new";
        Some(diagnostic.help(help).breaks(breaks))
    }

    fn servant(&self) -> Option<Diagnostic> {
        let said = self.old.skeletons.keys().chain(self.new.skeletons.keys());
        let languages: BTreeSet<&String> = said.collect();
        let gone =
            |language: &str| self.old.has_skeleton(language) && !self.new.has_skeleton(language);
        let mut gone: Vec<String> = languages
            .into_iter()
            .filter(|language| gone(language))
            .map(|language| format!("`{language}`"))
            .collect();
        if self.old.skeleton_default && !self.new.skeleton_default {
            gone.push("every other language".to_owned());
        }
        if gone.is_empty() {
            return None;
        }
        let languages = gone.join(", ");
        let message = format!(
            "`{}` has no servant code any more for {languages}",
            self.name
        );
        let diagnostic = Diagnostic::new(Code::ServantRemoved, message)
            .at(self.new.span, "")
            .note(self.old.span, "it had it here");
        let help = "take away the `skeleton_…=false`, or the `false` in the index file";
        Some(diagnostic.help(help).breaks(Breaks::SOURCE))
    }

    fn operation(&self, old: &Operation, new: &Operation, found: &mut Vec<Diagnostic>) {
        let owner = format!("{}.{}", self.name, new.name);
        if old.name != new.name {
            found.push(self.renamed_operation(old, new));
        }
        found.extend(self.result(&owner, old, new));
        let list = List {
            pairs: self.pairs,
            old: parameters(old),
            new: parameters(new),
            owner,
            span: new.span,
            modules: (self.old.module, self.new.module),
            words: &PARAMETERS,
        };
        list.compare(found);
    }

    fn removed_operation(&self, old: &Operation) -> Diagnostic {
        let message = format!("operation `{}.{}` is gone", self.name, old.name);
        let label = format!("has no `{}` any more", old.name);
        let diagnostic = Diagnostic::new(Code::OperationRemoved, message)
            .at(self.new.span, label)
            .note(old.span, format!("it was here, at index {}", old.index));
        let model = self.pairs.new;
        let bases = std::iter::successors(self.new.base, |id| model.interface(*id).base);
        let mut bases = bases.map(|id| model.interface(id));
        let inherited = bases.find(|base| base.operations.iter().any(|it| it.name == old.name));
        let help = match inherited {
            Some(base) => format!(
                "`{}` declares it now, and a base's operation has the base's index: keep it here",
                base.name
            ),
            None => format!(
                "keep it while peers call it; index {} stays taken even after that",
                old.index
            ),
        };
        diagnostic.help(help).breaks(Breaks::BOTH)
    }

    fn renamed_operation(&self, old: &Operation, new: &Operation) -> Diagnostic {
        let was = format!("{}.{}", self.name, old.name);
        let message = format!("operation `{was}` is now called `{}`", new.name);
        Diagnostic::new(Code::OperationRenamed, message)
            .at(new.span, "the same index and types")
            .note(old.span, "its name was this")
            .fix(format!("write `{}` again", old.name), new.span, &old.name)
            .breaks(Breaks::SOURCE)
    }

    fn result(&self, owner: &str, old: &Operation, new: &Operation) -> Option<Diagnostic> {
        let breaks = types::change(self.pairs, old.returns, new.returns)?;
        let (before, after) = (
            (old.returns, self.old.module),
            (new.returns, self.new.module),
        );
        let (was, is) = types::spelled(self.pairs, before, after);
        let message = format!("`{owner}` now returns `{is}`, and before `{was}`");
        let diagnostic = Diagnostic::new(Code::ResultChanged, message)
            .at(new.span, format!("`{is}` now"))
            .note(old.span, format!("`{was}` before"));
        let help = format!("keep `{was}`; or {}", PARAMETERS.instead);
        Some(diagnostic.help(help).breaks(breaks))
    }
}

fn parameters(from: &Operation) -> Vec<Part<'_>> {
    let parameters = from.parameters.iter().map(|parameter| Part {
        name: &parameter.name,
        ty: parameter.ty,
        span: parameter.span,
    });
    parameters.collect()
}
