//! `// tce-lint: allow(rule, …)`: findings that an author knows of.

use std::ops::Range;

use super::{Settings, Subject, switchable};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use crate::source::{FileId, Source, Span};
use crate::syntax::{self, Token};

const MARK: &str = "tce-lint:";

/// The findings that comments allow.
pub(super) struct Allowed {
    list: Vec<(Code, FileId, Range<usize>)>,
}

impl Allowed {
    /// Whether a comment allows a finding.
    pub(super) fn covers(&self, finding: &Diagnostic) -> bool {
        let Some(span) = finding.primary.as_ref().map(|label| label.span) else {
            return false;
        };
        self.list.iter().any(|(code, file, range)| {
            (*code, *file) == (finding.code, span.file) && range.contains(&(span.start as usize))
        })
    }
}

/// Reads the comments of all files that are judged; what is wrong with them goes to `sink`.
pub(super) fn comments(subject: &Subject<'_>, sink: &mut Diagnostics) -> Allowed {
    let mut allowed = Allowed { list: Vec::new() };
    for file in subject.files() {
        let source = subject.sources.get(file.id);
        if !source.text().contains(MARK) {
            continue;
        }
        let tokens = syntax::tokens(file.id, source);
        for (at, token) in tokens.iter().enumerate().filter(|(_, it)| it.is_comment) {
            let Some(said) = instruction(text(source, token)) else {
                continue;
            };
            match codes(said) {
                Ok(codes) => {
                    let range = covered(source, &tokens, at);
                    let entry = |code| (code, file.id, range.clone());
                    allowed.list.extend(codes.into_iter().map(entry));
                }
                Err((message, help)) => {
                    let diagnostic = Diagnostic::new(Code::LintComment, message);
                    sink.push(diagnostic.at(token.span, "").help(help));
                }
            }
        }
    }
    allowed
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
    let following: Vec<(&str, Span)> = tokens[at + 1..]
        .iter()
        .filter(|token| !token.is_comment)
        .map(|token| (text(source, token), token.span))
        .collect();
    let end = declaration_end(&following).unwrap_or(start);
    start as usize..end as usize
}

/// Where the declaration at the start of `tokens` ends; `None` where the list ends that it was in.
fn declaration_end(tokens: &[(&str, Span)]) -> Option<u32> {
    let mut depth = 0_usize;
    for (at, (text, span)) in tokens.iter().enumerate() {
        match *text {
            "{" | "(" | "<" | "[" => depth += 1,
            "}" | ")" | ">" | "]" => depth = depth.checked_sub(1)?,
            _ => {}
        }
        let is_module_end = *text == "}" && tokens.get(at + 1).is_none_or(|next| next.0 != ";");
        if depth == 0 && (matches!(*text, ";" | ",") || is_module_end) {
            return Some(span.end);
        }
    }
    tokens.last().map(|(_, span)| span.end)
}
