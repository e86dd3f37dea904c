//! `onMessage` beside `on_message`

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::{Findings, Level, Rule, Subject};
use crate::model::{Element, InterfaceId, Model};
use crate::source::Span;

pub(super) const RULE: Rule = Rule {
    code: Code::SimilarNames,
    level: Level::Warn,
    why: "Languages spell names in their own case, and some tools know no case at all: such names \
          become one there, and one of them is given another that nobody expects. For an \
          interface, the operations of its bases count too.",
    bad: include_str!("../examples/similar_names.bad.idl"),
    good: include_str!("../examples/similar_names.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    let model = &subject.program.model;
    let mut scopes = Scopes {
        subject,
        found,
        reported: HashSet::new(),
    };
    for module in &model.modules {
        let elements = module.elements.iter();
        scopes.check(elements.map(|it| element(model, *it)));
    }
    for it in &model.structs {
        scopes.check(it.members.iter().map(|it| (it.name.as_str(), it.span)));
    }
    for (id, it) in (0..).map(InterfaceId).zip(&model.interfaces) {
        let mut lineage: Vec<InterfaceId> = model.lineage(id).collect();
        // What was there first is declared in the bases.
        lineage.reverse();
        let operations = lineage
            .into_iter()
            .flat_map(|id| &model.interface(id).operations);
        scopes.check(operations.map(|it| (it.name.as_str(), it.span)));
        for operation in &it.operations {
            let parameters = operation.parameters.iter();
            scopes.check(parameters.map(|it| (it.name.as_str(), it.span)));
        }
    }
}

fn element(model: &Model, element: Element) -> (&str, Span) {
    match element {
        Element::Struct(id) => (&model.struct_(id).name, model.struct_(id).span),
        Element::Sequence(id) => (&model.sequence(id).name, model.sequence(id).span),
        Element::Dictionary(id) => (&model.dictionary(id).name, model.dictionary(id).span),
        Element::Interface(id) => (&model.interface(id).name, model.interface(id).span),
    }
}

struct Scopes<'c, 'f> {
    subject: &'c Subject<'c>,
    found: &'c mut Findings<'f>,
    /// Operations of a base are in the scope of each interface that extends it.
    reported: HashSet<Span>,
}

impl Scopes<'_, '_> {
    /// Reports names of one scope that are alike.
    fn check<'a>(&mut self, names: impl Iterator<Item = (&'a str, Span)>) {
        let mut seen: HashMap<String, (&str, Span)> = HashMap::new();
        for (name, span) in names {
            let key = name.replace('_', "").to_ascii_lowercase();
            let Some((first, there)) = seen.get(&key) else {
                seen.insert(key, (name, span));
                continue;
            };
            if self.subject.is_given(span) && self.reported.insert(span) {
                let message = format!("`{name}` and `{first}` differ in case or underscores alone");
                let diagnostic = Diagnostic::new(Code::SimilarNames, message).at(span, "");
                let diagnostic = diagnostic.note(*there, format!("`{first}` is declared here"));
                self.found
                    .push(diagnostic.help("call one of them otherwise"));
            }
        }
    }
}
