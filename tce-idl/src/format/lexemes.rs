//! The lexemes of a file: its words and punctuation marks, each with the comments before it.

use crate::source::lines_with_ends;
use crate::syntax::Token;

/// A word or a punctuation mark.
#[derive(Debug, Clone)]
pub(super) struct Lexeme<'a> {
    /// Empty for the end of the file.
    pub(super) text: &'a str,
    /// The comments between the previous lexeme and this one.
    pub(super) comments: Vec<Comment<'a>>,
    /// The number of line breaks right before it, at most 2.
    pub(super) newlines: usize,
    /// Whether it is the `;` of an import, which legacy compilers reject: it ends the
    /// import for the layout, and is not printed.
    pub(super) is_silent: bool,
    pub(super) role: Role,
}

/// What a punctuation mark does, where that decides the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// What its text says.
    Plain,
    /// The `,` behind a member of an enum, which has a line of its own.
    EndOfMember,
    /// The `,` behind a parameter.
    EndOfParameter,
    /// The `=` before a number or the value of a constant, not of an annotation.
    Assignment,
}

impl Lexeme<'_> {
    /// Whether it ends a list or the file.
    pub(super) fn is_end(&self) -> bool {
        matches!(self.text, "}" | ")" | "")
    }

    /// The number of comments at the end of the line of the previous lexeme.
    pub(super) fn trailing(&self) -> usize {
        let is_behind = |comment: &&Comment<'_>| comment.newlines == 0;
        let behind = self.comments.iter().take_while(is_behind).count();
        let is_ended = behind < self.comments.len() || self.newlines > 0 || self.is_end();
        if is_ended { behind } else { 0 }
    }

    /// The number of line breaks before the first comment, or before the lexeme if it has no comments.
    fn first_newlines(&mut self) -> &mut usize {
        let first = self.comments.first_mut();
        first.map_or(&mut self.newlines, |comment| &mut comment.newlines)
    }
}

/// A comment, without trailing space.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comment<'a> {
    pub(super) text: &'a str,
    /// The number of line breaks right before it, at most 2.
    pub(super) newlines: usize,
}

impl Comment<'_> {
    /// Whether it extends to the end of its line.
    pub(super) fn is_line(&self) -> bool {
        !self.text.starts_with("/*")
    }

    /// Whether it is a `/** … */`.
    pub(super) fn is_doc_block(&self) -> bool {
        self.text.starts_with("/**") && self.text != "/**/" && !self.text.starts_with("/***")
    }
}

/// The lexemes of a text in canonical form: with a `;` after every `import` that is
/// not printed, and without redundant `;` and `,`. The last lexeme is the end of the file.
pub(super) fn lexemes<'a>(text: &'a str, tokens: &[Token]) -> Vec<Lexeme<'a>> {
    let mut lexemes = with_roles(with_semicolons(commented(text, tokens)));
    separators_before_trailing_comments(&mut lexemes);
    silence_imports(&mut lexemes);
    without_redundant_semicolons(without_trailing_commas(lexemes))
}

/// The lexemes in the order of the text.
fn commented<'a>(text: &'a str, tokens: &[Token]) -> Vec<Lexeme<'a>> {
    let mut lexemes = Vec::new();
    let mut comments = Vec::new();
    let mut end = None;
    for token in tokens {
        let (start, stop) = (token.span.start as usize, token.span.end as usize);
        let newlines = newlines(text, end, start);
        let text = text[start..stop].trim_end();
        if token.is_comment {
            comments.push(Comment { text, newlines });
        } else {
            let comments = std::mem::take(&mut comments);
            lexemes.push(Lexeme {
                text,
                comments,
                newlines,
                is_silent: false,
                role: Role::Plain,
            });
        }
        end = Some(start + text.len());
    }
    let newlines = newlines(text, end, text.len());
    lexemes.push(Lexeme {
        text: "",
        comments,
        newlines,
        is_silent: false,
        role: Role::Plain,
    });
    lexemes
}

/// Sets the roles of `,` and `=`, and adds the `,` behind the last member of each enum.
fn with_roles(lexemes: Vec<Lexeme<'_>>) -> Vec<Lexeme<'_>> {
    let mut whole: Vec<Lexeme<'_>> = Vec::with_capacity(lexemes.len());
    let (mut is_in_enum, mut is_in_annotations, mut is_in_parameters) = (false, false, false);
    for mut lexeme in lexemes {
        let text = |back: usize| {
            whole
                .len()
                .checked_sub(back)
                .map_or("", |at| whole[at].text)
        };
        match lexeme.text {
            "{" => is_in_enum = text(2) == "enum" && matches!(text(3), "" | "{" | ";" | "]"),
            "}" if is_in_enum => {
                is_in_enum = false;
                if !matches!(text(1), "{" | ",") {
                    whole.push(Lexeme {
                        text: ",",
                        comments: Vec::new(),
                        newlines: 0,
                        is_silent: false,
                        role: Role::EndOfMember,
                    });
                }
            }
            "[" => is_in_annotations = true,
            "]" => is_in_annotations = false,
            "(" => is_in_parameters = true,
            ")" => is_in_parameters = false,
            "," if is_in_parameters => lexeme.role = Role::EndOfParameter,
            "," if is_in_enum && !is_in_annotations => lexeme.role = Role::EndOfMember,
            "=" if !is_in_annotations => lexeme.role = Role::Assignment,
            _ => {}
        }
        whole.push(lexeme);
    }
    whole
}

/// The number of line breaks between `end` and `start`, at most 2; 1 at the start of the file.
fn newlines(text: &str, end: Option<usize>, start: usize) -> usize {
    let Some(end) = end else { return 1 };
    let lines = lines_with_ends(&text[end..start]);
    let ends = lines.filter(|line| line.ends_with(['\n', '\r']));
    ends.take(2).count()
}

/// Adds a `;` after each import that has none.
fn with_semicolons(lexemes: Vec<Lexeme<'_>>) -> Vec<Lexeme<'_>> {
    let mut whole: Vec<Lexeme<'_>> = Vec::with_capacity(lexemes.len());
    for lexeme in lexemes {
        let is_imported = whole.len() > 1 && whole[whole.len() - 2].text == "import";
        if is_imported && lexeme.text != ";" {
            let comments = Vec::new();
            whole.push(Lexeme {
                text: ";",
                comments,
                newlines: 0,
                is_silent: false,
                role: Role::Plain,
            });
        }
        whole.push(lexeme);
    }
    whole
}

/// Marks the `;` of each import, unless a comment before it might change its
/// meaning without it.
fn silence_imports(lexemes: &mut [Lexeme<'_>]) {
    for at in 2..lexemes.len() {
        let is_of_import = lexemes[at].text == ";" && lexemes[at - 2].text == "import";
        lexemes[at].is_silent = is_of_import && lexemes[at].comments.is_empty();
    }
}

/// Moves a separator before a trailing comment: `a // text` and `, b` on the next
/// line become `a, // text` and `b`. The comment stays on the line of `a`, so
/// that it never becomes documentation of `b`.
fn separators_before_trailing_comments(lexemes: &mut [Lexeme<'_>]) {
    for at in 2..lexemes.len() {
        let (before, after) = lexemes.split_at_mut(at);
        let [.., previous, lexeme] = before else {
            continue;
        };
        // A comment before a redundant `;` may be documentation.
        let is_end =
            matches!(lexeme.text, "," | ";") && !matches!(previous.text, "{" | "}" | ";" | "]");
        let may_precede_docs = lexeme.text == ";" || lexeme.role != Role::Plain;
        let is_followed = begins_with_trailing_comment(&after[0])
            || may_precede_docs && has_doc_behind(&after[0]);
        if is_end && has_one_line_comment(lexeme) && !is_followed {
            move_comment(lexeme, &mut after[0]);
        }
    }
}

fn has_one_line_comment(lexeme: &Lexeme<'_>) -> bool {
    let lines = lexeme.comments.iter().filter(|comment| comment.is_line());
    lines.count() == 1 && lexeme.comments.last().is_some_and(Comment::is_line)
}

/// Whether a comment on the line of the previous lexeme extends to the end of the line.
fn begins_with_trailing_comment(lexeme: &Lexeme<'_>) -> bool {
    let behind = lexeme.comments.iter().take_while(|it| it.newlines == 0);
    behind.into_iter().any(Comment::is_line)
}

/// Whether a `/** … */` is at the end of the line of the previous lexeme. It
/// documents nothing there, and would on a line of its own.
pub(super) fn has_doc_behind(lexeme: &Lexeme<'_>) -> bool {
    let behind = &lexeme.comments[..lexeme.trailing()];
    behind.iter().any(Comment::is_doc_block)
}

/// Moves the last comment before `lexeme` behind it, to the end of its line.
fn move_comment<'a>(lexeme: &mut Lexeme<'a>, next: &mut Lexeme<'a>) {
    if let Some(comment) = lexeme.comments.pop() {
        let newlines = next.first_newlines();
        *newlines = (*newlines).max(1);
        next.comments.insert(
            0,
            Comment {
                newlines: 0,
                ..comment
            },
        );
        lexeme.newlines = 0;
    }
}

/// Removes the `,` behind the last parameter of an operation. No comment there is
/// documentation, so that each can move behind the parameter.
fn without_trailing_commas(lexemes: Vec<Lexeme<'_>>) -> Vec<Lexeme<'_>> {
    let mut kept: Vec<Lexeme<'_>> = Vec::with_capacity(lexemes.len());
    let mut lexemes = lexemes.into_iter().peekable();
    while let Some(lexeme) = lexemes.next() {
        match lexemes.peek_mut() {
            Some(next) if lexeme.text == "," && next.text == ")" => give_comments(lexeme, next),
            _ => kept.push(lexeme),
        }
    }
    kept
}

/// Puts the comments before `lexeme`, which is removed, before `next`.
fn give_comments<'a>(mut lexeme: Lexeme<'a>, next: &mut Lexeme<'a>) {
    let newlines = next.first_newlines();
    *newlines = (*newlines).max(lexeme.newlines);
    lexeme.comments.append(&mut next.comments);
    next.comments = lexeme.comments;
}

/// Removes redundant `;`.
fn without_redundant_semicolons(lexemes: Vec<Lexeme<'_>>) -> Vec<Lexeme<'_>> {
    let mut kept: Vec<Lexeme<'_>> = Vec::with_capacity(lexemes.len());
    let mut depth = 0_usize;
    let mut lexemes = lexemes.into_iter().peekable();
    while let Some(mut lexeme) = lexemes.next() {
        match lexeme.text {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let before = kept.last().map_or("", |last| last.text);
        match lexemes.peek_mut() {
            Some(next)
                if is_redundant(before, &lexeme, depth)
                    && can_be_removed(before, &lexeme, next) =>
            {
                docs_to_own_lines(&mut lexeme);
                give_comments(lexeme, next);
            }
            _ => kept.push(lexeme),
        }
    }
    kept
}

/// Puts each `/** … */` on the line of a redundant `;` on a line of its own: it
/// documents what follows the `;`.
fn docs_to_own_lines(semicolon: &mut Lexeme<'_>) {
    let mut newlines = semicolon.newlines;
    for comment in semicolon.comments.iter_mut().rev() {
        if newlines > 0 || comment.is_line() {
            return;
        }
        newlines = comment.newlines;
        if comment.is_doc_block() {
            comment.newlines = newlines.max(1);
        }
    }
}

/// Whether a lexeme after `before` is a `;` that the language does not require.
pub(super) fn is_redundant(before: &str, lexeme: &Lexeme<'_>, depth: usize) -> bool {
    lexeme.text == ";" && (matches!(before, "{" | ";" | "]") || before == "}" && depth == 0)
}

/// Whether a redundant `;` can be removed. It stays if, without it, a comment
/// around it would be on a line of its own or follow a module directly, and so
/// could become documentation of the next declaration.
fn can_be_removed(before: &str, semicolon: &Lexeme<'_>, next: &Lexeme<'_>) -> bool {
    let is_bare = semicolon.comments.is_empty();
    let is_behind = is_bare && semicolon.newlines == 0;
    let is_followed = begins_with_trailing_comment(next) || has_doc_behind(next);
    is_behind || !is_followed && (is_bare || before != "}")
}
