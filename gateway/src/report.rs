//! Errors and warnings of commands, for people, for programs and for GitHub
//! (`--error-format`).

use clap::ValueEnum;
use serde::Serialize;
use tce_runtime::config::problem::{Location, Problem};

/// The format of errors and warnings on standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ErrorFormat {
    /// Text with the source lines
    #[default]
    #[value(alias = "human")]
    Text,
    /// One line of text each: file:line:column, code and message
    Short,
    /// One JSON object per line
    Json,
    /// One GitHub Actions workflow command per line; GitHub shows it beside the code
    Github,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The command fails.
    Error,
    /// It works, but likely not as intended.
    Warning,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    severity: Level,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<JsonLocation<'a>>,
}

#[derive(Serialize)]
struct JsonLocation<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl ErrorFormat {
    /// A problem in a file, without a line end.
    #[must_use]
    pub fn problem(self, level: Level, problem: &Problem) -> String {
        let Problem {
            file,
            location,
            message,
        } = problem;
        match self {
            Self::Text => problem.to_string(),
            Self::Short => {
                let without = Problem {
                    message: format!("{}: {message}", level.name()),
                    ..problem.clone()
                };
                without.to_string()
            }
            Self::Json | Self::Github => self.line(level, Some((file, *location)), message),
        }
    }

    /// A message that belongs to no file, without a line end. In text, messages of level
    /// error begin with `error: `.
    #[must_use]
    pub fn message(self, level: Level, message: &str) -> String {
        match self {
            Self::Text | Self::Short => format!("{}: {message}", level.name()),
            Self::Json | Self::Github => self.line(level, None, message),
        }
    }

    fn line(self, level: Level, at: Option<(&str, Location)>, message: &str) -> String {
        if self == Self::Github {
            let place = at.map(|(file, location)| workflow_place(file, location));
            let place = place.unwrap_or_default();
            return format!("::{}{place}::{}", level.name(), escape_data(message));
        }
        let report = JsonReport {
            severity: level,
            message,
            primary: at.map(|(file, location)| JsonLocation {
                file,
                line: location.line,
                column: location.column,
            }),
        };
        // The object consists of texts and numbers, which can't fail.
        serde_json::to_string(&report).unwrap_or_default()
    }
}

/// The place of a workflow command.
fn workflow_place(file: &str, location: Location) -> String {
    let mut place = format!(" file={}", escape_property(file));
    for (name, number) in [("line", location.line), ("col", location.column)] {
        if let Some(number) = number {
            place.push_str(&format!(",{name}={number}"));
        }
    }
    place
}

/// Escapes a message: a line break would end the command.
fn escape_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes the value of a property, which `,` and `:` would end too.
fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_its_place_in_each_format() {
        let problem = Problem {
            file: "a,b.xml".to_owned(),
            location: (3, 7).into(),
            message: "`x` is wrong; did you mean `y`?".to_owned(),
        };
        for (format, expected) in [
            (
                ErrorFormat::Text,
                "a,b.xml:3:7: `x` is wrong; did you mean `y`?",
            ),
            (
                ErrorFormat::Short,
                "a,b.xml:3:7: error: `x` is wrong; did you mean `y`?",
            ),
            (
                ErrorFormat::Json,
                r#"{"severity":"error","message":"`x` is wrong; did you mean `y`?","primary":{"file":"a,b.xml","line":3,"column":7}}"#,
            ),
            (
                ErrorFormat::Github,
                "::error file=a%2Cb.xml,line=3,col=7::`x` is wrong; did you mean `y`?",
            ),
        ] {
            assert_eq!(format.problem(Level::Error, &problem), expected);
        }
    }

    #[test]
    fn a_message_without_a_file_is_one_line_for_programs() {
        let message = "no broker\nTry this: start it";
        for (format, expected) in [
            (ErrorFormat::Text, "warning: no broker\nTry this: start it"),
            (
                ErrorFormat::Json,
                r#"{"severity":"warning","message":"no broker\nTry this: start it"}"#,
            ),
            (
                ErrorFormat::Github,
                "::warning::no broker%0ATry this: start it",
            ),
        ] {
            assert_eq!(format.message(Level::Warning, message), expected);
        }
    }
}
