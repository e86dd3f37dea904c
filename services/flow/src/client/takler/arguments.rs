//! The command line of `takler_client`, in the syntax of Go's cobra.

use std::collections::HashMap;

use super::specification::{Command, Flag, FlagKind, PROGRAM};

/// A command line that was understood.
#[derive(Debug)]
pub(super) struct Arguments {
    /// The commands from the program down.
    pub(super) path: Vec<&'static Command>,
    /// The words that are neither commands nor flags.
    pub(super) words: Vec<String>,
    /// Whether help is asked for.
    pub(super) is_help: bool,
    flags: HashMap<&'static str, String>,
}

/// What is wrong with a command line, and the command whose usage is shown.
#[derive(Debug)]
pub(super) struct UsageError {
    pub(super) text: String,
    /// `None` where the usage is not shown, but how to get it.
    pub(super) path: Option<Vec<&'static Command>>,
}

impl Arguments {
    /// The command line behind the program's name. Flags may stand before their command, too.
    pub(super) fn parse(words: &[String]) -> Result<Self, UsageError> {
        let mut arguments = Self {
            path: vec![&PROGRAM],
            words: Vec::new(),
            is_help: false,
            flags: HashMap::new(),
        };
        let words = arguments.find_command(words);
        let mut rest = words.into_iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                arguments.words.extend(rest.map(str::to_owned));
                break;
            } else if let Some(flag) = word.strip_prefix("--") {
                arguments.long_flag(flag, || rest.next().map(str::to_owned))?;
            } else if let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                arguments.short_flags(letters)?;
            } else {
                arguments.word(word)?;
            }
        }
        if !arguments.is_help {
            arguments.require()?;
        }
        Ok(arguments)
    }

    /// Takes the words that name commands, and gives the others. A word behind a flag without `=`
    /// is its value, unless the flag is a switch.
    fn find_command<'a>(&mut self, words: &'a [String]) -> Vec<&'a str> {
        let mut others = Vec::new();
        let mut rest = words.iter().map(String::as_str);
        while let Some(word) = rest.next() {
            if word == "--" {
                others.push(word);
                break;
            }
            if let Some(child) = self.command().child(word).filter(|_| word != "--") {
                self.path.push(child);
                continue;
            }
            others.push(word);
            match word.strip_prefix("--") {
                Some(flag) if !flag.contains('=') && !self.is_switch(flag) => {
                    others.extend(rest.next());
                }
                Some(_) => {}
                None if word.starts_with('-') && word.len() > 1 => {}
                // Behind its first argument a command has no commands.
                None => break,
            }
        }
        others.extend(rest);
        others
    }

    fn is_switch(&self, name: &str) -> bool {
        let flag = self.command().flag(name);
        name == "help" || flag.is_some_and(|flag| flag.kind != FlagKind::Text)
    }

    /// The command that is meant.
    pub(super) fn command(&self) -> &'static Command {
        self.path.last().copied().unwrap_or(&PROGRAM)
    }

    /// The value of a flag; `None` if it is not given or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.flags
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The value of a switch.
    pub(super) fn is_on(&self, name: &str) -> bool {
        match self.flags.get(name) {
            Some(value) => value == "true",
            None => matches!(
                self.command().flag(name),
                Some(Flag {
                    kind: FlagKind::Switch { default: true },
                    ..
                })
            ),
        }
    }

    fn error(&self, text: String) -> UsageError {
        UsageError {
            text,
            path: Some(self.path.clone()),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), UsageError> {
        if self.path.len() > 1 {
            self.words.push(word.to_owned());
            return Ok(());
        }
        let mut text = format!("unknown command {word:?} for {:?}", PROGRAM.name);
        let near = PROGRAM.children.iter().filter(|child| {
            let distance = strsim::levenshtein(word, child.name);
            child.is_listed && (distance <= 2 || child.name.starts_with(word))
        });
        let near: Vec<_> = near.map(|child| format!("\t{}\n", child.name)).collect();
        if !near.is_empty() {
            text += &format!("\n\nDid you mean this?\n{}", near.concat());
        }
        Err(UsageError { text, path: None })
    }

    fn long_flag(
        &mut self,
        text: &str,
        next: impl FnOnce() -> Option<String>,
    ) -> Result<(), UsageError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name == "help" {
            self.is_help = value.is_none_or(|value| value == "true");
            return Ok(());
        }
        let Some(flag) = self.command().flag(name) else {
            return Err(self.error(format!("unknown flag: --{name}")));
        };
        let value = match (flag.kind, value) {
            (FlagKind::Text, None) => {
                next().ok_or_else(|| self.error(format!("flag needs an argument: --{name}")))?
            }
            (FlagKind::Text, Some(value)) => value,
            (FlagKind::Switch { .. }, None) => "true".to_owned(),
            (FlagKind::Switch { .. }, Some(value)) => {
                let value = boolean(&value).ok_or_else(|| {
                    let text = format!(
                        "invalid argument {value:?} for \"--{name}\" flag: strconv.ParseBool: parsing {value:?}: invalid syntax"
                    );
                    self.error(text)
                })?;
                value.to_string()
            }
        };
        self.flags.insert(flag.name, value);
        Ok(())
    }

    fn short_flags(&mut self, letters: &str) -> Result<(), UsageError> {
        for letter in letters.chars() {
            if letter != 'h' {
                let text = format!("unknown shorthand flag: '{letter}' in -{letters}");
                return Err(self.error(text));
            }
            self.is_help = true;
        }
        Ok(())
    }

    /// Checks that nothing is missing.
    fn require(&self) -> Result<(), UsageError> {
        let command = self.command();
        if self.words.len() < command.min_arguments {
            let text = format!(
                "requires at least {} arg(s), only received {}",
                command.min_arguments,
                self.words.len()
            );
            return Err(self.error(text));
        }
        let missing = command.flags.iter();
        let missing =
            missing.filter(|flag| flag.is_required && !self.flags.contains_key(flag.name));
        let missing: Vec<_> = missing.map(|flag| format!("{:?}", flag.name)).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            let text = format!("required flag(s) {} not set", missing.join(", "));
            Err(self.error(text))
        }
    }
}

/// The words that Go takes for a boolean.
fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
