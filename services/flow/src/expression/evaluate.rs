//! The value of a condition.

use std::fmt;

use crate::calendar::Date;

use super::{
    AttributeReference, Comparison, Condition, FlagCondition, NodeCondition, Operator, PathIndex,
    Term,
};

/// What an expression is evaluated in: the node that has it, and the tree around it.
pub trait Environment {
    /// Whether the node at a path satisfies the condition. A path that names no node counts as a
    /// node whose state is unknown.
    fn node_is(&self, path: PathIndex, condition: NodeCondition) -> bool;

    /// Whether the node at a path has a flag.
    fn has_flag(&self, path: PathIndex, flag: FlagCondition) -> bool;

    /// The value of an attribute; 0 if there is no such attribute.
    fn attribute(&self, reference: &AttributeReference) -> Value;
}

/// A number, or a date, which counts in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Integer(i64),
    /// A date; compared as a number such as 20261129.
    Date(Date),
}

/// A division by zero in an expression; its value is false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DivisionByZero;

impl fmt::Display for DivisionByZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("division by zero")
    }
}

impl std::error::Error for DivisionByZero {}

impl Value {
    /// The number that comparisons use.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Integer(number) => number,
            Self::Date(date) => date.number(),
        }
    }
}

impl Condition {
    pub(super) fn evaluate(&self, environment: &impl Environment) -> Result<bool, DivisionByZero> {
        Ok(match self {
            Self::Or(parts) => {
                for part in parts {
                    if part.evaluate(environment)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::And(parts) => {
                for part in parts {
                    if !part.evaluate(environment)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Not(part) => !part.evaluate(environment)?,
            Self::State { path, equal, state } => environment.node_is(*path, *state) == *equal,
            Self::Flag { path, flag } => environment.has_flag(*path, *flag),
            Self::Event { event, equal, set } => {
                let is_set = environment.attribute(event).number() != 0;
                (is_set == *set) == *equal
            }
            Self::Compare {
                left,
                operator,
                right,
            } => {
                let left = left.evaluate(environment)?.number();
                operator.holds(left, right.evaluate(environment)?.number())
            }
            Self::NonZero(term) => term.evaluate(environment)?.number() != 0,
        })
    }
}

impl Comparison {
    fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl Term {
    fn evaluate(&self, environment: &impl Environment) -> Result<Value, DivisionByZero> {
        Ok(match self {
            Self::Integer(number) => Value::Integer(*number),
            Self::Attribute(reference) => environment.attribute(reference),
            Self::Chain(first, rest) => {
                let mut value = first.evaluate(environment)?;
                for (operator, term) in rest {
                    value = operator.apply(value, term.evaluate(environment)?)?;
                }
                value
            }
            Self::DateToJulian(term) => {
                let number = term.evaluate(environment)?.number();
                Value::Integer(Date::from_number(number).map_or(0, Date::julian))
            }
            Self::JulianToDate(term) => {
                let julian = term.evaluate(environment)?.number();
                Value::Integer(Date::from_julian(julian).number())
            }
        })
    }
}

impl Operator {
    /// Sums saturate, so that no number ends the server.
    fn apply(self, left: Value, right: Value) -> Result<Value, DivisionByZero> {
        use Value::{Date, Integer};
        let (a, b) = (left.number(), right.number());
        Ok(match (self, left, right) {
            (Self::Add, Date(date), Integer(days)) | (Self::Add, Integer(days), Date(date)) => {
                Date(date.plus(days))
            }
            (Self::Subtract, Date(date), Integer(days)) => Date(date.plus(days.saturating_neg())),
            (Self::Subtract, Date(later), Date(earlier)) => Integer(later.days() - earlier.days()),
            (Self::Add, ..) => Integer(a.saturating_add(b)),
            (Self::Subtract, ..) => Integer(a.saturating_sub(b)),
            (Self::Multiply, ..) => Integer(a.saturating_mul(b)),
            (Self::Divide | Self::Remainder, ..) if b == 0 => return Err(DivisionByZero),
            (Self::Divide, ..) => Integer(a.saturating_div(b)),
            (Self::Remainder, ..) => Integer(a.wrapping_rem(b)),
        })
    }
}
