//! Interfaces that extend themselves through their bases.

use super::ResolvedProgram;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::InterfaceId;

/// Reports each cycle of bases once, and removes one base of it, so that every lineage ends.
pub(super) fn break_cycles(program: &mut ResolvedProgram<'_>, sink: &mut Diagnostics) {
    // The start of the walk that visited each interface.
    let mut visited_from = vec![None; program.model.interfaces.len()];
    for start in 0..visited_from.len() {
        let mut at = start;
        while visited_from[at].is_none() {
            visited_from[at] = Some(start);
            let Some(InterfaceId(base)) = program.model.interfaces[at].base else {
                break;
            };
            let base = base as usize;
            if visited_from[base] == Some(start) {
                sink.push(cycle(program, base));
                program.model.interfaces[at].base = None;
                break;
            }
            at = base;
        }
    }
}

/// The most interfaces of a cycle that a diagnostic shows, beside the first.
const SHOWN: usize = 4;

fn cycle(program: &ResolvedProgram<'_>, start: usize) -> Diagnostic {
    let span = |at: usize| {
        let from = program.ast.interfaces[at];
        from.base.as_ref().map_or(from.name.span, |base| base.span)
    };
    let name = |at: usize| program.model.interfaces[at].name.as_str();
    let base = |at: usize| {
        program.model.interfaces[at]
            .base
            .map_or(at, |base| base.0 as usize)
    };
    let message = format!("interface `{}` extends itself", name(start));
    let diagnostic = Diagnostic::new(Code::CircularBase, message);
    let label = |at: usize| format!("`{}` extends `{}`", name(at), name(base(at)));
    let others = std::iter::successors(Some(base(start)), |at| Some(base(*at)));
    let others = others.take_while(|at| *at != start).take(SHOWN);
    let diagnostic = others.fold(
        diagnostic.at(span(start), label(start)),
        |diagnostic, at| diagnostic.note(span(at), label(at)),
    );
    diagnostic.help("remove one `extends` of the cycle")
}
