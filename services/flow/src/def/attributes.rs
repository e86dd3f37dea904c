//! Statements that describe a node.

use std::collections::BTreeSet;

use crate::attribute::{
    Attributes, ChildKind, Event, InLimit, Label, Limit, MAX_WORDS, Meter, Repeat, RepeatKind,
    Variable, ZombieAction, ZombiePolicy, ZombieType,
};
use crate::calendar::Date;
use crate::expression::Expression;
use crate::state::DefaultState;
use crate::tree::{Kind, is_name};

use super::diagnostic::{Code, Diagnostic};
use super::lexer::Word;
use super::references::Reference;

pub(super) type Result<T> = std::result::Result<T, Diagnostic>;

/// One statement about a node.
pub(super) struct AttributeParser<'a, 'w> {
    pub(super) words: &'a [Word<'w>],
    pub(super) kind: Kind,
    pub(super) attributes: &'a mut Attributes,
    /// The names that are in use at the node, by keyword.
    pub(super) names: &'a mut BTreeSet<(&'static str, Box<str>)>,
    pub(super) expressions: &'a mut Vec<Reference>,
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
}

/// The names that attributes have taken, by keyword, as the parser notes them.
pub(super) fn names(attributes: &Attributes) -> BTreeSet<(&'static str, Box<str>)> {
    let mut names = BTreeSet::new();
    for variable in &attributes.variables {
        names.insert(("edit", variable.name.clone()));
    }
    if let Some(signals) = attributes.signals() {
        for event in &signals.events {
            names.extend(event.name.clone().map(|name| ("event", name)));
            names.extend(
                event
                    .number
                    .map(|number| ("event", number.to_string().into())),
            );
        }
        names.extend(
            signals
                .meters
                .iter()
                .map(|meter| ("meter", meter.name.clone())),
        );
        names.extend(
            signals
                .labels
                .iter()
                .map(|label| ("label", label.name.clone())),
        );
    }
    names.extend(
        attributes
            .limits()
            .iter()
            .map(|limit| ("limit", limit.name.clone())),
    );
    for inlimit in attributes.inlimits() {
        let name = match &inlimit.path {
            Some(path) => format!("{path}:{}", inlimit.name).into(),
            None => inlimit.name.clone(),
        };
        names.insert(("inlimit", name));
    }
    if attributes.repeat.is_some() {
        names.insert(("repeat", "".into()));
    }
    if let Some(policies) = attributes.policies() {
        let single = [
            ("late", policies.late.is_some()),
            ("clock", policies.clock.is_some()),
            ("autocancel", policies.auto_cancel.is_some()),
        ];
        let single = single.into_iter().filter(|(_, is_there)| *is_there);
        names.extend(single.map(|(keyword, _)| (keyword, "".into())));
        names.extend(
            policies
                .zombies
                .iter()
                .map(|zombie| ("zombie", zombie.kind.name().into())),
        );
    }
    names
}

impl<'a, 'w> AttributeParser<'a, 'w> {
    pub(super) fn edit(&mut self) -> Result<()> {
        let name = self.new_name("edit", 1)?;
        let value = self.word(2, "a value")?.text;
        self.attributes.variables.push(Variable::new(&name, value));
        self.end(3)
    }

    pub(super) fn expression(&mut self, keyword: &'static str) -> Result<()> {
        let option = self.words.get(1).map(|word| word.text);
        let (join, first) = match option {
            Some("-a") => (Some("and"), 2),
            Some("-o") => (Some("or"), 2),
            _ => (None, 1),
        };
        self.word(first, "an expression")?;
        let words = &self.words[first..];
        let text = words
            .iter()
            .map(|word| word.text)
            .collect::<Vec<_>>()
            .join(" ");
        let expression = Expression::parse(&text).map_err(|error| {
            // The position in the joined text leads back to the word, and the byte in it.
            let mut at = error.at;
            let mut found = words[words.len() - 1].span.end;
            for word in words {
                if at < word.text.len() {
                    found = word.span.start + at;
                    break;
                }
                at = at.saturating_sub(word.text.len() + 1);
            }
            Diagnostic::new(Code::BadExpression, found..found + 1, error.message)
        })?;
        let span = words[0].span.start..words[words.len() - 1].span.end;
        self.expressions
            .push(Reference::Expression(expression.clone(), span.clone()));
        let place = match keyword {
            "trigger" => &mut self.attributes.trigger,
            _ => &mut self.attributes.complete,
        };
        let joined = match (place.as_deref(), join) {
            (None, _) => expression,
            (Some(before), Some(join)) => before
                .joined(join, &expression)
                .map_err(|error| Diagnostic::new(Code::BadExpression, span, error.message))?,
            (Some(_), None) => {
                let keyword = &self.words[0];
                let message = format!("the node has another `{}`", keyword.text);
                return Err(
                    Diagnostic::new(Code::Repeated, keyword.span.clone(), message)
                        .help("add a part to it by `-a` (and) or `-o` (or)"),
                );
            }
        };
        *place = Some(Box::new(joined));
        Ok(())
    }

    pub(super) fn event(&mut self) -> Result<()> {
        let first = self.word(1, "a number or a name")?;
        let number = first
            .text
            .parse::<u32>()
            .ok()
            .filter(|_| !first.text.starts_with('+'));
        let mut next = 1 + usize::from(number.is_some());
        let is_name_next = self.words.get(next).is_some_and(|word| word.text != "set");
        let name = if number.is_none() || is_name_next {
            next += 1;
            Some(self.new_name("event", next - 1)?)
        } else {
            None
        };
        if number.is_some() {
            self.claim("event", first.text, first)?;
        }
        let initial = self.words.get(next).is_some_and(|word| word.text == "set");
        next += usize::from(initial);
        self.attributes.signals_mut().events.push(Event {
            number,
            name,
            initial,
            value: initial,
        });
        self.end(next)
    }

    pub(super) fn meter(&mut self) -> Result<()> {
        let name = self.new_name("meter", 1)?;
        let min: i32 = self.number(2, "the least value")?;
        let max: i32 = self.number(3, "the greatest value")?;
        if min >= max {
            let message = format!("the greatest value is not above the least one, {min}");
            return Err(Diagnostic::new(
                Code::BadNumber,
                self.words[3].span.clone(),
                message,
            ));
        }
        let threshold = match self.words.get(4) {
            Some(_) => self.number(4, "the threshold")?,
            None => max,
        };
        if !(min..=max).contains(&threshold) {
            let message = format!("the threshold is not between {min} and {max}");
            return Err(Diagnostic::new(
                Code::BadNumber,
                self.words[4].span.clone(),
                message,
            ));
        }
        self.attributes.signals_mut().meters.push(Meter {
            name,
            min,
            max,
            threshold,
            value: min,
        });
        self.end(5)
    }

    pub(super) fn label(&mut self) -> Result<()> {
        let name = self.new_name("label", 1)?;
        let text = self.word(2, "a text")?.text.replace("\\n", "\n");
        self.attributes.signals_mut().labels.push(Label {
            name,
            default: text.into(),
            value: None,
        });
        self.end(3)
    }

    pub(super) fn limit(&mut self) -> Result<()> {
        let name = self.new_name("limit", 1)?;
        let max = self.number(2, "the number of tokens")?;
        self.attributes
            .limits_mut()
            .limits
            .push(Limit::new(&name, max));
        self.end(3)
    }

    pub(super) fn inlimit(&mut self) -> Result<()> {
        let (mut is_node_only, mut is_submission_only) = (false, false);
        let mut next = 1;
        loop {
            match self.words.get(next).map(|word| word.text) {
                Some("-n") => is_node_only = true,
                Some("-s") => is_submission_only = true,
                _ => break,
            }
            next += 1;
        }
        let word = self.word(next, "the name of a limit")?;
        let (path, name) = match word.text.rsplit_once(':') {
            Some((path, name)) => (Some(path.into()), name),
            None => (None, word.text),
        };
        if !is_name(name) {
            return Err(bad_name(word));
        }
        self.claim("inlimit", word.text, word)?;
        let tokens = match self.words.get(next + 1) {
            Some(_) => self.number(next + 1, "the number of tokens")?,
            None => 1,
        };
        let inlimit = InLimit {
            path,
            name: name.into(),
            tokens,
            is_node_only,
            is_submission_only,
        };
        self.expressions
            .push(Reference::Limit(inlimit.clone(), word.span.clone()));
        self.attributes.limits_mut().inlimits.push(inlimit);
        self.end(next + 2)
    }

    pub(super) fn default_state(&mut self) -> Result<()> {
        let word = self.word(1, "a state")?;
        self.claim("defstatus", "", &self.words[0])?;
        self.attributes.default_state = DefaultState::from_name(word.text).ok_or_else(|| {
            bad_word(
                word,
                "a state",
                "unknown, complete, queued, aborted, submitted, active or suspended",
            )
        })?;
        self.end(2)
    }

    pub(super) fn repeat(&mut self) -> Result<()> {
        let kind = self.word(1, "the kind of the repeat")?;
        if let "day" | "datetime" | "datetimelist" = kind.text {
            let message = format!("`repeat {}` is not supported by this server", kind.text);
            return Err(
                Diagnostic::new(Code::NotSupported, kind.span.clone(), message)
                    .help("use `repeat date`, or `cron`"),
            );
        }
        let word = self.word(2, "the name of the variable")?;
        if !is_name(word.text) {
            return Err(bad_name(word));
        }
        let kind = match kind.text {
            "integer" => {
                let step = self.optional_step()?;
                RepeatKind::Integer {
                    from: self.number(3, "the first value")?,
                    to: self.number(4, "the last value")?,
                    step,
                }
            }
            "date" => {
                let step = self.optional_step()?;
                RepeatKind::Date {
                    from: self.date_number(3)?,
                    to: self.date_number(4)?,
                    step,
                }
            }
            "datelist" => RepeatKind::DateList(self.list(Self::date_number)?),
            "enumerated" => RepeatKind::Enumerated(self.list(Self::value)?),
            "string" => RepeatKind::String(self.list(Self::value)?),
            _ => {
                return Err(bad_word(
                    kind,
                    "a kind of repeat",
                    "integer, date, datelist, enumerated or string",
                ));
            }
        };
        self.claim("repeat", "", &self.words[0])?;
        let is_bounded = matches!(kind, RepeatKind::Integer { .. } | RepeatKind::Date { .. });
        self.attributes.repeat = Some(Box::new(Repeat::new(word.text, kind)));
        if is_bounded { self.end(6) } else { Ok(()) }
    }

    fn optional_step(&mut self) -> Result<i32> {
        if self.words.len() <= 5 {
            return Ok(1);
        }
        match self.number(5, "the step")? {
            0 => Err(Diagnostic::new(
                Code::BadNumber,
                self.words[5].span.clone(),
                "a step of 0 never ends",
            )),
            step => Ok(step),
        }
    }

    fn list<T>(&mut self, read: fn(&Self, usize) -> Result<T>) -> Result<Box<[T]>> {
        self.word(3, "a value")?;
        if let Some(extra) = self.words.get(3 + MAX_WORDS) {
            let message = format!("a list has more than {MAX_WORDS} values");
            return Err(Diagnostic::new(
                Code::ExtraWord,
                extra.span.clone(),
                message,
            ));
        }
        (3..self.words.len()).map(|at| read(self, at)).collect()
    }

    fn value(&self, at: usize) -> Result<Box<str>> {
        Ok(self.word(at, "a value")?.text.into())
    }

    fn date_number(&self, at: usize) -> Result<Date> {
        let word = self.word(at, "a date such as 20261129")?;
        let date = word.text.parse().ok().and_then(Date::from_number);
        date.ok_or_else(|| bad_date(word))
    }

    pub(super) fn zombie(&mut self) -> Result<()> {
        let word = self.word(1, "TYPE:ACTION:[CHILDREN]:[SECONDS]")?;
        let parts: Vec<_> = word.text.split(':').collect();
        let (kind, action, children, lifetime) = match parts[..] {
            [kind, action] => (kind, action, "", ""),
            [kind, action, children] => (kind, action, children, ""),
            [kind, action, children, lifetime] => (kind, action, children, lifetime),
            _ => {
                return Err(bad_word(
                    word,
                    "a zombie attribute",
                    "TYPE:ACTION:[CHILDREN]:[SECONDS]",
                ));
            }
        };
        let kind = ZombieType::from_name(kind).ok_or_else(|| {
            bad_word(
                word,
                "a type of zombie",
                "user, ecf, path, ecf_pid, ecf_passwd or ecf_pid_passwd",
            )
        })?;
        let action = ZombieAction::from_name(action).ok_or_else(|| {
            bad_word(
                word,
                "an action",
                "fob, fail, block, adopt, remove, delete or kill",
            )
        })?;
        let names = children.split(',').filter(|name| !name.is_empty());
        let children = names
            .map(|name| {
                ChildKind::from_name(name).ok_or_else(|| {
                    bad_word(
                        word,
                        "a child command",
                        "init, event, meter, label, wait, abort or complete",
                    )
                })
            })
            .collect::<Result<Box<[_]>>>()?;
        let lifetime = match lifetime {
            "" => kind.lifetime(),
            text => text
                .parse()
                .map_err(|_| bad_number(word, "the lifetime in seconds"))?,
        };
        self.claim("zombie", kind.name(), word)?;
        self.attributes.policies_mut().zombies.push(ZombiePolicy {
            kind,
            action,
            children,
            lifetime: lifetime.max(60),
        });
        self.end(2)
    }

    pub(super) fn word(&self, at: usize, what: &str) -> Result<&'a Word<'w>> {
        self.words.get(at).ok_or_else(|| {
            let end = self.words[self.words.len() - 1].span.end;
            let message = format!("`{}` needs {what}", self.words[0].text);
            Diagnostic::new(Code::MissingWord, self.words[0].span.start..end, message)
        })
    }

    pub(super) fn end(&self, at: usize) -> Result<()> {
        match self.words.get(at) {
            None => Ok(()),
            Some(extra) => {
                let diagnostic = Diagnostic::new(
                    Code::ExtraWord,
                    extra.span.clone(),
                    format!("`{}` ends before this word", self.words[0].text),
                );
                Err(diagnostic.help("put a value with blanks in quotes"))
            }
        }
    }

    pub(super) fn number<T: std::str::FromStr>(&self, at: usize, what: &str) -> Result<T> {
        let word = self.word(at, what)?;
        word.text.parse().map_err(|_| bad_number(word, what))
    }

    /// A name that no other attribute of this kind has at the node.
    fn new_name(&mut self, keyword: &'static str, at: usize) -> Result<Box<str>> {
        let words = self.words;
        let word = words.get(at);
        let Some(word) = word else {
            return Err(self
                .word(at, "a name")
                .err()
                .unwrap_or_else(|| bad_name(&words[0])));
        };
        if !is_name(word.text) || word.is_quoted {
            return Err(bad_name(word));
        }
        self.claim(keyword, word.text, word)?;
        Ok(word.text.into())
    }

    pub(super) fn claim(
        &mut self,
        keyword: &'static str,
        name: &str,
        word: &Word<'_>,
    ) -> Result<()> {
        if self.names.insert((keyword, name.into())) {
            return Ok(());
        }
        let span = word.span.clone();
        Err(if name.is_empty() {
            let message = format!("the node has another `{keyword}`");
            Diagnostic::new(Code::Repeated, span, message)
        } else {
            let message = format!("the node has another `{keyword}` of the name `{name}`");
            Diagnostic::new(Code::DuplicateName, span, message)
        })
    }
}

pub(super) fn shown(word: &Word<'_>) -> String {
    word.text.chars().take(40).collect()
}

fn bad_name(word: &Word<'_>) -> Diagnostic {
    let message = format!("`{}` is not a name", shown(word));
    Diagnostic::new(Code::BadName, word.span.clone(), message)
        .help("a name has letters, digits, `_` and, not first, `.`")
}

fn bad_number(word: &Word<'_>, what: &str) -> Diagnostic {
    let message = format!("`{}` can't be {what}", shown(word));
    Diagnostic::new(Code::BadNumber, word.span.clone(), message)
        .help("write an integer that 32 bits hold")
}

pub(super) fn bad_date(word: &Word<'_>) -> Diagnostic {
    let message = format!("`{}` is not a date", shown(word));
    Diagnostic::new(Code::BadDate, word.span.clone(), message)
}

pub(super) fn bad_word(word: &Word<'_>, what: &str, possible: &str) -> Diagnostic {
    let message = format!("`{}` is not {what}", shown(word));
    Diagnostic::new(Code::BadWord, word.span.clone(), message).help(format!("write {possible}"))
}
