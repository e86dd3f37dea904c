//! A lock as text: one line an interface or operation.
//!
//! Operations stand under their interface by index, so that two branches that
//! take the same next index meet in a merge conflict, as they should.

use std::collections::HashMap;
use std::fmt;

use super::{Entry, Lock, scope};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::resolve::number;
use crate::source::{FileId, Span};

/// The first lines of every lock.
const HEAD: &str = "\
# The indices that peers rely on. `tce lock` writes this file: commit it.
version = 1
";

/// What stands after the index of what the IDL has no more.
const RETIRED: &str = "retired";

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        let index = |name: &str| self.entries.get(name).map(|entry| entry.index);
        let mut lines: Vec<_> = self.entries.iter().collect();
        lines.sort_by_cached_key(|&(name, entry)| {
            let module = name.split('.').next();
            let interface = match scope(name) {
                scope if scope.contains('.') => scope,
                _ => name,
            };
            let is_operation = interface.len() < name.len();
            let own = is_operation.then_some(entry.index);
            (module, index(interface), interface, own, name)
        });
        for (name, entry) in lines {
            let retired = if entry.retired { " retired" } else { "" };
            writeln!(f, "{name} = {}{retired}", entry.index)?;
        }
        Ok(())
    }
}

/// The lock that a file holds; `None` where a line is wrong, since a part of a
/// lock would let indices pass that the whole does not. Empty lines, and those
/// that start with `#`, say nothing.
pub(super) fn read(file: FileId, text: &str, sink: &mut Diagnostics) -> Option<Lock> {
    let mut reader = Reader::default();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let words = line.trim();
        let indent = line.len() - line.trim_start().len();
        let span = span(file, start + indent, words.len());
        start += line.len();
        if words.is_empty() || words.starts_with('#') || words == "version = 1" {
            continue;
        }
        if let Some((message, help)) = unreadable(words) {
            let diagnostic = Diagnostic::new(Code::LockSyntax, message).at(span, "");
            reader.wrong.push(diagnostic.help(help));
            break;
        }
        reader.line(words, span);
    }
    let good = reader.wrong.is_empty();
    reader.wrong.into_iter().for_each(|it| sink.push(it));
    good.then_some(reader.lock)
}

/// What is wrong with a line after which nothing makes sense, and what to do.
fn unreadable(line: &str) -> Option<(&'static str, &'static str)> {
    let conflict = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];
    if conflict.iter().any(|mark| line.starts_with(mark)) {
        let help = "keep the lines of both sides, then run `tce lock`: it says what does not fit";
        return Some(("a merge conflict is not resolved", help));
    }
    let is_version = line.split(['=', ' ']).next() == Some("version");
    is_version.then_some((
        "this lock is of another version of tce",
        "use the one that wrote it, or a newer one",
    ))
}

fn span(file: FileId, start: usize, length: usize) -> Span {
    let count = |byte| u32::try_from(byte).unwrap_or(u32::MAX);
    Span {
        file,
        start: count(start),
        end: count(start + length),
    }
}

#[derive(Default)]
struct Reader {
    lock: Lock,
    /// Who has an index, by scope.
    owners: HashMap<(String, u16), (String, Span)>,
    wrong: Vec<Diagnostic>,
}

/// `module.Interface.operation = 3`, perhaps `retired`.
fn entry(line: &str, span: Span) -> Result<(&str, Entry), String> {
    let (name, value) = line.split_once('=').ok_or("this line has no `=`")?;
    let (name, value) = (name.trim(), value.trim());
    let words = name.split('.');
    if !(2..=3).contains(&words.clone().count()) || words.clone().any(str::is_empty) {
        return Err(format!("`{name}` is no interface and no operation"));
    }
    let (index, state) = value.split_once(' ').unwrap_or((value, ""));
    let retired = match state.trim() {
        "" => false,
        RETIRED => true,
        other => return Err(format!("`{other}` is not `{RETIRED}`")),
    };
    let entry = Entry {
        index: number::parse(index)?,
        retired,
        span,
    };
    Ok((name, entry))
}

impl Reader {
    fn line(&mut self, line: &str, span: Span) {
        match entry(line, span) {
            Ok((name, entry)) => self.add(name, entry),
            Err(message) => {
                let diagnostic = Diagnostic::new(Code::LockSyntax, message).at(span, "");
                let help = "a line is `module.Interface = 3` or `module.Interface.operation = 3`";
                self.wrong.push(diagnostic.help(help));
            }
        }
    }

    /// After a careless merge a name or an index may be there twice.
    fn add(&mut self, name: &str, entry: Entry) {
        if let Some(first) = self.lock.entries.insert(name.to_owned(), entry) {
            let message = format!("`{name}` has two lines");
            self.twice(message, entry.span, first.span, "remove one of them");
            return;
        }
        let owner = (name.to_owned(), entry.span);
        let key = (scope(name).to_owned(), entry.index);
        if let Some((other, first)) = self.owners.insert(key, owner)
            && other != name
        {
            let message = format!("`{other}` and `{name}` have the same index {}", entry.index);
            let help = "remove the line of the one that no peer knows yet, and run `tce lock`";
            self.twice(message, entry.span, first, help);
        }
    }

    fn twice(&mut self, message: String, here: Span, there: Span, help: &str) {
        let diagnostic = Diagnostic::new(Code::LockSyntax, message).at(here, "");
        self.wrong
            .push(diagnostic.note(there, "the first one").help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::Memory;
    use crate::source::SourceMap;
    use crate::{compile_str, model::Model};

    fn model(text: &str) -> Model {
        compile_str(text).model.unwrap()
    }

    fn load(text: &str) -> Lock {
        let loader = Memory::new().with("tce.lock", text);
        Lock::load(&loader, "tce.lock".as_ref(), &mut SourceMap::default()).unwrap()
    }

    const TEXT: &str = "\
# The indices that peers rely on. `tce lock` writes this file: commit it.
version = 1
a.Late = 0
a.Late.z = 0
a.Late.y = 1
a.Early = 5
a.Early.x = 0
b.Other = 0
b.Other.o = 7
";

    const IDL: &str = "
        module b { interface Other { [index=7] void o(); }; };
        module a { interface Late { void z(); void y(); }; [index=5] interface Early { void x(); }; };";

    #[test]
    fn a_lock_is_written_by_index_and_read_again() {
        assert_eq!(Lock::of(&model(IDL)).to_string(), TEXT);
        assert_eq!(load(TEXT).to_string(), TEXT);
    }

    #[test]
    fn what_is_gone_is_retired_and_comes_back() {
        let mut lock = load(TEXT);
        lock.update(&model(
            "module a { interface Late { void z(); }; [index=5] interface Early { void x(); }; };",
        ));
        let retired = TEXT.replace("a.Late.y = 1", "a.Late.y = 1 retired");
        assert_eq!(
            lock.to_string(),
            retired,
            "module `b` is not there, and stays"
        );
        assert_eq!(load(&retired).to_string(), retired);
        lock.update(&model(IDL));
        assert_eq!(lock.to_string(), TEXT);
    }

    #[test]
    fn an_index_that_is_used_again_is_not_retired() {
        let mut lock = load(TEXT);
        lock.update(&model("module b { interface New { void n(); }; };"));
        let text = lock.to_string();
        assert!(text.contains("b.New = 0\nb.New.n = 0\n"), "{text}");
        assert!(!text.contains("b.Other = 0"), "{text}");
    }
}
