//! Pairs to AST, one file a construct. What the grammar could only catch, not
//! understand, becomes a diagnostic here.

mod annotations;
mod broken;
mod container;
mod doc;
mod explain;
mod foreign;
mod import;
mod interface;
mod module;
mod structure;
mod types;

use std::collections::HashSet;

use super::ast::{File, Name};
use super::parse::{self, Node, Rule};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{FileId, Span};
use annotations::Pending;

/// What is known while one file is lowered.
struct Lower<'a> {
    text: &'a str,
    sink: &'a mut Diagnostics,
    broken: HashSet<String>,
    /// Whether a `}` was found missing: later ones may then close the wrong thing, and say nothing new.
    unbalanced: bool,
}

/// Lowers one file.
pub(super) fn file(id: FileId, text: &str, sink: &mut Diagnostics) -> File {
    let mut lower = Lower {
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
        lower.file(&root, &mut file);
    } else {
        let message = "this file can't be understood";
        lower.sink.push(Diagnostic::new(Code::Unexpected, message));
    }
    file.broken = lower.broken;
    file
}

impl<'a> Lower<'a> {
    fn file(&mut self, root: &Node<'a>, file: &mut File) {
        let mut pending = Pending::default();
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
                Rule::structure | Rule::interface | Rule::sequence | Rule::dictionary => {
                    self.outside_module(&node, &mut pending);
                }
                Rule::broken_element => self.broken_outside(&node),
                Rule::semi => self.stray_semicolon(&node),
                _ => self.prefix(&node, &mut pending),
            }
        }
        self.annotates_nothing(&mut pending);
    }

    /// The comments that were read in search of a `;` that may be there: they
    /// stand before what comes next, and may be its documentation.
    fn comments_behind(&mut self, node: &Node<'a>, pending: &mut Pending) {
        let children: Vec<Node<'a>> = node.children().collect();
        let is_part = |child: &Node<'a>| child.rule() != Rule::COMMENT;
        let parts = children
            .iter()
            .rposition(is_part)
            .map_or(0, |last| last + 1);
        for comment in &children[parts..] {
            self.prefix(comment, pending);
        }
    }

    /// A `;` where there is nothing to end.
    fn stray_semicolon(&mut self, node: &Node<'a>) {
        let diagnostic = Diagnostic::new(Code::Unexpected, "this `;` ends nothing");
        self.sink.push(
            diagnostic
                .at(node.span(), "")
                .fix("remove it", node.span(), ""),
        );
    }

    fn stray_close(&mut self, node: &Node<'a>) {
        if self.unbalanced {
            return;
        }
        let diagnostic = Diagnostic::new(Code::StrayBrace, "this `}` closes nothing");
        self.sink.push(
            diagnostic
                .at(part(node.span(), 0, 1), "no `{` is open here")
                .help("remove it, or add the `{` that it is to close"),
        );
    }

    fn open_comment(&mut self, root: &Node<'a>) {
        let Some(node) = root.comments().find(|node| doc::is_open(node.text())) else {
            return;
        };
        let diagnostic = Diagnostic::new(Code::UnterminatedComment, "this comment is never closed");
        let diagnostic = diagnostic.at(
            part(node.span(), 0, 2),
            "everything from here to the end of the file is comment",
        );
        self.sink.push(diagnostic.help("close it with `*/`"));
        // Whatever is missing now is inside the comment.
        self.unbalanced = true;
    }

    /// Asks for the keyword in lower case.
    fn keyword(&mut self, node: &Node<'a>) {
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

    /// The name of a declaration, which must be ASCII: every target language can spell it then.
    fn name(&mut self, node: &Node<'a>) -> Name {
        if let Some((at, odd)) = node.text().char_indices().find(|(_, c)| !c.is_ascii()) {
            let message = format!(
                "`{}` is no name: `{odd}` is not an ASCII letter, digit or `_`",
                node.text()
            );
            let span = part(node.span(), at, odd.len_utf8());
            self.sink
                .push(Diagnostic::new(Code::BadCharacter, message).at(span, ""));
        }
        node.name()
    }

    /// A declaration that should have ended with `;`.
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

    /// Checks the brackets of `what { … }`: both must be there.
    fn braces(&mut self, node: &Node<'a>, what: &str, head: Span) {
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

    fn unclosed(&mut self, node: &Node<'a>, what: &str, opened: Span) {
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
                diagnostic.note(place, format!("no `{word}` can start inside of it"))
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

/// The last character before an empty node that is no space.
fn before(node: &Node<'_>, text: &str) -> Span {
    let span = node.span();
    let kept = text[..span.start as usize].trim_end();
    let last = kept.chars().next_back().map_or(0, char::len_utf8);
    part(Span { start: 0, ..span }, kept.len() - last, last)
}
