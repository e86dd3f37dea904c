//! `tce.toml`: the settings of a project.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use tce_codegen::{MapType, PythonApi, PythonOptions, RustOptions, TypeScriptOptions};
use tce_idl::{
    diagnostic::{Code, Diagnostic, nearest},
    lint::{self, Language, Level},
    loader::{FileSystem, Loader, MAX_FILE_BYTES, find_upwards},
    source::{FileId, SourceMap, Span},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    console::{CommandError, Console},
    plugin::Plugin,
};

const FILE_NAME: &str = "tce.toml";

/// The settings of a `tce.toml`; the default where there is no such file.
#[derive(Debug, Default)]
pub(crate) struct ProjectConfig {
    /// `idl.sources`: IDL files, and folders of them, for commands that are given none.
    pub(crate) sources: Vec<PathBuf>,
    /// `generate`: what `tce compile` writes.
    pub(crate) generate: Vec<GeneratedCode>,
    /// `compile.include`: folders to search for imports.
    pub(crate) include: Vec<PathBuf>,
    /// `compile.index-files`: files that assign indices to interfaces.
    pub(crate) index_files: Vec<PathBuf>,
    /// `lint`: levels of rules, and the languages whose keywords are reported.
    pub(crate) lint: lint::Settings,
    /// Options of the back ends, each in a section named as its language: `rust`, `python`,
    /// `typescript`.
    pub(crate) codegen: tce_codegen::Options,
}

/// A `[[generate]]`: code that `tce compile` writes to a folder.
#[derive(Debug)]
pub(crate) struct GeneratedCode {
    pub(crate) generator: Generator,
    pub(crate) out: PathBuf,
}

#[derive(Debug)]
pub(crate) enum Generator {
    /// A back end of this repository.
    Language(&'static str),
    Plugin(Plugin),
}

/// The result of reading a `tce.toml`.
pub(crate) struct LoadedConfig {
    /// The settings that are valid.
    pub(crate) config: ProjectConfig,
    /// The mistakes, in the order of their lines.
    pub(crate) mistakes: Vec<Diagnostic>,
    /// The file, for showing the mistakes.
    pub(crate) sources: SourceMap,
}

impl ProjectConfig {
    /// Reads `given`, or the `tce.toml` of the working folder or the nearest folder above.
    /// Mistakes are shown all at once and are a usage error.
    pub(crate) fn load(given: Option<&Path>, console: &mut Console) -> Result<Self, CommandError> {
        let found = match given {
            Some(path) => Some(path.to_owned()),
            None => find_upwards(Path::new(""), FILE_NAME),
        };
        let Some(path) = found else {
            return Ok(Self::default());
        };
        let loaded = Self::read(&path);
        if loaded.mistakes.is_empty() {
            return Ok(loaded.config);
        }
        console.show(&loaded.mistakes, &loaded.sources)?;
        Err(CommandError::Usage)
    }

    /// The `tce.toml` that applies to a file: in its folder, or in the nearest folder above.
    pub(crate) fn find(file: &Path) -> Option<PathBuf> {
        let folder = file.parent().unwrap_or(Path::new(""));
        find_upwards(folder, FILE_NAME)
    }

    /// Reads a settings file. Paths in it are relative to its folder.
    pub(crate) fn read(path: &Path) -> LoadedConfig {
        let mut sources = SourceMap::default();
        let mut mistakes = Vec::new();
        let config = match read_text(path) {
            Ok(text) => {
                let file = sources.add(path.to_owned(), text);
                let folder = path.parent().unwrap_or(Path::new(""));
                parse(file, sources.get(file).text(), folder, &mut mistakes)
            }
            Err(why) => {
                let message = format!("can't read `{}`: {why}", path.display());
                mistakes.push(Diagnostic::new(Code::SettingsSyntax, message));
                Self::default()
            }
        };
        // The parser sorts tables by key.
        mistakes.sort_by_key(|mistake| mistake.primary.as_ref().map(|label| label.span));
        LoadedConfig {
            config,
            mistakes,
            sources,
        }
    }
}

/// The text of a file without its byte-order mark, or why it can't be read.
fn read_text(path: &Path) -> Result<String, String> {
    let bytes = FileSystem.read(path).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let bare = text.strip_prefix('\u{feff}').map(str::to_owned);
    Ok(bare.unwrap_or(text))
}

fn parse(file: FileId, text: &str, folder: &Path, mistakes: &mut Vec<Diagnostic>) -> ProjectConfig {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut parser = ConfigParser {
        file,
        folder,
        mistakes,
        config: ProjectConfig::default(),
        leveled: Vec::new(),
    };
    for error in errors {
        let range = error.span().unwrap_or_default();
        parser.mistake(Code::SettingsSyntax, error.message().to_owned(), range);
    }
    parser.sections(table.get_ref());
    parser.config
}

/// Turns TOML tables into a [`ProjectConfig`], and collects every mistake.
struct ConfigParser<'a> {
    file: FileId,
    folder: &'a Path,
    mistakes: &'a mut Vec<Diagnostic>,
    config: ProjectConfig,
    /// Rules whose level is set already.
    leveled: Vec<Code>,
}

impl ConfigParser<'_> {
    fn sections(&mut self, sections: &DeTable<'_>) {
        for (key, value) in sections {
            match key.get_ref().as_ref() {
                "idl" => self.section(key, value, Self::idl),
                "generate" => self.generate(value),
                "compile" => self.section(key, value, Self::compile),
                "lint" => self.section(key, value, Self::lint),
                "rust" => self.section(key, value, Self::rust),
                "python" => self.section(key, value, Self::python),
                "typescript" => self.section(key, value, Self::typescript),
                _ => self.unknown(
                    "section",
                    key,
                    &[
                        "idl",
                        "generate",
                        "compile",
                        "lint",
                        "rust",
                        "python",
                        "typescript",
                    ],
                ),
            }
        }
    }

    /// Calls `read` with each setting of a section.
    fn section<'v>(
        &mut self,
        key: &Spanned<impl AsRef<str>>,
        value: &'v Spanned<DeValue<'v>>,
        read: fn(&mut Self, &Spanned<&str>, &Spanned<DeValue<'v>>),
    ) {
        let DeValue::Table(settings) = value.get_ref() else {
            let name = key.get_ref().as_ref();
            let message = format!(
                "`{name}` is a section: write `[{name}]`, and its settings on the lines below"
            );
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

    fn idl(&mut self, key: &Spanned<&str>, value: &Spanned<DeValue<'_>>) {
        match *key.get_ref() {
            "sources" => self.config.sources = self.paths(value),
            _ => self.unknown("setting of [idl]", key, &["sources"]),
        }
    }

    fn generate(&mut self, value: &Spanned<DeValue<'_>>) {
        let tables = match value.get_ref() {
            DeValue::Array(tables) => &tables[..],
            _ => &[],
        };
        if tables.is_empty() {
            let message = "each output has a section of its own: write `[[generate]]`, and `lang` \
                           and `out` on the lines below";
            return self.mistake(Code::SettingValue, message.to_owned(), value.span());
        }
        for table in tables {
            let DeValue::Table(settings) = table.get_ref() else {
                let message = "an output is a table: `[[generate]]`".to_owned();
                self.mistake(Code::SettingValue, message, table.span());
                continue;
            };
            self.output(settings, table.span());
        }
    }

    /// One `[[generate]]`.
    fn output(&mut self, settings: &DeTable<'_>, range: Range<usize>) {
        let (mut generators, mut out) = (Vec::new(), None);
        let mistakes = self.mistakes.len();
        for (key, value) in settings {
            match key.get_ref().as_ref() {
                "lang" => generators.extend(self.language(value).map(Generator::Language)),
                "plugin" => generators.extend(self.plugin(value).map(Generator::Plugin)),
                "out" => {
                    let written = self.string(value);
                    out = written.map(|path| self.folder.join(path.get_ref()));
                    continue;
                }
                _ => self.unknown("setting of [[generate]]", key, &["lang", "plugin", "out"]),
            }
            if generators.len() > 1 {
                let message =
                    "`lang` and `plugin` exclude each other: write a `[[generate]]` for each";
                self.mistake(Code::SettingValue, message.to_owned(), key.span());
            }
        }
        let message = match (generators.pop(), out) {
            (Some(generator), Some(out)) => {
                return self.config.generate.push(GeneratedCode { generator, out });
            }
            // What is missing may be what is wrong.
            _ if self.mistakes.len() > mistakes => return,
            (None, _) => "`lang = \"rust\"` or `plugin = \"NAME\"` is missing",
            (_, None) => "`out = \"FOLDER\"` is missing",
        };
        self.mistake(Code::SettingValue, message.to_owned(), range);
    }

    /// A language of the back ends of this repository.
    fn language(&mut self, value: &Spanned<DeValue<'_>>) -> Option<&'static str> {
        let written = self.string(value)?;
        let known: Vec<&str> = tce_codegen::languages().collect();
        let found = tce_codegen::languages().find(|it| it == written.get_ref());
        if found.is_none() {
            self.unknown("language", &written, &known);
        }
        found
    }

    /// A plugin; a path is relative to the folder of the settings.
    fn plugin(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Plugin> {
        let written = self.string(value)?;
        let text = *written.get_ref();
        let path = self.folder.join(text);
        let is_path = text.contains(std::path::is_separator);
        let named = match path.to_str() {
            Some(path) if is_path => path.parse(),
            _ => text.parse(),
        };
        named
            .inspect_err(|why: &String| self.mistake(Code::SettingValue, why.clone(), value.span()))
            .ok()
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

    fn rust(&mut self, key: &Spanned<&str>, value: &Spanned<DeValue<'_>>) {
        match *key.get_ref() {
            "runtime" => {
                if let Some(path) = self.string(value) {
                    self.rust_option(path.span(), |rust| rust.runtime(*path.get_ref()));
                }
            }
            "map-type" => {
                let choice = self.choice("map type", value, MapType::ALL, MapType::name);
                if let Some((map_type, range)) = choice {
                    self.rust_option(range, |rust| rust.map_type(map_type));
                }
            }
            "clients" => {
                if let Some(has_clients) = self.boolean(value) {
                    self.rust_option(value.span(), |rust| rust.clients(has_clients));
                }
            }
            "multi-calls" => {
                if let Some(has_multi_calls) = self.boolean(value) {
                    self.rust_option(value.span(), |rust| rust.multi_calls(has_multi_calls));
                }
            }
            "tasks" => {
                if let Some(has_tasks) = self.boolean(value) {
                    self.rust_option(value.span(), |rust| rust.tasks(has_tasks));
                }
            }
            "type-attributes" => self.attributes(value, RustOptions::type_attribute),
            "field-attributes" => self.attributes(value, RustOptions::field_attribute),
            _ => self.unknown(
                "setting of [rust]",
                key,
                &[
                    "runtime",
                    "map-type",
                    "clients",
                    "multi-calls",
                    "tasks",
                    "type-attributes",
                    "field-attributes",
                ],
            ),
        }
    }

    fn python(&mut self, key: &Spanned<&str>, value: &Spanned<DeValue<'_>>) {
        match *key.get_ref() {
            "runtime" => {
                if let Some(package) = self.string(value) {
                    self.python_option(package.span(), |python| python.runtime(*package.get_ref()));
                }
            }
            "api" => {
                let choice = self.choice("api", value, PythonApi::ALL, PythonApi::name);
                if let Some((api, range)) = choice {
                    self.python_option(range, |python| python.api(api));
                }
            }
            "tasks" => {
                if let Some(has_tasks) = self.boolean(value) {
                    self.python_option(value.span(), |python| python.tasks(has_tasks));
                }
            }
            "multi-calls" => {
                if let Some(has_multi_calls) = self.boolean(value) {
                    self.python_option(value.span(), |it| it.multi_calls(has_multi_calls));
                }
            }
            _ => self.unknown(
                "setting of [python]",
                key,
                &["runtime", "api", "tasks", "multi-calls"],
            ),
        }
    }

    fn typescript(&mut self, key: &Spanned<&str>, value: &Spanned<DeValue<'_>>) {
        match *key.get_ref() {
            "runtime" => {
                if let Some(package) = self.string(value) {
                    let options = TypeScriptOptions::default().runtime(*package.get_ref());
                    match options.validate() {
                        Ok(()) => self.config.codegen.typescript = options,
                        Err(error) => {
                            self.mistake(Code::SettingValue, error.to_string(), package.span());
                        }
                    }
                }
            }
            _ => self.unknown("setting of [typescript]", key, &["runtime"]),
        }
    }

    /// The one of `all` that a string names, and where.
    fn choice<T: Copy>(
        &mut self,
        what: &str,
        value: &Spanned<DeValue<'_>>,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Option<(T, Range<usize>)> {
        let written = self.string(value)?;
        let found = all.iter().find(|it| name(**it) == *written.get_ref());
        if found.is_none() {
            let known: Vec<&str> = all.iter().map(|it| name(*it)).collect();
            self.unknown(what, &written, &known);
        }
        Some((*found?, written.span()))
    }

    /// Adds the attributes of a table: a path and one attribute, or a list of them, on each line.
    fn attributes(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        add: fn(RustOptions, String, String) -> RustOptions,
    ) {
        let DeValue::Table(rules) = value.get_ref() else {
            let message = "this setting must be a table: `{ \"path\" = \"#[…]\" }`".to_owned();
            return self.mistake(Code::SettingValue, message, value.span());
        };
        for (path, value) in rules {
            let attributes = match value.get_ref() {
                DeValue::Array(_) => self.strings(value),
                _ => self.string(value).into_iter().collect(),
            };
            for attribute in attributes {
                let (path, text) = (path.get_ref().as_ref(), *attribute.get_ref());
                self.rust_option(attribute.span(), |rust| {
                    add(rust, path.to_owned(), text.to_owned())
                });
            }
        }
    }

    fn rust_option(&mut self, range: Range<usize>, set: impl FnOnce(RustOptions) -> RustOptions) {
        let rust = set(self.config.codegen.rust.clone());
        match rust.validate() {
            Ok(()) => self.config.codegen.rust = rust,
            Err(error) => self.mistake(Code::SettingValue, error.to_string(), range),
        }
    }

    fn python_option(
        &mut self,
        range: Range<usize>,
        set: impl FnOnce(PythonOptions) -> PythonOptions,
    ) {
        let python = set(self.config.codegen.python.clone());
        match python.validate() {
            Ok(()) => self.config.codegen.python = python,
            Err(error) => self.mistake(Code::SettingValue, error.to_string(), range),
        }
    }

    /// Sets each rule of a list to a level.
    fn levels(&mut self, value: &Spanned<DeValue<'_>>, level: Level) {
        for name in self.strings(value) {
            let Some(code) = lint::Settings::find(name.get_ref()) else {
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

    /// The strings of a list, each with its span.
    fn strings<'v>(&mut self, value: &'v Spanned<DeValue<'_>>) -> Vec<Spanned<&'v str>> {
        let DeValue::Array(values) = value.get_ref() else {
            let message = "this setting must be a list of strings: `[\"…\"]`".to_owned();
            self.mistake(Code::SettingValue, message, value.span());
            return Vec::new();
        };
        values
            .iter()
            .filter_map(|value| self.string(value))
            .collect()
    }

    /// A string with its span.
    fn string<'v>(&mut self, value: &'v Spanned<DeValue<'_>>) -> Option<Spanned<&'v str>> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(Spanned::new(value.span(), text.as_ref()));
        }
        let message = "this value must be a string in quotes".to_owned();
        self.mistake(Code::SettingValue, message, value.span());
        None
    }

    fn boolean(&mut self, value: &Spanned<DeValue<'_>>) -> Option<bool> {
        if let DeValue::Boolean(written) = value.get_ref() {
            return Some(*written);
        }
        let message = "this value must be `true` or `false`".to_owned();
        self.mistake(Code::SettingValue, message, value.span());
        None
    }

    /// Reports a name that is not one of `known`.
    fn unknown(&mut self, what: &str, name: &Spanned<impl AsRef<str>>, known: &[&str]) {
        let written = name.get_ref().as_ref();
        let message = format!("there is no {what} called `{written}`");
        let span = self.span(name.span());
        let diagnostic = Diagnostic::new(Code::UnknownSetting, message).at(span, "");
        self.mistakes.push(match nearest(written, known) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None if known.len() > 10 => diagnostic.help("`tce lint --list` shows all rules"),
            None => diagnostic.help(format!("expected one of `{}`", known.join("`, `"))),
        });
    }

    fn mistake(&mut self, code: Code, message: String, range: Range<usize>) {
        let span = self.span(range);
        self.mistakes
            .push(Diagnostic::new(code, message).at(span, ""));
    }

    fn span(&self, range: Range<usize>) -> Span {
        let byte = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Span {
            file: self.file,
            start: byte(range.start),
            end: byte(range.end),
        }
    }
}
