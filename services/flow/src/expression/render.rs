//! Conditions as text with the fewest parentheses: what `why` shows.

use std::fmt::{self, Display, Formatter};

use super::{
    AttributeReference, Comparison, Condition, Expression, FlagCondition, NodeCondition, Operator,
    Term,
};

/// A condition, with the expression that its paths belong to.
pub struct Rendered<'a> {
    expression: &'a Expression,
    condition: &'a Condition,
}

impl Expression {
    /// A part of this expression, or all of it, as text.
    #[must_use]
    pub fn render<'a>(&'a self, condition: &'a Condition) -> Rendered<'a> {
        Rendered {
            expression: self,
            condition,
        }
    }
}

impl Display for Rendered<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.expression.write(f, self.condition, 0)
    }
}

impl Expression {
    /// Writes a condition; in parentheses if it binds looser than `binding`: 1 inside `or`, 2
    /// inside `and`, 3 behind `not`.
    fn write(&self, f: &mut Formatter<'_>, condition: &Condition, binding: u8) -> fmt::Result {
        let (word, parts, own) = match condition {
            Condition::Or(parts) => (" or ", parts, 1),
            Condition::And(parts) => (" and ", parts, 2),
            Condition::Not(part) => {
                f.write_str(if binding == 3 { "(not " } else { "not " })?;
                self.write(f, part, 3)?;
                return f.write_str(if binding == 3 { ")" } else { "" });
            }
            leaf => return self.write_leaf(f, leaf),
        };
        if own <= binding {
            f.write_str("(")?;
        }
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                f.write_str(word)?;
            }
            self.write(f, part, own)?;
        }
        if own <= binding {
            f.write_str(")")?;
        }
        Ok(())
    }

    fn write_leaf(&self, f: &mut Formatter<'_>, condition: &Condition) -> fmt::Result {
        let equality = |equal: bool| if equal { "==" } else { "!=" };
        match condition {
            Condition::State { path, equal, state } => {
                let state = match state {
                    NodeCondition::State(state) => state.name(),
                    NodeCondition::Suspended => "suspended",
                };
                write!(f, "{} {} {state}", self.path(*path), equality(*equal))
            }
            Condition::Flag { path, flag } => {
                let flag = match flag {
                    FlagCondition::Late => "late",
                    FlagCondition::Zombie => "zombie",
                };
                write!(f, "{}<flag>{flag}", self.path(*path))
            }
            Condition::Event { event, equal, set } => {
                self.write_attribute(f, event)?;
                let set = if *set { "set" } else { "clear" };
                write!(f, " {} {set}", equality(*equal))
            }
            Condition::Compare {
                left,
                operator,
                right,
            } => {
                self.write_term(f, left, 0)?;
                write!(f, " {operator} ")?;
                self.write_term(f, right, 0)
            }
            Condition::NonZero(term) => self.write_term(f, term, 0),
            Condition::Or(_) | Condition::And(_) | Condition::Not(_) => self.write(f, condition, 0),
        }
    }

    fn path(&self, index: super::PathIndex) -> &str {
        self.paths().get(usize::from(index)).map_or("", |path| path)
    }

    fn write_attribute(
        &self,
        f: &mut Formatter<'_>,
        reference: &AttributeReference,
    ) -> fmt::Result {
        let path = reference.path.map_or("", |path| self.path(path));
        write!(f, "{path}:{}", reference.name)
    }

    /// Writes a number; in parentheses inside a chain that binds at least as strongly.
    fn write_term(&self, f: &mut Formatter<'_>, term: &Term, binding: u8) -> fmt::Result {
        match term {
            Term::Integer(number) => write!(f, "{number}"),
            Term::Attribute(reference) => self.write_attribute(f, reference),
            Term::DateToJulian(term) => {
                f.write_str("cal::date_to_julian(")?;
                self.write_term(f, term, 0)?;
                f.write_str(")")
            }
            Term::JulianToDate(term) => {
                f.write_str("cal::julian_to_date(")?;
                self.write_term(f, term, 0)?;
                f.write_str(")")
            }
            Term::Chain(first, rest) => {
                let is_sum = matches!(
                    rest.first(),
                    Some((Operator::Add | Operator::Subtract, _)) | None
                );
                let own = if is_sum { 1 } else { 2 };
                if own <= binding {
                    f.write_str("(")?;
                }
                self.write_term(f, first, own)?;
                for (operator, term) in rest {
                    write!(f, " {operator} ")?;
                    self.write_term(f, term, own)?;
                }
                if own <= binding {
                    f.write_str(")")?;
                }
                Ok(())
            }
        }
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

impl Display for Operator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        })
    }
}
