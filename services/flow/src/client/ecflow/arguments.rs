//! The command line of `ecflow_client`, in the syntax of Boost's program options.

use super::specification::{ALL, Specification, UNSUPPORTED, Values, find};

/// A command line that was understood: options with their values, in order.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    options: Vec<(&'static Specification, Vec<String>)>,
}

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ParseError {
    /// Shown in ecFlow's frame.
    Malformed(String),
    /// ecFlow has the option, this server does not.
    Unsupported(String),
}

impl From<String> for ParseError {
    fn from(text: String) -> Self {
        Self::Malformed(text)
    }
}

impl Arguments {
    /// The words behind the program's name. Words that belong to no option are ignored, as ecFlow
    /// does.
    pub(super) fn parse(words: &[String]) -> Result<Self, ParseError> {
        let mut arguments = Self::default();
        let mut rest = words.iter().map(String::as_str).peekable();
        while let Some(word) = rest.next() {
            let text = match word {
                "-h" => "help",
                "-v" => "version",
                "-d" => "debug",
                _ => match word.strip_prefix("--") {
                    Some(text) => text,
                    None => continue,
                },
            };
            let (name, attached) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text, None),
            };
            let option = named(name)?;
            if arguments
                .options
                .iter()
                .any(|(known, _)| known.name == option.name)
            {
                let text = format!(
                    "option '--{}' cannot be specified more than once",
                    option.name
                );
                return Err(text.into());
            }
            let mut values: Vec<String> = attached.into_iter().map(str::to_owned).collect();
            if attached == Some("") && !matches!(option.name, "host" | "port") {
                let text = format!(
                    "the argument for option '--{}' should follow immediately after the equal sign",
                    option.name
                );
                return Err(text.into());
            }
            let is_value = |word: &&str| !word.starts_with("--") || is_text(option, word);
            match option.values {
                Values::None if attached.is_some() => {
                    let text = format!("option '--{}' does not take any arguments", option.name);
                    return Err(text.into());
                }
                Values::None => {}
                Values::Many => {
                    while let Some(word) = rest.next_if(is_value) {
                        values.push(word.to_owned());
                    }
                }
                Values::Optional | Values::One => {
                    if values.is_empty()
                        && let Some(word) = rest.next_if(is_value)
                    {
                        values.push(word.to_owned());
                    }
                }
            }
            arguments.options.push((option, values));
        }
        arguments.require_values()?;
        Ok(arguments)
    }

    /// `--force` without values belongs to `--begin`.
    fn require_values(&mut self) -> Result<(), ParseError> {
        let has_begin = self.values("begin").is_some();
        for (option, values) in &self.options {
            let needs = matches!(option.values, Values::One | Values::Many);
            if needs && values.is_empty() && !(has_begin && option.name == "force") {
                let text = format!(
                    "the required argument for option '--{}' is missing",
                    option.name
                );
                return Err(text.into());
            }
        }
        if has_begin
            && let Some(at) = self
                .options
                .iter()
                .position(|(option, _)| option.name == "force")
        {
            self.options.remove(at);
            for (option, values) in &mut self.options {
                if option.name == "begin" {
                    values.push("--force".to_owned());
                }
            }
        }
        Ok(())
    }

    /// The values of an option; `None` if it is not given.
    pub(super) fn values(&self, name: &str) -> Option<&[String]> {
        let given = self.options.iter().find(|(option, _)| option.name == name);
        given.map(|(_, values)| values.as_slice())
    }

    /// The first value of an option.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values(name)?.first().map(String::as_str)
    }

    /// The command with its values.
    pub(super) fn command(&self) -> Result<Option<(&'static str, &[String])>, ParseError> {
        let mut commands = self
            .options
            .iter()
            .filter(|(option, _)| !option.is_setting());
        let first = commands.next();
        if let (Some((first, _)), Some((second, _))) = (first, commands.next()) {
            let text = format!(
                "--{} and --{} are two commands: use --group=\"{}; {}\"",
                first.name, second.name, first.name, second.name
            );
            return Err(text.into());
        }
        Ok(first.map(|(option, values)| (option.name, values.as_slice())))
    }
}

/// Whether a word that looks like an option is a value: texts of jobs and operators may begin with
/// dashes.
fn is_text(option: &Specification, word: &str) -> bool {
    let name = word
        .trim_start_matches('-')
        .split('=')
        .next()
        .unwrap_or_default();
    let takes_text = matches!(option.name, "label" | "alter" | "abort" | "msg" | "begin");
    takes_text && (option.name == "begin" || find(name).is_none())
}

/// The option of a name, or of the beginning of its name.
fn named(name: &str) -> Result<&'static Specification, ParseError> {
    if let Some(option) = find(name) {
        return Ok(option);
    }
    if UNSUPPORTED.contains(&name) {
        return Err(ParseError::Unsupported(name.to_owned()));
    }
    let near: Vec<_> = ALL
        .iter()
        .filter(|option| option.name.starts_with(name))
        .collect();
    match near[..] {
        _ if name.is_empty() => Err("unrecognised option '--'".to_owned().into()),
        [] => Err(format!("unrecognised option '--{name}'").into()),
        [option] => Ok(option),
        _ => {
            let names: Vec<_> = near
                .iter()
                .map(|option| format!("'--{}'", option.name))
                .collect();
            Err(format!(
                "option '--{name}' is ambiguous and matches {}",
                names.join(", ")
            )
            .into())
        }
    }
}

/// The commands of a `--group`: words, in quotes where they hold blanks or semicolons.
pub(super) fn split_group(text: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t' | '\n' | ';') => {
                if let (Some(word), Some(command)) = (word.take(), commands.last_mut()) {
                    command.push(word);
                }
                if letter == ';' {
                    commands.push(Vec::new());
                }
            }
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if let (Some(word), Some(command)) = (word, commands.last_mut()) {
        command.push(word);
    }
    commands.retain(|command| !command.is_empty());
    for command in &mut commands {
        command[0].insert_str(0, "--");
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, ParseError> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        Arguments::parse(&words)
    }

    #[test]
    fn values_follow_their_option_up_to_the_next_one() {
        let arguments = parse(&["--port", "3971", "--query", "state", "/s", "--host=h"]).unwrap();
        assert_eq!(arguments.value("port"), Some("3971"));
        assert_eq!(arguments.values("query").unwrap(), ["state", "/s"]);
        assert_eq!(arguments.value("host"), Some("h"));
        assert_eq!(arguments.command().unwrap().unwrap().0, "query");
    }

    #[test]
    fn texts_may_begin_with_dashes() {
        let arguments = parse(&["--label=info", "-- half --", "--port=1"]).unwrap();
        assert_eq!(arguments.values("label").unwrap(), ["info", "-- half --"]);
        assert_eq!(arguments.value("port"), Some("1"));
    }

    #[test]
    fn malformed_command_lines_are_told_as_boost_does() {
        for (words, text) in [
            (&["--nosuch"][..], "unrecognised option '--nosuch'"),
            (&["--ping=x"], "option '--ping' does not take any arguments"),
            (
                &["--suspend"],
                "the required argument for option '--suspend' is missing",
            ),
            (
                &["--msg="],
                "the argument for option '--msg' should follow immediately after the equal sign",
            ),
            (
                &["--port=1", "--port=2"],
                "option '--port' cannot be specified more than once",
            ),
            (
                &["--zombie_f"],
                "option '--zombie_f' is ambiguous and matches '--zombie_fail', '--zombie_fob'",
            ),
        ] {
            let expected = ParseError::Malformed(text.to_owned());
            assert_eq!(parse(words).unwrap_err(), expected);
        }
        assert_eq!(
            parse(&["--plug", "/a", "/b"]).unwrap_err(),
            ParseError::Unsupported("plug".to_owned())
        );
    }

    #[test]
    fn a_group_is_split_outside_of_quotes() {
        assert_eq!(
            split_group("get=/s; show state;msg='a; b' ;"),
            [
                vec!["--get=/s"],
                vec!["--show", "state"],
                vec!["--msg=a; b"]
            ]
        );
    }

    #[test]
    fn begin_takes_force_as_ecflows_help_and_its_users_write_it() {
        for words in [&["--begin=s", "--force"][..], &["--begin", "s", "--force"]] {
            let arguments = parse(words).unwrap();
            assert_eq!(arguments.values("begin").unwrap(), ["s", "--force"]);
        }
    }
}
