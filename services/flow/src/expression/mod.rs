//! Expressions of `trigger` and `complete`: text to a tree of conditions, its value, and back.
//!
//! A [`Condition`] names nodes by an index into [`Expression::paths`], so that whoever holds the
//! expression resolves each path once, and finds out which nodes it depends on.

mod parse;
mod evaluate;
mod render;

pub use evaluate::{DivisionByZero, Environment, Value};
pub use parse::{MAX_DEPTH, MAX_LENGTH, SyntaxError};

use std::fmt;

use serde::{Deserialize, Serialize};

/// A parsed expression. Two are equal if their texts are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct Expression {
    text: Box<str>,
    condition: Condition,
    paths: Box<[Box<str>]>,
}

impl Expression {
    /// Parses a text of up to [`MAX_LENGTH`] bytes and [`MAX_DEPTH`] parentheses.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] with the position of the first part that can't be understood.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let (condition, paths) = parse::parse(text)?;
        Ok(Self {
            text: text.trim().into(),
            condition,
            paths: paths.into(),
        })
    }

    /// The text as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The outermost condition.
    #[must_use]
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The paths of nodes that occur, each once, as they were written.
    #[must_use]
    pub fn paths(&self) -> &[Box<str>] {
        &self.paths
    }

    /// The value in an environment.
    ///
    /// # Errors
    ///
    /// [`DivisionByZero`], which counts as false.
    pub fn evaluate(&self, environment: &impl Environment) -> Result<bool, DivisionByZero> {
        self.condition.evaluate(environment)
    }

    /// This expression and another part.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if both together exceed a limit.
    pub fn joined(&self, word: &str, other: &Self) -> Result<Self, SyntaxError> {
        Self::parse(&format!("({}) {word} ({})", self.text, other.text))
    }

    /// All attributes of nodes that occur: the path's index, `None` for `:NAME`, and the name.
    #[must_use]
    pub fn attributes(&self) -> Vec<&AttributeReference> {
        let mut found = Vec::new();
        self.condition.collect_attributes(&mut found);
        found
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<Box<str>> for Expression {
    type Error = SyntaxError;

    fn try_from(text: Box<str>) -> Result<Self, SyntaxError> {
        Self::parse(&text)
    }
}

impl From<Expression> for Box<str> {
    fn from(expression: Expression) -> Self {
        expression.text
    }
}

/// An index into [`Expression::paths`]. A text of [`MAX_LENGTH`] bytes has fewer paths.
pub type PathIndex = u16;

/// Something that is true or false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// True if any part is.
    Or(Box<[Condition]>),
    /// True if all parts are.
    And(Box<[Condition]>),
    /// True if the part is false.
    Not(Box<Condition>),
    /// `path == state`.
    State {
        /// The node.
        path: PathIndex,
        /// Whether the node has to be in the state, or not to be.
        equal: bool,
        /// The state.
        state: NodeCondition,
    },
    /// `path<flag>late`.
    Flag {
        /// The node.
        path: PathIndex,
        /// The flag.
        flag: FlagCondition,
    },
    /// `path:NAME == set`.
    Event {
        /// The event.
        event: AttributeReference,
        /// Whether both sides have to be equal.
        equal: bool,
        /// Whether it is compared with `set`.
        set: bool,
    },
    /// `sum < sum`.
    Compare {
        /// The left side.
        left: Term,
        /// What is compared.
        operator: Comparison,
        /// The right side.
        right: Term,
    },
    /// A number alone: true if it is not 0.
    NonZero(Term),
}

/// A number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// A constant.
    Integer(i64),
    /// The value of an attribute.
    Attribute(AttributeReference),
    /// Operators of one precedence, applied from left to right.
    Chain(Box<Term>, Box<[(Operator, Term)]>),
    /// `cal::date_to_julian(…)`.
    DateToJulian(Box<Term>),
    /// `cal::julian_to_date(…)`.
    JulianToDate(Box<Term>),
}

/// An event, meter, repeat or variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeReference {
    /// The node that has it; `None`: looked up from the expression's own node upwards.
    pub path: Option<PathIndex>,
    /// Its name.
    pub name: Box<str>,
}

/// What a node can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeCondition {
    /// A state; a suspended node is in none of them.
    State(crate::state::State),
    /// Suspended.
    Suspended,
}

/// A flag that expressions can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagCondition {
    /// A `late` attribute has found the node late.
    Late,
    /// A zombie of the task is known.
    Zombie,
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// An operator between two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

impl Condition {
    fn collect_attributes<'a>(&'a self, found: &mut Vec<&'a AttributeReference>) {
        match self {
            Self::Or(parts) | Self::And(parts) => {
                for part in parts {
                    part.collect_attributes(found);
                }
            }
            Self::Not(part) => part.collect_attributes(found),
            Self::State { .. } | Self::Flag { .. } => {}
            Self::Event { event, .. } => found.push(event),
            Self::Compare { left, right, .. } => {
                left.collect_attributes(found);
                right.collect_attributes(found);
            }
            Self::NonZero(term) => term.collect_attributes(found),
        }
    }
}

impl Term {
    fn collect_attributes<'a>(&'a self, found: &mut Vec<&'a AttributeReference>) {
        match self {
            Self::Integer(_) => {}
            Self::Attribute(attribute) => found.push(attribute),
            Self::Chain(first, rest) => {
                first.collect_attributes(found);
                for (_, term) in rest {
                    term.collect_attributes(found);
                }
            }
            Self::DateToJulian(term) | Self::JulianToDate(term) => term.collect_attributes(found),
        }
    }
}
