//! Types that contain themselves: a struct may only through a sequence or
//! dictionary, a sequence or dictionary only through a struct.

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{DictionaryId, SequenceId, StructId, Type};
use crate::resolve::ResolvedProgram;
use crate::syntax::ast::{Identifier, TypeName};

/// The most types of a cycle that a diagnostic shows, beside the first.
const SHOWN: usize = 4;

pub(super) fn check(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    check_structs(program, sink);
    check_containers(program, sink);
}

#[derive(Clone, Copy, PartialEq)]
enum VisitState {
    New,
    Open,
    Done,
}

/// Walks depth first with an explicit stack, since structs may be nested deeper than the thread's stack.
fn check_structs(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    let structs = &program.model.structs;
    let mut visits = vec![VisitState::New; structs.len()];
    // Each struct on the current path, and its next member.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for start in 0..structs.len() {
        if visits[start] == VisitState::New {
            visits[start] = VisitState::Open;
            path.push((start, 0));
        }
        while let Some((at, next)) = path.last_mut() {
            let Some(member) = structs[*at].members.get(*next) else {
                visits[*at] = VisitState::Done;
                path.pop();
                continue;
            };
            *next += 1;
            let Type::Struct(StructId(inner)) = member.ty else {
                continue;
            };
            let inner = inner as usize;
            match visits[inner] {
                VisitState::Done => {}
                VisitState::New => {
                    visits[inner] = VisitState::Open;
                    path.push((inner, 0));
                }
                VisitState::Open => sink.push(struct_cycle(program, inner, &path)),
            }
        }
    }
}

/// Reports the cycle that the end of `path`, from `start` on, closes.
fn struct_cycle(
    program: &ResolvedProgram<'_>,
    start: usize,
    path: &[(usize, usize)],
) -> Diagnostic {
    let from = path
        .iter()
        .position(|(at, _)| *at == start)
        .unwrap_or_default();
    let name = |at: usize| &program.model.structs[at].name;
    let places = path[from..].iter().map(|(at, next)| {
        let member = &program.ast.structs[*at].members[next - 1];
        (
            member.ty.span,
            format!("`{}` contains `{}`", name(*at), member.ty.name.text),
        )
    });
    let message = format!("struct `{}` contains itself", name(start));
    let mut diagnostic = Diagnostic::new(Code::RecursiveStruct, message);
    for (number, (span, text)) in places.take(SHOWN + 1).enumerate() {
        diagnostic = if number == 0 {
            diagnostic.at(span, text)
        } else {
            diagnostic.note(span, text)
        };
    }
    let list = format!("sequence<{0}> {0}List", name(start));
    diagnostic.help(format!(
        "a value would contain infinitely many others; use a sequence, which can be empty: `{list};`"
    ))
}

/// A sequence or dictionary, as it is declared.
struct Container<'a> {
    kind: &'static str,
    name: &'a Identifier,
    /// Not followed: another rule reports a key that is a container.
    key: Option<&'a TypeName>,
    content: &'a TypeName,
    /// The position of its content in the list of containers, if that is a container too.
    next: Option<usize>,
}

/// Follows each container to its content, until that is no container or was
/// visited before. A container has one content type, so each is in at most one cycle.
fn check_containers(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    let containers = containers(program);
    // The start of the walk that visited each container.
    let mut visited_from = vec![None; containers.len()];
    for start in 0..containers.len() {
        let mut next = Some(start);
        while let Some(at) = next.filter(|at| visited_from[*at].is_none()) {
            visited_from[at] = Some(start);
            next = containers[at].next;
        }
        if let Some(at) = next.filter(|at| visited_from[*at] == Some(start)) {
            sink.push(container_cycle(&containers, at));
        }
    }
}

/// The sequences, and after them the dictionaries.
fn containers<'a>(program: &ResolvedProgram<'a>) -> Vec<Container<'a>> {
    let (model, ast) = (&program.model, &program.ast);
    let position = |ty| match ty {
        Type::Sequence(SequenceId(id)) => Some(id as usize),
        Type::Dictionary(DictionaryId(id)) => Some(model.sequences.len() + id as usize),
        _ => None,
    };
    let sequences = model.sequences.iter().zip(&ast.sequences);
    let sequences = sequences.map(|(it, from)| Container {
        kind: "sequence",
        name: &from.name,
        key: None,
        content: &from.element,
        next: position(it.element),
    });
    let dictionaries = model.dictionaries.iter().zip(&ast.dictionaries);
    let dictionaries = dictionaries.map(|(it, from)| Container {
        kind: "dictionary",
        name: &from.name,
        key: Some(&from.key),
        content: &from.value,
        next: position(it.value),
    });
    sequences.chain(dictionaries).collect()
}

/// Reports the cycle that begins at `start`.
fn container_cycle(containers: &[Container<'_>], start: usize) -> Diagnostic {
    let first = &containers[start];
    let message = format!("{} `{}` contains itself", first.kind, first.name.text);
    let diagnostic = Diagnostic::new(Code::EndlessType, message);
    let diagnostic = diagnostic.at(first.content.span, first.describe());
    let rest = std::iter::successors(first.next, |at| containers[*at].next);
    rest.take_while(|at| *at != start)
        .take(SHOWN)
        .map(|at| &containers[at])
        .fold(diagnostic, |diagnostic, it| {
            diagnostic.note(it.content.span, it.describe())
        })
        .help(first.suggestion())
}

impl Container<'_> {
    fn describe(&self) -> String {
        format!("`{}` contains `{}`", self.name.text, self.content.name.text)
    }

    /// The advice to put a struct between this container and its content.
    fn suggestion(&self) -> String {
        let (kind, name) = (self.kind, &self.name.text);
        let key = self
            .key
            .map_or_else(String::new, |key| format!("{}, ", key.name.text));
        let module = self.content.module.as_ref();
        let module = module.map_or_else(String::new, |module| format!("{}::", module.text));
        let content = &self.content.name.text;
        format!(
            "no value of it holds data; put a struct between: \
             `struct {name}Node {{ {module}{content} children; }}; {kind}<{key}{name}Node> {name};`"
        )
    }
}
