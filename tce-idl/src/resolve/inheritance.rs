//! Bases that come round in a circle.

use super::Program;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::InterfaceId;

/// What is known of an interface on the way up.
#[derive(Clone, Copy, PartialEq)]
enum Visit {
    New,
    /// On the way up from the interface with this number.
    From(usize),
}

/// Reports each circle of bases once, and cuts it: after this every lineage ends.
pub(super) fn cut_circles(program: &mut Program<'_>, sink: &mut Diagnostics) {
    let mut visits = vec![Visit::New; program.model.interfaces.len()];
    for start in 0..visits.len() {
        let mut at = start;
        while visits[at] == Visit::New {
            visits[at] = Visit::From(start);
            let Some(InterfaceId(base)) = program.model.interfaces[at].base else {
                break;
            };
            let base = base as usize;
            if visits[base] == Visit::From(start) {
                sink.push(circle(program, base));
                program.model.interfaces[at].base = None;
                break;
            }
            at = base;
        }
    }
}

/// How many other members of a circle are shown.
const SHOWN: usize = 4;

fn circle(program: &Program<'_>, start: usize) -> Diagnostic {
    let place = |at: usize| {
        let from = program.origin.interfaces[at];
        from.base.as_ref().map_or(from.name.span, |base| base.span)
    };
    let name = |at: usize| program.model.interfaces[at].name.as_str();
    let base = |at: usize| {
        program.model.interfaces[at]
            .base
            .map_or(at, |base| base.0 as usize)
    };
    let message = format!("interface `{}` is its own base", name(start));
    let diagnostic = Diagnostic::new(Code::CircularBase, message);
    let says = |at: usize| format!("`{}` extends `{}`", name(at), name(base(at)));
    let others = std::iter::successors(Some(base(start)), |at| Some(base(*at)));
    let others = others.take_while(|at| *at != start).take(SHOWN);
    let diagnostic = others.fold(
        diagnostic.at(place(start), says(start)),
        |diagnostic, at| diagnostic.note(place(at), says(at)),
    );
    diagnostic.help("take away one `extends` of the circle")
}
