//! An operation of a base is not declared again.

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::InterfaceId;
use crate::resolve::Program;

/// Walks down from each interface without a base, so that a long line of bases
/// is looked at once and not once for each of its interfaces.
pub(super) fn check(program: &Program<'_>, sink: &mut Diagnostics) {
    let interfaces = &program.model.interfaces;
    let mut derived: Vec<Vec<usize>> = vec![Vec::new(); interfaces.len()];
    let mut open = Vec::new();
    for (at, interface) in interfaces.iter().enumerate() {
        match interface.base {
            Some(InterfaceId(base)) => derived[base as usize].push(at),
            None => open.push(Step::Enter(at)),
        }
    }
    let mut inherited: HashMap<&str, (usize, usize)> = HashMap::new();
    while let Some(step) = open.pop() {
        match step {
            Step::Enter(at) => {
                open.push(Step::Leave(at));
                for (position, operation) in interfaces[at].operations.iter().enumerate() {
                    match inherited.get(operation.name.as_str()) {
                        Some((base, first)) if *base != at => {
                            sink.push(again(program, (at, position), (*base, *first)));
                        }
                        Some(_) => {}
                        None => {
                            inherited.insert(&operation.name, (at, position));
                        }
                    }
                }
                open.extend(derived[at].iter().map(|derived| Step::Enter(*derived)));
            }
            Step::Leave(at) => {
                let own = |name: &str| inherited.get(name).is_some_and(|(owner, _)| *owner == at);
                let leaving = interfaces[at]
                    .operations
                    .iter()
                    .map(|operation| operation.name.as_str());
                for name in leaving.filter(|name| own(name)).collect::<Vec<_>>() {
                    inherited.remove(name);
                }
            }
        }
    }
}

/// Into an interface and all that extend it, and out again.
enum Step {
    Enter(usize),
    Leave(usize),
}

/// The operation `here` has the name of the one `there`: interface and position of each.
fn again(program: &Program<'_>, here: (usize, usize), there: (usize, usize)) -> Diagnostic {
    let operation = |(interface, position): (usize, usize)| {
        &program.origin.interfaces[interface].operations[position]
    };
    let base = &program.origin.interfaces[there.0].name.text;
    let name = &operation(here).name;
    let message = format!(
        "`{}` is inherited from `{base}` and can't be declared again",
        name.text
    );
    let diagnostic =
        Diagnostic::new(Code::InheritedOperation, message).at(name.span, "declared again here");
    let diagnostic = diagnostic.note(
        operation(there).name.span,
        format!("declared in `{base}` here"),
    );
    diagnostic.help("leave it out: a servant of this interface serves it anyway")
}
