//! Source text from tokens: where lines start and end, and where spaces stand.
//!
//! A `;`, a `,` or a brace ends a line, unless parentheses or angle brackets enclose it.
//! [`layout`](super::layout) breaks the lines that are too long.

use proc_macro2::{Delimiter, Group, Punct, Spacing, TokenStream, TokenTree};

use super::layout::{push_line, push_open_call};

/// Words before which a path starts anew, and that no parenthesis calls.
const KEYWORDS: &[&str] = &["as", "for", "impl", "in", "match", "mut", "use"];

/// Writes items, one after the other.
pub(super) struct Printer {
    out: String,
    /// The line that is being written, without its indentation.
    line: String,
    level: usize,
    /// How many `(` or `[` of the line are open.
    open: usize,
    /// How many `<` of the line are open.
    angles: usize,
    /// Whether a space stands before the next word.
    spaces: bool,
    /// Whether the last token is a path or value, which `::` and `(` continue.
    continues: bool,
    /// Whether the next `|` ends the parameters of a closure.
    in_closure: bool,
    /// Whether the last block is an argument on a line of its own.
    is_own_argument: bool,
}

impl Printer {
    /// Prints items after a text that starts the file.
    pub(super) fn new(header: String) -> Self {
        Self {
            out: header,
            line: String::new(),
            level: 0,
            open: 0,
            angles: 0,
            spaces: false,
            continues: false,
            in_closure: false,
            is_own_argument: false,
        }
    }

    /// Writes items, each after a blank line.
    pub(super) fn items(&mut self, items: TokenStream) {
        let mut tokens = items.into_iter().peekable();
        while tokens.peek().is_some() {
            self.out.push('\n');
            self.statement(&mut tokens);
        }
    }

    /// All of the source text.
    pub(super) fn finish(self) -> String {
        self.out
    }

    /// The content of braces; blank lines separate the members of an impl or trait,
    /// except for constants.
    fn block(&mut self, content: TokenStream, has_members: bool) {
        let mut is_first = true;
        let mut tokens = content.into_iter().peekable();
        while tokens.peek().is_some() {
            let visibility = tokens.next_if(|token| is_word(token, "pub"));
            let is_constant = tokens.peek().is_some_and(|next| is_word(next, "const"));
            if has_members && !is_first && !is_constant {
                self.out.push('\n');
            }
            is_first = false;
            if let Some(visibility) = visibility {
                self.token(visibility, &mut tokens);
            }
            self.statement(&mut tokens);
        }
    }

    /// An item, statement, field or match arm, with its attributes.
    fn statement(&mut self, tokens: &mut Tokens) {
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(hash) if hash.as_char() == '#' && self.line.is_empty() => {
                    self.attribute(tokens.next());
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    self.braces(group);
                    let is_continued = matches!(
                        tokens.peek(),
                        Some(TokenTree::Punct(next)) if matches!(next.as_char(), ',' | ';')
                    );
                    if !is_continued {
                        break;
                    }
                }
                TokenTree::Punct(end)
                    if end.as_char() == ';' || end.as_char() == ',' && self.angles == 0 =>
                {
                    self.line.push(end.as_char());
                    break;
                }
                token => self.token(token, tokens),
            }
        }
        self.end_line();
    }

    fn end_line(&mut self) {
        push_line(&mut self.out, self.level, &self.line);
        self.start_line();
    }

    fn start_line(&mut self) {
        self.line.clear();
        (self.spaces, self.continues, self.angles) = (false, false, 0);
    }

    /// `#[attribute]` on a line of its own, and documentation as a comment.
    fn attribute(&mut self, attribute: Option<TokenTree>) {
        let Some(TokenTree::Group(attribute)) = attribute else {
            return;
        };
        self.out.extend(std::iter::repeat_n("    ", self.level));
        let stream = attribute.stream();
        drop(attribute);
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        if let Some(text) = documentation(&tokens) {
            self.out.extend(["///", &text, "\n"]);
            return;
        }
        self.line.push('#');
        self.group(
            Group::new(Delimiter::Bracket, tokens.into_iter().collect()),
            '[',
            ']',
        );
        self.out.extend([&self.line, "\n"]);
        self.start_line();
    }

    fn token(&mut self, token: TokenTree, next: &mut Tokens) {
        match token {
            TokenTree::Ident(word) => {
                self.space();
                let start = self.line.len();
                self.display(&word);
                self.continues = !KEYWORDS.contains(&&self.line[start..]);
                self.spaces = true;
            }
            TokenTree::Literal(literal) => {
                self.space();
                self.display(&literal);
                (self.spaces, self.continues) = (true, true);
            }
            TokenTree::Punct(punct) => self.punct(&punct, next),
            TokenTree::Group(group) => match group.delimiter() {
                Delimiter::Parenthesis => self.group(group, '(', ')'),
                Delimiter::Bracket => self.group(group, '[', ']'),
                Delimiter::Brace => self.braces(group),
                Delimiter::None => self.tokens(group),
            },
        }
    }

    fn punct(&mut self, punct: &Punct, next: &mut Tokens) {
        let sign = punct.as_char();
        let follows = |next: &mut Tokens, sign| {
            let is_joint = punct.spacing() == Spacing::Joint;
            is_joint
                && next
                    .next_if(|it| matches!(it, TokenTree::Punct(it) if it.as_char() == sign))
                    .is_some()
        };
        let (before, text, after) = match sign {
            ':' if follows(next, ':') => (!self.continues, "::", false),
            '-' if follows(next, '>') => (true, "->", true),
            '=' if follows(next, '>') => (true, "=>", true),
            '<' => (false, "<", false),
            '>' => (false, ">", true),
            ':' => (false, ":", true),
            ',' => (false, ",", true),
            ';' => (false, ";", true),
            '?' => (false, "?", true),
            '.' => (false, ".", false),
            // Of a negative number: no generated code subtracts.
            '-' => (true, "-", false),
            '&' => (true, "&", false),
            '\'' => (true, "'", false),
            '|' if self.in_closure => (false, "|", true),
            '|' => (true, "|", false),
            '+' => (true, "+", true),
            _ => (true, "", true),
        };
        match sign {
            '<' => self.angles += 1,
            '>' if text == ">" => self.angles = self.angles.saturating_sub(1),
            '|' => self.in_closure = !self.in_closure,
            _ => {}
        }
        if before {
            self.space();
        }
        match text {
            "" => self.line.push(sign),
            text => self.line.push_str(text),
        }
        // A sign that belongs to the next one stays with it.
        self.spaces = after && (matches!(text, "->" | "=>") || punct.spacing() == Spacing::Alone);
        self.continues = matches!(text, ">" | "?" | "::");
    }

    /// A list in parentheses or brackets.
    fn group(&mut self, group: Group, open: char, close: char) {
        if !self.continues {
            self.space();
        }
        self.line.push(open);
        (self.spaces, self.continues) = (false, false);
        self.open += 1;
        let angles = std::mem::take(&mut self.angles);
        self.tokens(group);
        self.angles = angles;
        self.open -= 1;
        if std::mem::take(&mut self.is_own_argument) {
            self.line.push(',');
            self.level += 1;
            self.end_line();
            self.level -= 1;
        }
        self.line.push(close);
        (self.spaces, self.continues) = (true, true);
    }

    /// The tokens of a group, on the present line.
    fn tokens(&mut self, group: Group) {
        // Tokens that something else holds are copied by `into_iter`.
        let stream = group.stream();
        drop(group);
        let mut tokens = stream.into_iter().peekable();
        while let Some(token) = tokens.next() {
            self.token(token, &mut tokens);
        }
    }

    /// A block, which ends the present line and starts one with its `}`.
    fn braces(&mut self, group: Group) {
        let stream = group.stream();
        drop(group);
        self.space();
        if stream.is_empty() {
            self.line.push_str("{}");
            return;
        }
        self.line.push('{');
        let has_members = self.line.starts_with("impl") || self.line.starts_with("pub trait");
        let open = std::mem::take(&mut self.open);
        let is_own_argument = if open > 0 {
            let is_own_argument = push_open_call(&mut self.out, self.level, &self.line);
            self.start_line();
            is_own_argument
        } else {
            self.end_line();
            false
        };
        let level = self.level;
        self.level += 1 + usize::from(is_own_argument);
        self.block(stream, has_members);
        (self.level, self.open) = (level, open);
        self.is_own_argument = is_own_argument;
        self.line.push('}');
        (self.spaces, self.continues) = (true, true);
    }

    fn space(&mut self) {
        if self.spaces {
            self.line.push(' ');
        }
    }

    fn display(&mut self, token: &impl std::fmt::Display) {
        use std::fmt::Write;
        // Writing to a `String` never fails.
        let _ = write!(self.line, "{token}");
    }
}

fn is_word(token: &TokenTree, text: &str) -> bool {
    matches!(token, TokenTree::Ident(word) if word == text)
}

type Tokens = std::iter::Peekable<proc_macro2::token_stream::IntoIter>;

/// The text of `doc = "…"` if a comment can hold it.
fn documentation(attribute: &[TokenTree]) -> Option<String> {
    let [TokenTree::Ident(name), _, TokenTree::Literal(text)] = attribute else {
        return None;
    };
    let syn::Lit::Str(text) = syn::Lit::new(text.clone()) else {
        return None;
    };
    let text = text.value();
    // A third slash would make it an ordinary comment.
    let is_comment = text.is_empty() || text.starts_with(' ');
    (name == "doc" && is_comment && !text.contains(['\n', '\r'])).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(code: &str) -> String {
        let mut printer = Printer::new(String::new());
        printer.items(code.parse().unwrap());
        printer.finish()
    }

    /// Attributes of users may hold any token.
    #[test]
    fn attributes_keep_their_tokens() {
        for attribute in [
            "#[derive(serde::Serialize, ::other::Derive)]",
            "#[serde(rename = \"a b\", default = \"x::y\")]",
            "#[cfg_attr(all(unix, not(test)), doc(alias = \"x\"))]",
            "#[a(b >= 1, c <= -2, d == 3.5 && e | f || g, h..=i, 'j', &'static k, m += n)]",
            "#[a(Vec<Vec<u8>>, fn(u8) -> u8, x => y, ((z,),), *p, $q, r#\"s\"#,)]",
            "#[a { b, c; d }]",
            "#[doc = \"/ no comment\"]",
            "#[doc = r\"two\nlines\"]",
        ] {
            let code = format!("{attribute} pub struct A {{ {attribute} pub b: u8, }}");
            let tokens: TokenStream = code.parse().unwrap();
            let again: TokenStream = printed(&code).parse().unwrap();
            assert_eq!(again.to_string(), tokens.to_string());
        }
    }

    #[test]
    fn documentation_becomes_comments() {
        let code =
            "#[doc = \" A \\\"b\\\".\"] #[doc = \"\"] pub struct A { #[doc = \" c\"] pub d: u8, }";
        let expected = "\n/// A \"b\".\n///\npub struct A {\n    /// c\n    pub d: u8,\n}\n";
        assert_eq!(printed(code), expected);
    }
}
