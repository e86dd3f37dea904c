//! `// tce-lint: allow(rule, …)`: findings that an author knows of.

use std::collections::HashMap;
use std::ops::Range;

use super::{Level, Rule, Settings, Subject, switchable};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::source::{FileId, Source, Span};
use crate::syntax::{self, Token};

const MARK: &str = "tce-lint:";

/// The findings that comments allow.
pub(super) struct Allowed {
    /// By code and file: places in order of their starts.
    places: HashMap<(Code, FileId), Vec<Place>>,
}

/// Bytes of a file in which a rule is off.
struct Place {
    start: usize,
    /// The furthest end of this place and those before it: then one look tells
    /// whether any of them reaches a byte.
    end: usize,
}

impl Allowed {
    /// Whether a comment allows a finding.
    pub(super) fn covers(&self, finding: &Diagnostic) -> bool {
        let Some(span) = finding.primary.as_ref().map(|label| label.span) else {
            return false;
        };
        let Some(places) = self.places.get(&(finding.code, span.file)) else {
            return false;
        };
        let at = span.start as usize;
        let before = places.partition_point(|place| place.start <= at);
        before > 0 && at < places[before - 1].end
    }

    fn add(&mut self, code: Code, file: FileId, range: Range<usize>) {
        let places = self.places.entry((code, file)).or_default();
        let (latest, furthest) = places
            .last()
            .map_or((0, 0), |place| (place.start, place.end));
        places.push(Place {
            // A line begins before a comment that stands first on it; nothing is between.
            start: range.start.max(latest),
            end: range.end.max(furthest),
        });
    }
}

/// Reads the comments of all files that are judged, and says what is wrong with them.
pub(super) fn comments(subject: &Subject<'_>) -> (Allowed, Vec<Diagnostic>) {
    let places = HashMap::new();
    let (mut allowed, mut odd) = (Allowed { places }, Vec::new());
    for file in subject.files() {
        let source = subject.sources.get(file.id);
        if source.text().contains(MARK) {
            in_file(file.id, source, &mut allowed, &mut odd);
        }
    }
    (allowed, odd)
}

fn in_file(id: FileId, source: &Source, allowed: &mut Allowed, odd: &mut Vec<Diagnostic>) {
    let tokens = syntax::tokens(id, source);
    for (at, token) in tokens.iter().enumerate().filter(|(_, it)| it.is_comment) {
        let Some(said) = instruction(text(source, token)) else {
            continue;
        };
        match codes(said) {
            Ok(codes) => {
                let range = covered(source, &tokens, at);
                for code in codes {
                    allowed.add(code, id, range.clone());
                }
            }
            Err((message, help)) => {
                let diagnostic = Diagnostic::new(Code::LintComment, message);
                odd.push(diagnostic.at(token.span, "").help(help));
            }
        }
    }
}

fn text<'s>(source: &'s Source, token: &Token) -> &'s str {
    &source.text()[token.span.start as usize..token.span.end as usize]
}

/// What a comment tells the linter, if it speaks to it.
fn instruction(comment: &str) -> Option<&str> {
    let bare = comment.trim_start_matches(['/', '*', '#']).trim_start();
    let said = bare.strip_prefix(MARK)?;
    Some(said.strip_suffix("*/").unwrap_or(said).trim())
}

/// The codes that an instruction allows, or what is wrong with it and what would mend it.
fn codes(said: &str) -> Result<Vec<Code>, (String, String)> {
    let list = said
        .strip_prefix("allow(")
        .and_then(|rest| rest.strip_suffix(')'));
    let Some(list) = list else {
        let message = format!("`{said}` tells the linter nothing");
        return Err((message, "write `// tce-lint: allow(rule, …)`".to_owned()));
    };
    let find = |name: &str| {
        Settings::find(name).ok_or_else(|| {
            let names: Vec<&str> = switchable().map(Code::name).collect();
            let help = match nearest(name, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`tce lint --list` shows all".to_owned(),
            };
            (format!("there is no rule `{name}`"), help)
        })
    };
    list.split(',').map(str::trim).map(find).collect()
}

/// The bytes that the comment `at` is about: the declaration that follows, or
/// its own line where something stands before it.
fn covered(source: &Source, tokens: &[Token], at: usize) -> Range<usize> {
    let Span { start, .. } = tokens[at].span;
    let (line, _) = source.lines(start, start);
    let is_alone = source.text()[line.start..start as usize].trim().is_empty();
    if !is_alone {
        return line;
    }
    let following = tokens[at + 1..].iter().filter(|token| !token.is_comment);
    let following = following.map(|token| (text(source, token), token.span.end));
    let end = declaration_end(following).unwrap_or(start);
    start as usize..end as usize
}

/// Where the declaration ends that `tokens` begin with; `None` where the list ends that it was in.
fn declaration_end<'s>(tokens: impl Iterator<Item = (&'s str, u32)>) -> Option<u32> {
    let mut depth = 0_usize;
    let mut tokens = tokens.peekable();
    while let Some((text, end)) = tokens.next() {
        match text {
            "{" | "(" | "<" | "[" => depth += 1,
            "}" | ")" | ">" | "]" => depth = depth.checked_sub(1)?,
            _ => {}
        }
        let is_module_end = text == "}" && tokens.peek().is_none_or(|next| next.0 != ";");
        if depth == 0 && (matches!(text, ";" | ",") || is_module_end) {
            return Some(end);
        }
    }
    None
}

pub(super) const RULE: Rule = Rule {
    code: Code::LintComment,
    level: Level::Warn,
    why: "A misspelt name allows nothing. Write `// tce-lint: allow(rule, …)`, with names or codes \
          of rules, on the line before a declaration or behind something on its line.",
    bad: include_str!("../examples/lint_comment.bad.idl"),
    good: include_str!("../examples/lint_comment.good.idl"),
    // Whoever reads the comments, for every rule, reports them too.
    check: |_, _| {},
};
