//! The text of a `tce.toml` to a [`Config`], with every mistake in it.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use tce_idl::{
    diagnostic::{Code, Diagnostic, nearest},
    lint::{self, Language, Level, Settings},
    source::{FileId, Span},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Config;

/// Reads the settings in `text`; paths in it start from `folder`.
pub(super) fn config(
    file: FileId,
    text: &str,
    folder: &Path,
    mistakes: &mut Vec<Diagnostic>,
) -> Config {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        file,
        folder,
        mistakes,
        config: Config::default(),
        leveled: Vec::new(),
    };
    for error in errors {
        let place = error.span().unwrap_or_default();
        reader.mistake(Code::SettingsSyntax, error.message().to_owned(), place);
    }
    reader.sections(table.get_ref());
    reader.config
}

struct Reader<'a> {
    file: FileId,
    folder: &'a Path,
    mistakes: &'a mut Vec<Diagnostic>,
    config: Config,
    /// The rules that have a level.
    leveled: Vec<Code>,
}

impl Reader<'_> {
    fn sections(&mut self, sections: &DeTable<'_>) {
        for (key, value) in sections {
            match key.get_ref().as_ref() {
                "compile" => self.section(key, value, Self::compile),
                "lint" => self.section(key, value, Self::lint),
                _ => self.unknown("section", key, &["compile", "lint"]),
            }
        }
    }

    /// Hands each setting of a section to `read`.
    fn section<'v>(
        &mut self,
        key: &Spanned<impl AsRef<str>>,
        value: &'v Spanned<DeValue<'v>>,
        read: fn(&mut Self, &Spanned<&str>, &Spanned<DeValue<'v>>),
    ) {
        let DeValue::Table(settings) = value.get_ref() else {
            let name = key.get_ref().as_ref();
            let message = format!("`{name}` is a section: write `[{name}]` and its settings below");
            return self.mistake(Code::SettingValue, message, key.span());
        };
        for (key, value) in settings {
            read(
                self,
                &Spanned::new(key.span(), key.get_ref().as_ref()),
                value,
            );
        }
    }

    fn compile(&mut self, key: &Spanned<&str>, value: &Spanned<DeValue<'_>>) {
        match *key.get_ref() {
            "include" => self.config.include = self.paths(value),
            "index-files" => self.config.index_files = self.paths(value),
            _ => self.unknown("setting of [compile]", key, &["include", "index-files"]),
        }
    }

    fn lint(&mut self, key: &Spanned<&str>, value: &Spanned<DeValue<'_>>) {
        match *key.get_ref() {
            "allow" => self.levels(value, Level::Allow),
            "warn" => self.levels(value, Level::Warn),
            "deny" => self.levels(value, Level::Deny),
            "languages" => self.languages(value),
            _ => self.unknown(
                "setting of [lint]",
                key,
                &["allow", "warn", "deny", "languages"],
            ),
        }
    }

    /// Sets each rule of a list to a level.
    fn levels(&mut self, value: &Spanned<DeValue<'_>>, level: Level) {
        for name in self.strings(value) {
            let Some(code) = Settings::find(name.get_ref()) else {
                let known: Vec<&str> = lint::switchable().map(Code::name).collect();
                self.unknown("rule", &name, &known);
                continue;
            };
            if self.leveled.contains(&code) {
                let message = format!("rule `{}` is set twice", name.get_ref());
                self.mistake(Code::SettingValue, message, name.span());
            }
            self.leveled.push(code);
            self.config.lint = self.config.lint.clone().with(code, level);
        }
    }

    fn languages(&mut self, value: &Spanned<DeValue<'_>>) {
        let known: Vec<&str> = Language::ALL.iter().map(|it| it.name()).collect();
        let mut languages = Vec::new();
        for name in self.strings(value) {
            let mut all = Language::ALL.iter().copied();
            match all.find(|language| language.name() == *name.get_ref()) {
                Some(language) => languages.push(language),
                None => self.unknown("language", &name, &known),
            }
        }
        self.config.lint = self.config.lint.clone().with_languages(languages);
    }

    fn paths(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<PathBuf> {
        let folder = self.folder;
        let paths = self.strings(value).into_iter();
        paths.map(|path| folder.join(path.get_ref())).collect()
    }

    /// The strings of a list, each with its place.
    fn strings<'v>(&mut self, value: &'v Spanned<DeValue<'_>>) -> Vec<Spanned<&'v str>> {
        let DeValue::Array(values) = value.get_ref() else {
            let message = "this setting is a list of strings: `[\"…\"]`".to_owned();
            self.mistake(Code::SettingValue, message, value.span());
            return Vec::new();
        };
        let mut strings = Vec::new();
        for value in values {
            match value.get_ref() {
                DeValue::String(text) => strings.push(Spanned::new(value.span(), text.as_ref())),
                _ => self.mistake(
                    Code::SettingValue,
                    "this is no string: put it in quotes".to_owned(),
                    value.span(),
                ),
            }
        }
        strings
    }

    /// Reports a name that is none of the `known` ones.
    fn unknown(&mut self, what: &str, name: &Spanned<impl AsRef<str>>, known: &[&str]) {
        let written = name.get_ref().as_ref();
        let message = format!("there is no {what} called `{written}`");
        let span = self.span(name.span());
        let diagnostic = Diagnostic::new(Code::UnknownSetting, message).at(span, "");
        self.mistakes.push(match nearest(written, known) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None if known.len() > 10 => diagnostic.help("`tce lint --list` shows all"),
            None => diagnostic.help(format!("known are `{}`", known.join("`, `"))),
        });
    }

    fn mistake(&mut self, code: Code, message: String, place: Range<usize>) {
        let span = self.span(place);
        self.mistakes
            .push(Diagnostic::new(code, message).at(span, ""));
    }

    fn span(&self, place: Range<usize>) -> Span {
        let byte = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Span {
            file: self.file,
            start: byte(place.start),
            end: byte(place.end),
        }
    }
}
