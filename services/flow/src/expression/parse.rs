//! Recursive descent over the bytes of an expression, bounded in length and depth.

use std::fmt;

use crate::state::State;

use super::{
    AttributeReference, Comparison, Condition, FlagCondition, NodeCondition, Operator, PathIndex,
    Term,
};

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;

/// The deepest nesting of parentheses and `not`.
pub const MAX_DEPTH: usize = 100;

/// The most different nodes in an expression: they are looked up one by one.
const MAX_PATHS: usize = 1000;

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where in the text, in bytes.
    pub at: usize,
    /// What is wrong, in one sentence.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.message, self.at)
    }
}

impl std::error::Error for SyntaxError {}

type Result<T> = std::result::Result<T, SyntaxError>;

pub(super) fn parse(text: &str) -> Result<(Condition, Vec<Box<str>>)> {
    if text.len() > MAX_LENGTH {
        return Err(SyntaxError {
            at: 0,
            message: format!("the expression has more than {MAX_LENGTH} bytes"),
        });
    }
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        paths: Vec::new(),
    };
    let condition = parser.disjunction()?;
    parser.skip_blanks();
    if parser.at < text.len() {
        return Err(parser.error("expected `and`, `or` or the end of the expression"));
    }
    Ok((condition, parser.paths))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    paths: Vec<Box<str>>,
}

impl<'a> Parser<'a> {
    fn disjunction(&mut self) -> Result<Condition> {
        let mut parts = vec![self.conjunction()?];
        while self.eat_word("or") || self.eat("||") {
            parts.push(self.conjunction()?);
        }
        Ok(one_or(parts, Condition::Or))
    }

    fn conjunction(&mut self) -> Result<Condition> {
        let mut parts = vec![self.unary()?];
        while self.eat_word("and") || self.eat("&&") {
            parts.push(self.unary()?);
        }
        Ok(one_or(parts, Condition::And))
    }

    /// `not` applies to a comparison or to what is in parentheses, never to another `not`.
    fn unary(&mut self) -> Result<Condition> {
        if self.eat_word("not") || self.eat("!") || self.eat("~") {
            return Ok(Condition::Not(Box::new(self.primary()?)));
        }
        self.primary()
    }

    /// A comparison; failing that, an expression in parentheses. Numbers may be in parentheses
    /// too, so a comparison is tried first: it reads no conditions, so that nothing is read more
    /// often than there are parentheses around it.
    fn primary(&mut self) -> Result<Condition> {
        let (start, paths, depth) = (self.at, self.paths.len(), self.depth);
        let comparison = match self.comparison() {
            Ok(condition) => return Ok(condition),
            Err(error) => error,
        };
        self.at = start;
        self.paths.truncate(paths);
        self.depth = depth;
        if !self.eat("(") {
            return Err(comparison);
        }
        let condition = self.nested(Self::disjunction)?;
        self.close()?;
        Ok(condition)
    }

    fn comparison(&mut self) -> Result<Condition> {
        if let Some(condition) = self.node_condition()? {
            return Ok(condition);
        }
        if let Some(condition) = self.event_condition()? {
            return Ok(condition);
        }
        let left = self.sum()?;
        Ok(match self.comparison_operator() {
            Some(operator) => Condition::Compare {
                left,
                operator,
                right: self.sum()?,
            },
            None => Condition::NonZero(left),
        })
    }

    /// `path == state` and `path<flag>late`; `None`, with nothing read, for anything else.
    fn node_condition(&mut self) -> Result<Option<Condition>> {
        let start = self.at;
        let Some(path) = self.path() else {
            return Ok(None);
        };
        if self.eat("<flag>") {
            let flag = match self.word().to_ascii_lowercase().as_str() {
                "late" => FlagCondition::Late,
                "zombie" => FlagCondition::Zombie,
                _ => return Err(self.error("expected `late` or `zombie` after `<flag>`")),
            };
            let path = self.intern(path)?;
            return Ok(Some(Condition::Flag { path, flag }));
        }
        if let Some(equal) = self.equality() {
            let name = self.word().to_ascii_lowercase();
            let state = match State::from_name(&name) {
                Some(state) => Some(NodeCondition::State(state)),
                None if name == "suspended" => Some(NodeCondition::Suspended),
                None => None,
            };
            if let Some(state) = state.filter(|_| !self.continues_name()) {
                let path = self.intern(path)?;
                return Ok(Some(Condition::State { path, equal, state }));
            }
        }
        self.at = start;
        Ok(None)
    }

    /// `path:NAME == set`; `None`, with nothing read, for anything else.
    fn event_condition(&mut self) -> Result<Option<Condition>> {
        let (start, paths) = (self.at, self.paths.len());
        if let Some(event) = self.attribute()?
            && let Some(equal) = self.equality()
        {
            let set = match self.word().to_ascii_lowercase().as_str() {
                "set" => Some(true),
                "clear" | "unset" => Some(false),
                _ => None,
            };
            if let Some(set) = set.filter(|_| !self.continues_name()) {
                return Ok(Some(Condition::Event { event, equal, set }));
            }
        }
        self.at = start;
        self.paths.truncate(paths);
        Ok(None)
    }

    fn sum(&mut self) -> Result<Term> {
        let first = self.product()?;
        let mut rest = Vec::new();
        loop {
            let operator = match () {
                () if self.eat("+") => Operator::Add,
                () if self.eat("-") => Operator::Subtract,
                () => return Ok(chain(first, rest)),
            };
            rest.push((operator, self.product()?));
        }
    }

    fn product(&mut self) -> Result<Term> {
        let first = self.factor()?;
        let mut rest = Vec::new();
        loop {
            let operator = match () {
                () if self.eat("*") => Operator::Multiply,
                () if self.eat("/") => Operator::Divide,
                () if self.eat("%") => Operator::Remainder,
                () => return Ok(chain(first, rest)),
            };
            rest.push((operator, self.factor()?));
        }
    }

    fn factor(&mut self) -> Result<Term> {
        for (name, function) in [
            ("cal::date_to_julian", Term::DateToJulian as fn(_) -> _),
            ("cal::julian_to_date", Term::JulianToDate as fn(_) -> _),
        ] {
            if self.eat(name) {
                if !self.eat("(") {
                    return Err(self.error("expected `(`"));
                }
                let argument = match self.attribute()? {
                    Some(attribute) => Term::Attribute(attribute),
                    None => self.integer()?,
                };
                self.close()?;
                return Ok(function(Box::new(argument)));
            }
        }
        if self.eat("(") {
            let term = self.nested(Self::sum)?;
            self.close()?;
            return Ok(term);
        }
        match self.attribute()? {
            Some(attribute) => Ok(Term::Attribute(attribute)),
            None => self.integer(),
        }
    }

    /// `path:NAME` or `:NAME`; `None`, with nothing read, for anything else.
    fn attribute(&mut self) -> Result<Option<AttributeReference>> {
        let start = self.at;
        self.skip_blanks();
        // No blanks before the colon: in `not :NAME` no node `not` is meant.
        let path = self.path();
        if self.rest().starts_with(':') && !self.rest().starts_with("::") {
            self.at += 1;
            let name = self.name();
            if !name.is_empty() {
                let name = name.into();
                let path = path.map(|path| self.intern(path)).transpose()?;
                return Ok(Some(AttributeReference { path, name }));
            }
        }
        self.at = start;
        Ok(None)
    }

    fn integer(&mut self) -> Result<Term> {
        self.skip_blanks();
        let start = self.at;
        let sign = usize::from(self.rest().starts_with('-'));
        let digits = self.rest()[sign..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        if digits == 0 {
            let message = match self.path() {
                Some(path) => format!(
                    "`{path}` alone is neither true nor false: compare it with a state, \
                     or name an event, meter, repeat or variable as `{path}:NAME`"
                ),
                None => "expected a node, a number, `:NAME` or `(`".to_owned(),
            };
            self.at = start;
            return Err(self.error(&message));
        }
        let text = &self.rest()[..sign + digits];
        // ecFlow's integers have 32 bits.
        let Ok(number) = text.parse::<i32>() else {
            return Err(self.error(&format!("`{text}` is not an integer of 32 bits")));
        };
        self.at += text.len();
        if self.continues_name() {
            self.at = start;
            return Err(self.error("expected `==` or `!=` and a state after the name of a node"));
        }
        Ok(Term::Integer(i64::from(number)))
    }

    /// A path of a node, without checking what follows; `None`, with nothing read, if there is
    /// none.
    fn path(&mut self) -> Option<&'a str> {
        self.skip_blanks();
        let start = self.at;
        let rest = self.rest();
        if rest.starts_with("./") || rest.starts_with('/') {
            self.at += usize::from(rest.starts_with('.')) + 1;
        } else {
            while self.rest().starts_with("../") {
                self.at += 3;
            }
        }
        loop {
            if self.name().is_empty() {
                self.at = start;
                return None;
            }
            if !self.rest().starts_with('/') {
                return Some(&self.text[start..self.at]);
            }
            self.at += 1;
        }
    }

    /// The name of a node or an attribute; empty if there is none.
    fn name(&mut self) -> &'a str {
        let rest = self.rest();
        let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let length = if rest.starts_with('.') {
            0
        } else {
            rest.bytes().take_while(is_in_name).count()
        };
        self.at += length;
        &rest[..length]
    }

    fn equality(&mut self) -> Option<bool> {
        match () {
            () if self.eat("==") || self.eat_word("eq") => Some(true),
            () if self.eat("!=") || self.eat_word("ne") => Some(false),
            () => None,
        }
    }

    fn comparison_operator(&mut self) -> Option<Comparison> {
        match self.equality() {
            Some(true) => return Some(Comparison::Equal),
            Some(false) => return Some(Comparison::NotEqual),
            None => {}
        }
        for (symbol, word, comparison) in [
            ("<=", "le", Comparison::LessOrEqual),
            (">=", "ge", Comparison::GreaterOrEqual),
            ("<", "lt", Comparison::Less),
            (">", "gt", Comparison::Greater),
        ] {
            if self.eat(symbol) || self.eat_word(word) {
                return Some(comparison);
            }
        }
        None
    }

    fn intern(&mut self, path: &str) -> Result<PathIndex> {
        if self.paths.len() == MAX_PATHS {
            return Err(self.error(&format!("more than {MAX_PATHS} different nodes")));
        }
        let index = match self.paths.iter().position(|known| &**known == path) {
            Some(index) => index,
            None => {
                self.paths.push(path.into());
                self.paths.len() - 1
            }
        };
        PathIndex::try_from(index).map_err(|_| self.error("too many nodes"))
    }

    fn nested<T>(&mut self, read: fn(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(&format!("more than {MAX_DEPTH} nested parentheses")));
        }
        self.depth += 1;
        let result = read(self)?;
        self.depth -= 1;
        Ok(result)
    }

    fn close(&mut self) -> Result<()> {
        if self.eat(")") {
            return Ok(());
        }
        Err(self.error("expected `)`"))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
    }

    fn eat(&mut self, symbol: &str) -> bool {
        self.skip_blanks();
        let is_next = self.rest().starts_with(symbol);
        self.at += if is_next { symbol.len() } else { 0 };
        is_next
    }

    /// Reads a keyword, in any case, that is not the beginning of a longer name.
    fn eat_word(&mut self, keyword: &str) -> bool {
        self.skip_blanks();
        let start = self.at;
        if self.word().eq_ignore_ascii_case(keyword) && !self.continues_name() {
            return true;
        }
        self.at = start;
        false
    }

    fn word(&mut self) -> &'a str {
        self.skip_blanks();
        let rest = self.rest();
        let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        self.at += length;
        &rest[..length]
    }

    fn continues_name(&self) -> bool {
        let next = self.rest().bytes().next();
        next.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':'))
    }

    fn error(&self, message: &str) -> SyntaxError {
        SyntaxError {
            at: self.at,
            message: message.to_owned(),
        }
    }
}

fn one_or(mut parts: Vec<Condition>, all: fn(Box<[Condition]>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            all(parts.into())
        }
        None => all(parts.into()),
    }
}

fn chain(first: Term, rest: Vec<(Operator, Term)>) -> Term {
    if rest.is_empty() {
        first
    } else {
        Term::Chain(Box::new(first), rest.into())
    }
}
