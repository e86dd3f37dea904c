//! Interfaces whose index is their position

use crate::diagnostic::{Code, Diagnostic, Repair};
use crate::lint::{Findings, Level, Rule, Subject};
use crate::model::{Element, IndexPlace, Interface, Model, Module};

pub(super) const RULE: Rule = Rule {
    code: Code::ImplicitIndex,
    level: Level::Warn,
    why: "An interface without an index has that of its position in its module. Whoever moves it, \
          or puts another one before it, changes what goes on the wire, and peers that are not \
          compiled again call something else. Write the index that it has, or keep the indices \
          in a lock file or an index file. A module with a single interface is let off.",
    bad: include_str!("../examples/implicit_index.bad.idl"),
    good: include_str!("../examples/implicit_index.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    if subject.has_lock {
        return;
    }
    let model = &subject.program.model;
    for module in &model.modules {
        let interfaces = interfaces(model, module);
        let is_counted = |it: &&&Interface| !matches!(it.index_place, IndexPlace::Written(_));
        let is_alone = interfaces.len() < 2;
        for it in interfaces.iter().filter(is_counted) {
            if !is_alone && subject.is_given(it.span) {
                found.push(finding(it));
            }
        }
    }
}

fn interfaces<'m>(model: &'m Model, module: &Module) -> Vec<&'m Interface> {
    let interface = |element: &Element| match element {
        Element::Interface(id) => Some(model.interface(*id)),
        _ => None,
    };
    module.elements.iter().filter_map(interface).collect()
}

fn finding(it: &Interface) -> Diagnostic {
    let message = format!(
        "interface `{}` has index {} by its position",
        it.name, it.index
    );
    let diagnostic = Diagnostic::new(Code::ImplicitIndex, message);
    Diagnostic {
        repair: Some(Repair {
            message: format!("write it: `[index={}]`", it.index),
            edit: Some(it.index_place.write(it.index)),
        }),
        ..diagnostic.at(it.span, "moving it changes the wire")
    }
}
