//! A struct contains itself through a sequence or dictionary only.

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{StructId, Type};
use crate::resolve::Program;

/// How many members of a circle are shown beside the first.
const SHOWN: usize = 4;

#[derive(Clone, Copy, PartialEq)]
enum Visit {
    New,
    Open,
    Done,
}

/// Depth first, with a stack of its own: structs may be nested deeper than a thread's stack.
pub(super) fn check(program: &Program<'_>, sink: &mut Diagnostics) {
    let structs = &program.model.structs;
    let mut visits = vec![Visit::New; structs.len()];
    // Each struct that is open, and the member that comes next.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for start in 0..structs.len() {
        if visits[start] == Visit::New {
            visits[start] = Visit::Open;
            path.push((start, 0));
        }
        while let Some((at, next)) = path.last_mut() {
            let Some(member) = structs[*at].members.get(*next) else {
                visits[*at] = Visit::Done;
                path.pop();
                continue;
            };
            *next += 1;
            let Type::Struct(StructId(inner)) = member.ty else {
                continue;
            };
            let inner = inner as usize;
            match visits[inner] {
                Visit::Done => {}
                Visit::New => {
                    visits[inner] = Visit::Open;
                    path.push((inner, 0));
                }
                Visit::Open => sink.push(circle(program, inner, &path)),
            }
        }
    }
}

/// The end of `path`, from where it is at `start`, comes back to `start`.
fn circle(program: &Program<'_>, start: usize, path: &[(usize, usize)]) -> Diagnostic {
    let from = path
        .iter()
        .position(|(at, _)| *at == start)
        .unwrap_or_default();
    let name = |at: usize| &program.model.structs[at].name;
    let places = path[from..].iter().map(|(at, next)| {
        let member = &program.origin.structs[*at].members[next - 1];
        (
            member.ty.span,
            format!("`{}` contains `{}`", name(*at), member.ty.name.text),
        )
    });
    let message = format!("struct `{}` contains itself", name(start));
    let mut diagnostic = Diagnostic::new(Code::RecursiveStruct, message);
    for (number, (span, says)) in places.take(SHOWN + 1).enumerate() {
        diagnostic = if number == 0 {
            diagnostic.at(span, says)
        } else {
            diagnostic.note(span, says)
        };
    }
    let list = format!("sequence<{0}> {0}List", name(start));
    diagnostic.help(format!(
        "a value of it would never end; a sequence can be empty: `{list};`"
    ))
}
