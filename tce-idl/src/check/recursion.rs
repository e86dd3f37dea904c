//! Types that contain themselves: a struct may through a sequence or
//! dictionary only, a sequence or dictionary through a struct only.

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{DictionaryId, SequenceId, StructId, Type};
use crate::resolve::Program;
use crate::syntax::ast::{Name, TypeName};

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

/// How many containers of a circle are shown beside the first.
const SHOWN: usize = 4;

/// A sequence or dictionary, as it is declared.
struct Container<'a> {
    kind: &'static str,
    name: &'a Name,
    /// A key is no way into a circle: that it is no container is a rule of its own.
    key: Option<&'a TypeName>,
    content: &'a TypeName,
    /// The position of its content, if that is a container too.
    next: Option<usize>,
}

/// Goes from each container to its content, until that is none or was met
/// before. Each has one content, so no circle can hide behind another.
pub(super) fn check(program: &Program<'_>, sink: &mut Diagnostics) {
    let containers = containers(program);
    // The walk on which each container was met.
    let mut met = vec![None; containers.len()];
    for start in 0..containers.len() {
        let mut next = Some(start);
        while let Some(at) = next.filter(|at| met[*at].is_none()) {
            met[at] = Some(start);
            next = containers[at].next;
        }
        if let Some(at) = next.filter(|at| met[*at] == Some(start)) {
            sink.push(circle(&containers, at));
        }
    }
}

/// The sequences, and after them the dictionaries.
fn containers<'a>(program: &Program<'a>) -> Vec<Container<'a>> {
    let (model, origin) = (&program.model, &program.origin);
    let position = |ty| match ty {
        Type::Sequence(SequenceId(id)) => Some(id as usize),
        Type::Dictionary(DictionaryId(id)) => Some(model.sequences.len() + id as usize),
        _ => None,
    };
    let sequences = model.sequences.iter().zip(&origin.sequences);
    let sequences = sequences.map(|(it, from)| Container {
        kind: "sequence",
        name: &from.name,
        key: None,
        content: &from.element,
        next: position(it.element),
    });
    let dictionaries = model.dictionaries.iter().zip(&origin.dictionaries);
    let dictionaries = dictionaries.map(|(it, from)| Container {
        kind: "dictionary",
        name: &from.name,
        key: Some(&from.key),
        content: &from.value,
        next: position(it.value),
    });
    sequences.chain(dictionaries).collect()
}

/// The way from `start` back to it.
fn circle(containers: &[Container<'_>], start: usize) -> Diagnostic {
    let first = &containers[start];
    let message = format!("{} `{}` contains itself", first.kind, first.name.text);
    let diagnostic = Diagnostic::new(Code::EndlessType, message);
    let diagnostic = diagnostic.at(first.content.span, first.says());
    let rest = std::iter::successors(first.next, |at| containers[*at].next);
    rest.take_while(|at| *at != start)
        .take(SHOWN)
        .map(|at| &containers[at])
        .fold(diagnostic, |diagnostic, it| {
            diagnostic.note(it.content.span, it.says())
        })
        .help(first.repaired())
}

impl Container<'_> {
    fn says(&self) -> String {
        format!("`{}` contains `{}`", self.name.text, self.content.name.text)
    }

    /// The same with a struct between this container and its content.
    fn repaired(&self) -> String {
        let (kind, name) = (self.kind, &self.name.text);
        let key = self
            .key
            .map_or_else(String::new, |key| format!("{}, ", key.name.text));
        let module = self.content.module.as_ref();
        let module = module.map_or_else(String::new, |module| format!("{}::", module.text));
        let content = &self.content.name.text;
        format!(
            "it has no place for data; put a struct between: \
             `struct {name}Node {{ {module}{content} children; }}; {kind}<{key}{name}Node> {name};`"
        )
    }
}
