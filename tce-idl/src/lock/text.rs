//! A lock file as text: one line for each interface or operation.
//!
//! Operations follow their interface, sorted by index, so that two branches that
//! use the same next index get a merge conflict.

use std::collections::HashMap;
use std::fmt;

use super::{Lock, LockEntry, scope};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::resolve::parse_index;
use crate::source::{FileId, Span, lines_with_ends};

/// The first lines of every lock file.
const HEAD: &str = "\
# The indices that peers rely on. `tce lock` writes this file: commit it.
version = 1
";

/// The word after the index of a declaration that the IDL no longer has.
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

/// Parses a lock file; `None` if a line is wrong, since an incomplete lock would
/// accept changed indices.
pub(super) fn read(file: FileId, text: &str, sink: &mut Diagnostics) -> Option<Lock> {
    let mut reader = LockReader::default();
    let mut start = 0;
    for line in lines_with_ends(text) {
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

/// Why the rest of the file can't be parsed from this line on, and what to do.
fn unreadable(line: &str) -> Option<(&'static str, &'static str)> {
    let conflict = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];
    if conflict.iter().any(|mark| line.starts_with(mark)) {
        let help =
            "keep the lines of both sides, then run `tce lock`, which reports contradictions";
        return Some(("a merge conflict is not resolved", help));
    }
    let is_version = line.split(['=', ' ']).next() == Some("version");
    is_version.then_some((
        "this lock file was written by another version of tce",
        "use that version, or a newer one",
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
struct LockReader {
    lock: Lock,
    /// The name and line of each index, by scope.
    owners: HashMap<(String, u16), (String, Span)>,
    wrong: Vec<Diagnostic>,
}

/// Parses `module.Interface.operation = 3` or `module.Interface.operation = 3 retired`.
fn entry(line: &str, span: Span) -> Result<(&str, LockEntry), String> {
    let (name, value) = line.split_once('=').ok_or("this line has no `=`")?;
    let (name, value) = (name.trim(), value.trim());
    let words = name.split('.');
    if !(2..=3).contains(&words.clone().count()) || words.clone().any(str::is_empty) {
        return Err(format!(
            "`{name}` is neither `module.Interface` nor `module.Interface.operation`"
        ));
    }
    let (index, state) = value.split_once(' ').unwrap_or((value, ""));
    let retired = match state.trim() {
        "" => false,
        RETIRED => true,
        other => return Err(format!("`{other}` is not `{RETIRED}`")),
    };
    let entry = LockEntry {
        index: parse_index(index)?,
        retired,
        span,
    };
    Ok((name, entry))
}

impl LockReader {
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

    /// Adds an entry. A merge may leave a name or an index twice.
    fn add(&mut self, name: &str, entry: LockEntry) {
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
            let help = "remove the line that no peer uses yet, then run `tce lock`";
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
