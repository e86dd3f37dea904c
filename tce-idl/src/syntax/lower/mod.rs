//! Pest's pairs to the AST. Parts that match a rule `broken_…` become
//! diagnostics here.

mod hidden;
mod foreign;
mod foreign_members;
mod explain;
mod annotations;
mod declarations;

use std::collections::HashSet;

use super::ast::{File, Identifier};
use super::parse::{self, Rule, SyntaxNode};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{FileId, Span};
use annotations::DeclarationPrefix;

/// The state while one file is lowered.
struct Lowering<'a> {
    text: &'a str,
    sink: &'a mut Diagnostics,
    broken: HashSet<String>,
    /// Whether a missing `}` was reported. A later stray `}` is then a consequence, and not reported.
    unbalanced: bool,
}

/// Lowers one file.
pub(super) fn file(id: FileId, text: &str, sink: &mut Diagnostics) -> File {
    let mut lower = Lowering {
        text,
        sink,
        broken: HashSet::new(),
        unbalanced: false,
    };
    let mut file = File {
        id,
        imports: Vec::new(),
        modules: Vec::new(),
        broken: HashSet::new(),
    };
    if let Some(root) = parse::file(text, id) {
        lower.open_comment(&root);
        hidden::check(&root, lower.sink);
        lower.file(&root, &mut file);
    } else {
        let message = "this file can't be parsed";
        lower.sink.push(Diagnostic::new(Code::Unexpected, message));
    }
    file.broken = lower.broken;
    file
}

impl<'a> Lowering<'a> {
    fn file(&mut self, root: &SyntaxNode<'a>, file: &mut File) {
        let mut pending = DeclarationPrefix::default();
        for node in root.children() {
            match node.rule() {
                Rule::import => {
                    file.imports.extend(self.import(&node));
                    self.comments_behind(&node, &mut pending);
                }
                Rule::broken_import => self.broken(&node, Rule::just_import),
                Rule::module => {
                    file.modules.extend(self.module(&node, &mut pending));
                    self.comments_behind(&node, &mut pending);
                }
                Rule::stray_close => self.stray_close(&node),
                Rule::structure
                | Rule::exception
                | Rule::enumeration
                | Rule::constant
                | Rule::interface
                | Rule::sequence
                | Rule::dictionary => self.outside_module(&node, &mut pending),
                Rule::broken_element => self.broken_outside(&node),
                Rule::semi => self.stray_semicolon(&node),
                _ => self.prefix(&node, &mut pending),
            }
        }
        self.annotates_nothing(&mut pending);
    }

    /// Handles the comments at the end of a node with an optional `;`: pest reads
    /// them while it looks for the `;`, but they belong to the next declaration.
    fn comments_behind(&mut self, node: &SyntaxNode<'a>, pending: &mut DeclarationPrefix) {
        let children: Vec<SyntaxNode<'a>> = node.children().collect();
        let is_part = |child: &SyntaxNode<'a>| child.rule() != Rule::COMMENT;
        let parts = children
            .iter()
            .rposition(is_part)
            .map_or(0, |last| last + 1);
        for comment in &children[parts..] {
            self.prefix(comment, pending);
        }
    }

    /// Reports a `;` that ends no declaration.
    fn stray_semicolon(&mut self, node: &SyntaxNode<'a>) {
        let diagnostic = Diagnostic::new(Code::Unexpected, "unexpected `;`");
        self.sink.push(
            diagnostic
                .at(node.span(), "")
                .fix("remove it", node.span(), ""),
        );
    }

    fn stray_close(&mut self, node: &SyntaxNode<'a>) {
        if self.unbalanced {
            return;
        }
        let diagnostic = Diagnostic::new(Code::StrayBrace, "unexpected `}`");
        self.sink.push(
            diagnostic
                .at(part(node.span(), 0, 1), "no `{` is open here")
                .help("remove it, or add the missing `{`"),
        );
    }

    fn open_comment(&mut self, root: &SyntaxNode<'a>) {
        let Some(node) = root
            .comments()
            .find(|node| annotations::is_open(node.text()))
        else {
            return;
        };
        let diagnostic = Diagnostic::new(Code::UnterminatedComment, "this comment is not closed");
        let diagnostic = diagnostic.at(
            part(node.span(), 0, 2),
            "the comment extends from here to the end of the file",
        );
        self.sink.push(diagnostic.help("close it with `*/`"));
        // Anything that is missing now is inside the comment.
        self.unbalanced = true;
    }

    /// Reports a keyword that is not in lower case.
    fn keyword(&mut self, node: &SyntaxNode<'a>) {
        let lower = node.text().to_ascii_lowercase();
        if node.text() != lower {
            let message = format!(
                "keywords are in lower case: `{lower}`, not `{}`",
                node.text()
            );
            let diagnostic = Diagnostic::new(Code::KeywordCase, message).at(node.span(), "");
            self.sink
                .push(diagnostic.fix(format!("write `{lower}`"), node.span(), lower));
        }
    }

    /// The name of a declaration. It must be ASCII, so that every target language can spell it.
    fn name(&mut self, node: &SyntaxNode<'a>) -> Identifier {
        if let Some((at, odd)) = node.text().char_indices().find(|(_, c)| !c.is_ascii()) {
            let message = format!(
                "`{}` is not a valid name: `{odd}` is not an ASCII letter, digit or `_`",
                node.text()
            );
            let span = part(node.span(), at, odd.len_utf8());
            self.sink
                .push(Diagnostic::new(Code::BadCharacter, message).at(span, ""));
        }
        node.name()
    }

    /// Reports a declaration that does not end with `;`.
    fn missing_semicolon(&mut self, what: &str, after: Span) {
        let diagnostic =
            Diagnostic::new(Code::MissingSemicolon, format!("missing `;` after {what}"));
        self.sink
            .push(diagnostic.at(after.after(), "expected `;` here").fix(
                "add `;`",
                after.after(),
                ";",
            ));
    }

    /// Reports a missing `{`, `}` or `;` of `what { … };`.
    fn braces(&mut self, node: &SyntaxNode<'a>, what: &str, head: Span) {
        let mut opened = head;
        for child in node.children() {
            match child.rule() {
                Rule::open => opened = child.span(),
                Rule::no_open => {
                    let diagnostic =
                        Diagnostic::new(Code::Unexpected, format!("missing `{{` after {what}"));
                    self.sink
                        .push(diagnostic.at(head.after(), "expected `{` here").fix(
                            "add `{`",
                            head.after(),
                            " {",
                        ));
                }
                Rule::unclosed if !self.unbalanced => self.unclosed(&child, what, opened),
                Rule::no_semi => self
                    .missing_semicolon(&format!("the `}}` of {what}"), before(&child, self.text)),
                _ => {}
            }
        }
    }

    fn unclosed(&mut self, node: &SyntaxNode<'a>, what: &str, opened: Span) {
        self.unbalanced = true;
        let end = before(node, self.text).after();
        let rest = &self.text[end.start as usize..];
        let diagnostic = Diagnostic::new(Code::UnclosedBrace, format!("{what} is not closed"))
            .at(opened, "this `{` has no `}`");
        let next = rest.trim_start();
        let word = next.split(|c: char| !c.is_alphanumeric()).next();
        let diagnostic = match word.unwrap_or_default() {
            "" => diagnostic.note(end, "the file ends here"),
            word => {
                let place = part(end, rest.len() - next.len(), word.len());
                diagnostic.note(place, format!("`{word}` is not allowed inside it"))
            }
        };
        self.sink.push(diagnostic.help(match word {
            Some("module") => "modules don't nest: add the missing `}` before this one",
            _ => "add the missing `}`",
        }));
    }
}

/// `length` bytes from the byte `at` of `span`.
fn part(span: Span, at: usize, length: usize) -> Span {
    let count = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
    let start = span.start.saturating_add(count(at));
    Span {
        start,
        end: start.saturating_add(count(length)),
        ..span
    }
}

/// The last character before an empty node, not counting space.
fn before(node: &SyntaxNode<'_>, text: &str) -> Span {
    let span = node.span();
    let kept = text[..span.start as usize].trim_end();
    let last = kept.chars().next_back().map_or(0, char::len_utf8);
    part(Span { start: 0, ..span }, kept.len() - last, last)
}
