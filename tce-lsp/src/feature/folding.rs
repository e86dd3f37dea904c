//! Folding: bodies and lists in brackets, comments, and imports. Works on the tokens
//! alone, so that a text with mistakes can be folded too.

use ls_types::{FoldingRange, FoldingRangeKind, FoldingRangeParams};
use tce_idl::source::SourceFile;

use super::lexer::{Token, TokenKind, tokens};
use crate::workspace::Workspace;

pub(crate) fn ranges(
    workspace: &mut Workspace,
    params: &FoldingRangeParams,
) -> Option<Vec<FoldingRange>> {
    let uri = &params.text_document.uri;
    let source = &workspace.documents.document(uri)?.source;
    let mut folder = Folder {
        source,
        ranges: Vec::new(),
        open: Vec::new(),
        run: None,
        last_line: None,
    };
    for token in tokens(source.text()) {
        folder.add(&token);
    }
    folder.end_run();
    Some(folder.ranges)
}

/// Finds the ranges of a text, token by token.
struct Folder<'s> {
    source: &'s SourceFile,
    ranges: Vec<FoldingRange>,
    /// The brackets that are open, and their lines.
    open: Vec<(char, u32)>,
    /// Comments on consecutive lines, or imports.
    run: Option<Run>,
    /// The last line of the previous token.
    last_line: Option<u32>,
}

/// Lines that are folded together.
struct Run {
    kind: FoldingRangeKind,
    start: u32,
    end: u32,
}

impl Folder<'_> {
    fn add(&mut self, token: &Token<'_>) {
        let start = self.line(token.start);
        let end = self.line(token.start + token.text.len());
        let begins_line = self.last_line != Some(start);
        match token.kind {
            TokenKind::BlockComment => {
                self.end_run();
                self.push(start, end, Some(FoldingRangeKind::Comment));
            }
            TokenKind::LineComment if begins_line => self.comment(start),
            TokenKind::LineComment => {}
            _ => self.code(token, start, begins_line),
        }
        self.last_line = Some(end);
    }

    /// Adds a line that is only a comment.
    fn comment(&mut self, line: u32) {
        match &mut self.run {
            Some(run) if run.kind == FoldingRangeKind::Comment && run.end + 1 == line => {
                run.end = line;
            }
            _ => self.start_run(FoldingRangeKind::Comment, line),
        }
    }

    fn code(&mut self, token: &Token<'_>, line: u32, begins_line: bool) {
        let is_import = |run: &Run| run.kind == FoldingRangeKind::Imports;
        match (token.text, &mut self.run) {
            ("import", Some(run)) if is_import(run) => run.end = line,
            ("import", _) => self.start_run(FoldingRangeKind::Imports, line),
            // The name that is imported, and an optional `;`.
            (_, Some(run)) if is_import(run) && run.end == line => {}
            _ => self.end_run(),
        }
        match token.text {
            "{" | "(" | "[" => self.open.extend(token.text.chars().map(|it| (it, line))),
            "}" => self.close('{', line, begins_line),
            ")" => self.close('(', line, begins_line),
            "]" => self.close('[', line, begins_line),
            _ => {}
        }
    }

    /// Closes a bracket. Brackets inside of braces that are still open have no end.
    fn close(&mut self, opening: char, line: u32, begins_line: bool) {
        let found = self.open.iter().rposition(|(open, _)| *open == opening);
        let innermost = self.open.len().checked_sub(1);
        let Some(at) = found.filter(|_| opening == '{' || found == innermost) else {
            return;
        };
        let (_, start) = self.open[at];
        self.open.truncate(at);
        // A closing bracket at the start of its line stays visible.
        self.push(start, line - u32::from(begins_line && line > start), None);
    }

    fn start_run(&mut self, kind: FoldingRangeKind, line: u32) {
        self.end_run();
        self.run = Some(Run {
            kind,
            start: line,
            end: line,
        });
    }

    fn end_run(&mut self) {
        if let Some(run) = self.run.take() {
            self.push(run.start, run.end, Some(run.kind));
        }
    }

    fn push(&mut self, start_line: u32, end_line: u32, kind: Option<FoldingRangeKind>) {
        if end_line > start_line {
            self.ranges.push(FoldingRange {
                start_line,
                start_character: None,
                end_line,
                end_character: None,
                kind,
                collapsed_text: None,
            });
        }
    }

    fn line(&self, byte: usize) -> u32 {
        let byte = u32::try_from(byte).unwrap_or(u32::MAX);
        self.source.utf16_position(byte).line
    }
}
