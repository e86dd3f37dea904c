//! What a file is made of: words and signs, each with the comments before it.

use crate::syntax::Token;

/// A word or a sign.
#[derive(Debug, Clone)]
pub(super) struct Piece<'a> {
    /// Empty for the end of the file.
    pub(super) text: &'a str,
    /// What stands between the piece before and this one.
    pub(super) comments: Vec<Comment<'a>>,
    /// How many lines end right before it, two for more.
    pub(super) newlines: usize,
}

impl Piece<'_> {
    /// How many lines end before the first comment, or before the piece itself.
    fn first_newlines(&mut self) -> &mut usize {
        let first = self.comments.first_mut();
        first.map_or(&mut self.newlines, |comment| &mut comment.newlines)
    }
}

/// A comment, without space at its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comment<'a> {
    pub(super) text: &'a str,
    /// How many lines end right before it, two for more.
    pub(super) newlines: usize,
}

impl Comment<'_> {
    /// Whether it goes to the end of its line.
    pub(super) fn is_line(&self) -> bool {
        !self.text.starts_with("/*")
    }

    /// Whether it is a `/** … */`.
    pub(super) fn is_doc_block(&self) -> bool {
        self.text.starts_with("/**") && self.text != "/**/" && !self.text.starts_with("/***")
    }
}

/// The pieces of a text in their canonical order: an `import` with its `;`,
/// and no `;` that ends nothing. The last piece is the end of the file.
pub(super) fn pieces<'a>(text: &'a str, tokens: &[Token]) -> Vec<Piece<'a>> {
    let mut pieces = with_semicolons(commented(text, tokens));
    commas_before_remarks(&mut pieces);
    without_idle_semicolons(pieces)
}

/// The pieces as they stand in the text.
fn commented<'a>(text: &'a str, tokens: &[Token]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
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
            pieces.push(Piece {
                text,
                comments,
                newlines,
            });
        }
        end = Some(start + text.len());
    }
    let newlines = newlines(text, end, text.len());
    pieces.push(Piece {
        text: "",
        comments,
        newlines,
    });
    pieces
}

/// How many lines end before `start`; the first thing of a file stands on a line of its own.
fn newlines(text: &str, end: Option<usize>, start: usize) -> usize {
    let Some(end) = end else { return 1 };
    text[end..start].matches('\n').count().min(2)
}

/// Adds the `;` that an import may lack.
fn with_semicolons(pieces: Vec<Piece<'_>>) -> Vec<Piece<'_>> {
    let mut whole: Vec<Piece<'_>> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let is_imported = whole.len() > 1 && whole[whole.len() - 2].text == "import";
        if is_imported && piece.text != ";" {
            let comments = Vec::new();
            whole.push(Piece {
                text: ";",
                comments,
                newlines: 0,
            });
        }
        whole.push(piece);
    }
    whole
}

/// `a // remark` and `, b` on the next line become `a, // remark` and `b`.
/// The remark stays on the line of `a`, so it never becomes documentation.
fn commas_before_remarks(pieces: &mut [Piece<'_>]) {
    for at in 2..pieces.len() {
        let (before, after) = pieces.split_at_mut(at);
        let [.., previous, piece] = before else {
            continue;
        };
        // What stands before a `;` that ends nothing may be documentation.
        let is_end =
            matches!(piece.text, "," | ";") && !matches!(previous.text, "{" | "}" | ";" | "]");
        if is_end && has_one_remark(piece) && !begins_with_remark(&after[0]) {
            move_remark(piece, &mut after[0]);
        }
    }
}

fn has_one_remark(piece: &Piece<'_>) -> bool {
    let lines = piece.comments.iter().filter(|comment| comment.is_line());
    lines.count() == 1 && piece.comments.last().is_some_and(Comment::is_line)
}

/// Whether a comment on the line of the piece before goes to the end of the line.
fn begins_with_remark(piece: &Piece<'_>) -> bool {
    let behind = piece.comments.iter().take_while(|it| it.newlines == 0);
    behind.into_iter().any(Comment::is_line)
}

/// Moves the last comment before `piece` to the end of the line of `piece`.
fn move_remark<'a>(piece: &mut Piece<'a>, next: &mut Piece<'a>) {
    if let Some(remark) = piece.comments.pop() {
        let newlines = next.first_newlines();
        *newlines = (*newlines).max(1);
        next.comments.insert(
            0,
            Comment {
                newlines: 0,
                ..remark
            },
        );
        piece.newlines = 0;
    }
}

/// Leaves out each `;` that ends nothing.
fn without_idle_semicolons(pieces: Vec<Piece<'_>>) -> Vec<Piece<'_>> {
    let mut kept: Vec<Piece<'_>> = Vec::with_capacity(pieces.len());
    let mut depth = 0_usize;
    let mut pieces = pieces.into_iter().peekable();
    while let Some(mut piece) = pieces.next() {
        match piece.text {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let before = kept.last().map_or("", |last| last.text);
        match pieces.peek_mut() {
            Some(next) if is_idle(before, &piece, depth) && can_go(before, &piece, next) => {
                let newlines = next.first_newlines();
                *newlines = (*newlines).max(piece.newlines);
                piece.comments.append(&mut next.comments);
                next.comments = piece.comments;
            }
            _ => kept.push(piece),
        }
    }
    kept
}

/// Whether a piece after `before` is a `;` that the language does not ask for.
pub(super) fn is_idle(before: &str, piece: &Piece<'_>, depth: usize) -> bool {
    piece.text == ";" && (matches!(before, "{" | ";" | "]") || before == "}" && depth == 0)
}

/// A comment may hold a `;` that ends nothing: a remark that were alone on its
/// line, or was between a module and its `;`, could become documentation.
fn can_go(before: &str, semicolon: &Piece<'_>, next: &Piece<'_>) -> bool {
    let is_bare = semicolon.comments.is_empty();
    let is_behind = is_bare && semicolon.newlines == 0;
    is_behind || !begins_with_remark(next) && (is_bare || before != "}")
}
