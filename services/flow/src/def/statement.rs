//! A statement about a node: which one it is, and whether it is permitted there.

use crate::attribute::TimeKind;
use crate::tree::Kind;

use super::attributes::AttributeParser;
use super::diagnostic::{Code, Diagnostic};
use super::lexer::Word;

/// All statements, for suggestions.
const KEYWORDS: [&str; 29] = [
    "suite",
    "endsuite",
    "family",
    "endfamily",
    "task",
    "endtask",
    "extern",
    "edit",
    "trigger",
    "complete",
    "event",
    "meter",
    "label",
    "limit",
    "inlimit",
    "defstatus",
    "repeat",
    "time",
    "today",
    "cron",
    "date",
    "day",
    "late",
    "clock",
    "autocancel",
    "zombie",
    "enddef",
    "defs",
    "server",
];

/// Statements of ecFlow that this server does not have, and what takes their place.
const NOT_SUPPORTED: [(&str, &str); 8] = [
    ("queue", "use a repeat, or an event for each step"),
    ("generic", "use a variable"),
    (
        "aviso",
        "let a task wait for the notification and set an event",
    ),
    ("mirror", "let a client watch the other server"),
    ("autoarchive", "use `autocancel`, or delete the node"),
    ("autorestore", "load the definition again"),
    ("verify", "compare the states in a test of the suite"),
    (
        "alias",
        "run the task with other variables in a suite of its own",
    ),
];

/// The diagnostic of a statement that is not known.
pub(super) fn unknown_keyword(keyword: &Word<'_>) -> Diagnostic {
    let span = keyword.span.clone();
    if let Some((name, help)) = NOT_SUPPORTED.iter().find(|(name, _)| *name == keyword.text) {
        let message = format!("`{name}` is not supported by this server");
        return Diagnostic::new(Code::NotSupported, span, message).help(*help);
    }
    let shown: String = keyword.text.chars().take(40).collect();
    let message = format!("`{shown}` is not a statement");
    let diagnostic = Diagnostic::new(Code::UnknownKeyword, span, message);
    let similar = KEYWORDS
        .iter()
        .map(|known| (strsim::osa_distance(known, &shown), known))
        .min();
    match similar {
        Some((distance, known)) if distance <= 2 => {
            diagnostic.help(format!("did you mean `{known}`?"))
        }
        _ => diagnostic,
    }
}

impl AttributeParser<'_, '_> {
    /// Parses the statement; false if its first word is not the name of an attribute.
    pub(super) fn parse(&mut self) -> bool {
        let Some(keyword) = self.words.first() else {
            return false;
        };
        let word = keyword.text;
        let result = match word {
            "edit" => self.edit(),
            "trigger" => self.expression("trigger"),
            "complete" => self.expression("complete"),
            "event" => self.event(),
            "meter" => self.meter(),
            "label" => self.label(),
            "limit" => self.limit(),
            "inlimit" => self.inlimit(),
            "defstatus" => self.default_state(),
            "repeat" => self.repeat(),
            "time" => self.time(TimeKind::Time),
            "today" => self.time(TimeKind::Today),
            "cron" => self.cron(),
            "date" => self.date(),
            "day" => self.day(),
            "late" => self.late(),
            "clock" => self.clock(),
            "autocancel" => self.auto_cancel(),
            "zombie" => self.zombie(),
            _ => return false,
        };
        let is_permitted = match word {
            _ if self.kind == Kind::Server => false,
            "clock" => self.kind == Kind::Suite,
            "trigger" | "complete" | "time" | "today" | "date" | "day" | "meter" => {
                self.kind != Kind::Suite
            }
            _ => true,
        };
        if !is_permitted {
            let message = match self.kind {
                Kind::Server => format!("`{word}` is outside of a suite"),
                kind => format!("a {} has no `{word}`", kind.word()),
            };
            self.diagnostics.push(Diagnostic::new(
                Code::Misplaced,
                keyword.span.clone(),
                message,
            ));
        }
        if let Err(diagnostic) = result {
            self.diagnostics.push(diagnostic);
        }
        true
    }
}
