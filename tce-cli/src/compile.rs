//! `tce compile`: generates source code from IDL files.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::builder::PossibleValuesParser;
use tce_codegen::{GeneratedFile, StaleFile, Staleness};
use tce_idl::{describe::Description, model::Model};

use crate::{
    config::{Generator, ProjectConfig},
    console::{CommandError, Console},
    idl::{self, IdlArgs},
    plugin::{Plugin, PluginError},
};

const DEFAULT_LANGUAGE: &str = "rust";

/// Generate source code from IDL files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce compile test.idl -o src/gen
  tce compile orders.idl users.idl -I common -o src/gen
  tce compile idl -o gen --lang rust,python      all .idl files in a folder and its subfolders
  tce compile test.idl -o gen --plugin go        by the program tce-gen-go
  tce compile test.idl -o src/gen --check        for CI: is the code up to date?
  tce compile                                    what a tce.toml says:

  [idl]
  sources = [\"idl\"]

  [[generate]]
  lang = \"rust\"                                  # or plugin = \"go\"
  out = \"src/gen\"

One file is written per IDL module and language. A file that is up to date is not written again.

Exit status: 0 the code is written or up to date, 1 the IDL has errors, a plugin fails or,
with --check, the code is stale, 2 the command line or a tce.toml is wrong.")]
pub(crate) struct Args {
    /// IDL files, and folders of them [default: the sources of tce.toml]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The same, for scripts; several are separated by commas
    #[arg(short, long, value_delimiter = ',', value_name = "FILE")]
    input: Vec<PathBuf>,

    /// Folder to write to; created if missing [default: this folder, or what tce.toml says]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Language of the generated code, or several separated by commas [default: rust, without
    /// --plugin, or what tce.toml says]
    #[arg(
        short,
        long,
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(tce_codegen::languages())
    )]
    lang: Vec<String>,

    /// Program tce-gen-NAME that generates code for another language, or its path; can be repeated
    ///
    /// It reads the JSON of `tce describe --format json` on standard input, and prints the files as
    /// JSON: {"files": [{"path": "shop.go", "contents": "…"}]}
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    plugin: Vec<Plugin>,

    /// How long a plugin may run
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60s",
        value_parser = humantime::parse_duration
    )]
    plugin_timeout: Duration,

    /// Add a client to each interface that sends its operations as tasks, such as MathTasks
    #[arg(long)]
    tasks: bool,

    /// Write nothing; fail if the code in the folder is stale
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    idl: IdlArgs,
}

/// What is written to one folder.
#[derive(Debug, Default)]
struct Output {
    folder: PathBuf,
    languages: Vec<String>,
    plugins: Vec<Plugin>,
}

/// The files of an output, and which of them are stale.
struct CheckedOutput {
    folder: PathBuf,
    files: Vec<GeneratedFile>,
    stale: Vec<StaleFile>,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let config = args.idl.config(console)?;
    let given = [args.files.as_slice(), &args.input].concat();
    let files = idl::files(&given, &config, console)?;
    let compilation = args.idl.compile(&config, &files, console)?;
    let Some(model) = &compilation.model else {
        idl::summarize(&files, &compilation, console)?;
        return Ok(ExitCode::FAILURE);
    };
    let mut options = config.codegen.clone();
    if args.tasks {
        options.rust = options.rust.tasks(true);
        options.python = options.python.tasks(true);
    }
    // Nothing is written before all back ends and plugins have succeeded.
    let mut checked = Vec::new();
    for output in args.outputs(&config) {
        if args.tasks
            && let Some(language) = output.language_without_tasks()
        {
            let message = format!("--tasks: there are no clients of tasks for {language}");
            return Err(console.usage_error(message));
        }
        let files = match args.generate(&output, model, &options) {
            Ok(files) => files,
            Err(GenerateError::Plugin(error)) if error.is_usage() => {
                return Err(console.usage_error(error));
            }
            Err(error) => return Ok(console.fail(error)?),
        };
        match tce_codegen::check(&files, &output.folder) {
            Ok(stale) => checked.push(CheckedOutput {
                folder: output.folder,
                files,
                stale,
            }),
            Err(error) => return Ok(console.fail(error)?),
        }
    }
    Ok(match args.check {
        true => report(args, &checked, console)?,
        false => write(&checked, console)?,
    })
}

/// Why no code is generated.
#[derive(Debug, thiserror::Error)]
enum GenerateError {
    #[error(transparent)]
    BackEnd(#[from] tce_codegen::Error),
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error(
        "both {first} and {second} give the file `{path}`: run tce compile once for each, with \
         another output folder"
    )]
    TwoGivers {
        path: String,
        first: String,
        second: String,
    },
    #[error("{giver} gives the file `{path}` twice: repair it")]
    SamePath { path: String, giver: String },
}

impl Args {
    /// What the command line says or, if it says nothing of it, the settings.
    fn outputs(&self, config: &ProjectConfig) -> Vec<Output> {
        let is_given = self.out.is_some() || !self.lang.is_empty() || !self.plugin.is_empty();
        if is_given || config.generate.is_empty() {
            let mut output = Output {
                folder: self.out.clone().unwrap_or_else(|| ".".into()),
                plugins: self.plugin.clone(),
                ..Output::default()
            };
            self.lang.iter().for_each(|language| output.add(language));
            if self.lang.is_empty() && self.plugin.is_empty() {
                output.add(DEFAULT_LANGUAGE);
            }
            return vec![output];
        }
        let mut outputs: Vec<Output> = Vec::new();
        for code in &config.generate {
            let known = outputs.iter().position(|output| output.folder == code.out);
            let place = known.unwrap_or(outputs.len());
            if known.is_none() {
                outputs.push(Output {
                    folder: code.out.clone(),
                    ..Output::default()
                });
            }
            match &code.generator {
                Generator::Language(language) => outputs[place].add(language),
                Generator::Plugin(plugin) => outputs[place].plugins.push(plugin.clone()),
            }
        }
        outputs
    }

    /// The files of all languages and plugins.
    fn generate(
        &self,
        output: &Output,
        model: &Model,
        options: &tce_codegen::Options,
    ) -> Result<Vec<GeneratedFile>, GenerateError> {
        let mut files = Vec::new();
        let mut givers: BTreeMap<PathBuf, String> = BTreeMap::new();
        let mut add = |giver: &str, given: Vec<GeneratedFile>| {
            for file in given {
                let path = file.path.display().to_string();
                let giver = giver.to_owned();
                match givers.insert(file.path.clone(), giver.clone()) {
                    None => {}
                    Some(first) if first == giver => {
                        return Err(GenerateError::SamePath { path, giver });
                    }
                    Some(first) => {
                        let second = giver;
                        return Err(GenerateError::TwoGivers {
                            path,
                            first,
                            second,
                        });
                    }
                }
                files.push(file);
            }
            Ok(())
        };
        for language in &output.languages {
            let given = tce_codegen::generate(model, language, options)?;
            add(&format!("the back end for {language}"), given)?;
        }
        if !output.plugins.is_empty() {
            let description = Description::of(model).json();
            for plugin in &output.plugins {
                let given = plugin.generate(&description, self.plugin_timeout)?;
                add(&format!("the plugin `{plugin}`"), given)?;
            }
        }
        Ok(files)
    }
}

impl Output {
    /// Adds a language, each once.
    fn add(&mut self, language: &str) {
        if !self.languages.iter().any(|it| it == language) {
            self.languages.push(language.to_owned());
        }
    }

    /// A language whose back end writes no clients of tasks.
    fn language_without_tasks(&self) -> Option<&str> {
        let languages = self.languages.iter().map(String::as_str);
        languages
            .into_iter()
            .find(|it| !["rust", "python"].contains(it))
    }
}

/// Writes the stale files, and prints their paths.
fn write(outputs: &[CheckedOutput], console: &mut Console) -> io::Result<ExitCode> {
    for output in outputs {
        if let Err(error) = tce_codegen::write(&output.files, &output.folder) {
            return console.fail(error);
        }
        // Left-over files may belong to another run that writes to the same folder.
        let written = |stale: &&StaleFile| stale.reason != Staleness::Leftover;
        for file in output.stale.iter().filter(written) {
            let path = output.folder.join(&file.path);
            writeln!(console.out, "wrote {}", path.display())?;
        }
        if !output.stale.iter().any(|file| written(&file)) {
            writeln!(console.out, "{} is up to date", output.folder.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the stale files that `--check` has found, and the commands that update them.
fn report(args: &Args, outputs: &[CheckedOutput], console: &mut Console) -> io::Result<ExitCode> {
    for output in outputs {
        if output.stale.is_empty() {
            writeln!(console.out, "{} is up to date", output.folder.display())?;
        }
        for file in &output.stale {
            let path = output.folder.join(&file.path);
            let reason = match file.reason {
                Staleness::Missing => "is missing",
                Staleness::Different => "differs from the generated code",
                Staleness::Leftover => "is left over: the IDL has no such module",
            };
            writeln!(console.out, "stale: {} {reason}", path.display())?;
        }
    }
    if outputs.iter().all(|output| output.stale.is_empty()) {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(console.out, "\nTo update it:")?;
    for command in update_commands(args, outputs) {
        writeln!(console.out, "  {command}")?;
    }
    Ok(ExitCode::FAILURE)
}

/// The commands that bring the outputs up to date.
fn update_commands(args: &Args, outputs: &[CheckedOutput]) -> Vec<String> {
    let is_leftover = |file: &StaleFile| file.reason == Staleness::Leftover;
    let mut stale = outputs.iter().flat_map(|output| &output.stale);
    let compile = stale.any(|file| !is_leftover(file));
    let mut commands: Vec<String> = compile.then(|| compile_command(args)).into_iter().collect();
    for output in outputs {
        let leftovers = output.stale.iter().filter(|file| is_leftover(file));
        commands.extend(
            leftovers.map(|file| format!("rm {}", quoted(&output.folder.join(&file.path)))),
        );
    }
    commands
}

/// The command line of `args`, without `--check`.
fn compile_command(args: &Args) -> String {
    let mut command = "tce compile".to_owned();
    for path in args.files.iter().chain(&args.input) {
        command.push_str(&format!(" {}", quoted(path)));
    }
    let mut add = |flag: &str, path: &Path| {
        command.push_str(&format!(" {flag} {}", quoted(path)));
    };
    args.out.iter().for_each(|path| add("-o", path));
    args.idl.include.iter().for_each(|path| add("-I", path));
    args.idl
        .index_file
        .iter()
        .for_each(|path| add("--index-file", path));
    args.idl
        .config
        .iter()
        .for_each(|path| add("--config", path));
    if !args.lang.is_empty() && args.lang != [DEFAULT_LANGUAGE] {
        add("--lang", Path::new(&args.lang.join(",")));
    }
    args.plugin
        .iter()
        .for_each(|plugin| add("--plugin", Path::new(&plugin.to_string())));
    if args.tasks {
        command.push_str(" --tasks");
    }
    command
}

/// A path quoted for a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%:=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
