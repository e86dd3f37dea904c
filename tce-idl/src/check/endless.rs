//! A sequence or dictionary contains itself through a struct only.

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{DictionaryId, SequenceId, Type};
use crate::resolve::Program;
use crate::syntax::ast::{Name, TypeName};

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
