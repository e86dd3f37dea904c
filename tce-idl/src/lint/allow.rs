//! `// tce-lint: allow(rule, …)`: comments that suppress findings.

use std::collections::HashMap;
use std::ops::Range;

use super::{Level, LintContext, Rule, Settings, switchable};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::source::{FileId, SourceFile, Span};
use crate::syntax::{self, Token};

const MARK: &str = "tce-lint:";

/// The ranges in which comments suppress findings.
pub(super) struct Suppressions {
    /// By code and file, sorted by start.
    ranges: HashMap<(Code, FileId), Vec<SuppressedRange>>,
}

/// Bytes of a file in which a rule is suppressed.
struct SuppressedRange {
    start: usize,
    /// The largest end of this range and those before it, so that one
    /// comparison tells whether any of them contains a byte.
    end: usize,
}

impl Suppressions {
    /// Whether a comment suppresses a finding.
    pub(super) fn cover(&self, finding: &Diagnostic) -> bool {
        let Some(span) = finding.primary.as_ref().map(|label| label.span) else {
            return false;
        };
        let Some(ranges) = self.ranges.get(&(finding.code, span.file)) else {
            return false;
        };
        let at = span.start as usize;
        let before = ranges.partition_point(|range| range.start <= at);
        before > 0 && at < ranges[before - 1].end
    }

    fn add(&mut self, code: Code, file: FileId, range: Range<usize>) {
        let ranges = self.ranges.entry((code, file)).or_default();
        let (last_start, last_end) = ranges
            .last()
            .map_or((0, 0), |range| (range.start, range.end));
        ranges.push(SuppressedRange {
            // Keeps the order by start: a line begins before a comment on it, with only space between.
            start: range.start.max(last_start),
            end: range.end.max(last_end),
        });
    }
}

/// Reads the comments of all checked files, and reports malformed ones.
pub(super) fn read_comments(context: &LintContext<'_>) -> (Suppressions, Vec<Diagnostic>) {
    let ranges = HashMap::new();
    let (mut suppressions, mut malformed) = (Suppressions { ranges }, Vec::new());
    for file in context.files() {
        let source = context.sources.get(file.id);
        if source.text().contains(MARK) {
            read_file(file.id, source, &mut suppressions, &mut malformed);
        }
    }
    (suppressions, malformed)
}

fn read_file(
    id: FileId,
    source: &SourceFile,
    suppressions: &mut Suppressions,
    malformed: &mut Vec<Diagnostic>,
) {
    let tokens = syntax::tokens(id, source);
    for (at, token) in tokens.iter().enumerate().filter(|(_, it)| it.is_comment) {
        let Some(text) = instruction(text_of(source, token)) else {
            continue;
        };
        match codes(text) {
            Ok(codes) => {
                let range = suppressed_range(source, &tokens, at);
                for code in codes {
                    suppressions.add(code, id, range.clone());
                }
            }
            Err((message, help)) => {
                let diagnostic = Diagnostic::new(Code::LintComment, message);
                malformed.push(diagnostic.at(token.span, "").help(help));
            }
        }
    }
}

fn text_of<'s>(source: &'s SourceFile, token: &Token) -> &'s str {
    &source.text()[token.span.start as usize..token.span.end as usize]
}

/// The text after `tce-lint:` of a comment.
fn instruction(comment: &str) -> Option<&str> {
    let bare = comment.trim_start_matches(['/', '*', '#']).trim_start();
    let text = bare.strip_prefix(MARK)?;
    Some(text.strip_suffix("*/").unwrap_or(text).trim())
}

/// The codes that an instruction allows. The error is a message and how to fix it.
fn codes(text: &str) -> Result<Vec<Code>, (String, String)> {
    let list = text
        .strip_prefix("allow(")
        .and_then(|rest| rest.strip_suffix(')'));
    let Some(list) = list else {
        let message = format!("`{text}` is not a lint instruction");
        return Err((message, "write `// tce-lint: allow(rule, …)`".to_owned()));
    };
    let find = |name: &str| {
        Settings::find(name).ok_or_else(|| {
            let names: Vec<&str> = switchable().map(Code::name).collect();
            let help = match nearest(name, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`tce lint --list` shows all rules".to_owned(),
            };
            (format!("unknown lint rule `{name}`"), help)
        })
    };
    list.split(',').map(str::trim).map(find).collect()
}

/// The bytes that the comment `at` applies to: the declaration that follows, or
/// the comment's line if there is other text before it.
fn suppressed_range(source: &SourceFile, tokens: &[Token], at: usize) -> Range<usize> {
    let Span { start, .. } = tokens[at].span;
    let (line, _) = source.lines(start, start);
    let is_alone = source.text()[line.start..start as usize].trim().is_empty();
    if !is_alone {
        return line;
    }
    let following = tokens[at + 1..].iter().filter(|token| !token.is_comment);
    let following = following.map(|token| (text_of(source, token), token.span.end));
    let end = declaration_end(following).unwrap_or(start);
    start as usize..end as usize
}

/// The end of the declaration that `tokens` begin with; `None` if the enclosing list ends first.
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
    why: "A comment with a misspelt rule suppresses nothing. Write `// tce-lint: allow(rule, …)`, with \
          names or codes of rules, on the line before a declaration or at the end of a line.",
    bad: include_str!("examples/lint_comment.bad.idl"),
    good: include_str!("examples/lint_comment.good.idl"),
    // `read_comments`, which runs before all rules, reports the findings.
    check: |_, _| {},
};
