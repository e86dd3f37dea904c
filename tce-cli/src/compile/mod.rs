//! `tce compile`: generates source code from IDL files.

mod plugin;

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

use plugin::{Plugin, PluginError};

use crate::{
    console::{CommandError, Console},
    idl::{self, IdlArgs},
};

const DEFAULT_LANGUAGE: &str = "rust";

/// Generate source code from IDL files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce compile -i test.idl -o src/gen
  tce compile -i orders.idl,users.idl -I common -o src/gen
  tce compile -i test.idl -o gen --lang rust,python
  tce compile -i test.idl -o gen --plugin go     by the program tce-gen-go
  tce compile -i test.idl -o src/gen --check     for CI: is the code up to date?

One file is written per IDL module and language. A file that is up to date is not written again.

Exit status: 0 the code is written or up to date, 1 the IDL has errors, a plugin fails or,
with --check, the code is stale, 2 the command line or a tce.toml is wrong.")]
pub(crate) struct Args {
    /// IDL file, or several separated by commas; can be repeated
    #[arg(
        short,
        long = "input",
        required = true,
        value_delimiter = ',',
        value_name = "FILE"
    )]
    input: Vec<PathBuf>,

    /// Folder to write to; created if missing
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    out: PathBuf,

    /// Language of the generated code, or several separated by commas [default: rust, without
    /// --plugin]
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
        value_parser = humantime::parse_duration,
        requires = "plugin"
    )]
    plugin_timeout: Duration,

    /// Write nothing; fail if the code in the folder is stale
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let config = args.idl.config(console)?;
    let compilation = args.idl.compile_with(&config, &args.input, console)?;
    let Some(model) = &compilation.model else {
        idl::summarize(&args.input, &compilation, console)?;
        return Ok(ExitCode::FAILURE);
    };
    let files = match args.generate(model, &config.codegen) {
        Ok(files) => files,
        Err(GenerateError::Plugin(error)) if error.is_usage() => {
            return Err(console.usage_error(error));
        }
        Err(error) => return Ok(console.fail(error)?),
    };
    Ok(match tce_codegen::check(&files, &args.out) {
        Ok(stale) if args.check => report(args, &stale, console)?,
        Ok(stale) => write(args, &files, &stale, console)?,
        Err(error) => console.fail(error)?,
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
    /// The languages of this repository to generate, each once.
    fn languages(&self) -> Vec<&str> {
        if self.lang.is_empty() && self.plugin.is_empty() {
            return vec![DEFAULT_LANGUAGE];
        }
        let mut languages: Vec<&str> = Vec::new();
        for language in &self.lang {
            if !languages.contains(&language.as_str()) {
                languages.push(language);
            }
        }
        languages
    }

    /// The files of all languages and plugins.
    fn generate(
        &self,
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
        for language in self.languages() {
            let given = tce_codegen::generate(model, language, options)?;
            add(&format!("the back end for {language}"), given)?;
        }
        if !self.plugin.is_empty() {
            let description = Description::of(model).json();
            for plugin in &self.plugin {
                let given = plugin.generate(&description, self.plugin_timeout)?;
                add(&format!("the plugin `{plugin}`"), given)?;
            }
        }
        Ok(files)
    }
}

/// Writes the stale files, and prints their paths.
fn write(
    args: &Args,
    files: &[GeneratedFile],
    stale: &[StaleFile],
    console: &mut Console,
) -> io::Result<ExitCode> {
    if let Err(error) = tce_codegen::write(files, &args.out) {
        return console.fail(error);
    }
    // Left-over files may belong to another run that writes to the same folder.
    let written = |stale: &&StaleFile| stale.reason != Staleness::Leftover;
    for file in stale.iter().filter(written) {
        writeln!(console.out, "wrote {}", args.out.join(&file.path).display())?;
    }
    if !stale.iter().any(|file| written(&file)) {
        writeln!(console.out, "{} is up to date", args.out.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the stale files that `--check` has found, and the commands that update them.
fn report(args: &Args, stale: &[StaleFile], console: &mut Console) -> io::Result<ExitCode> {
    if stale.is_empty() {
        writeln!(console.out, "{} is up to date", args.out.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    for file in stale {
        let path = args.out.join(&file.path);
        let reason = match file.reason {
            Staleness::Missing => "is missing",
            Staleness::Different => "differs from the generated code",
            Staleness::Leftover => "is left over: the IDL has no such module",
        };
        writeln!(console.out, "stale: {} {reason}", path.display())?;
    }
    writeln!(console.out, "\nTo update it:")?;
    for command in update_commands(args, stale) {
        writeln!(console.out, "  {command}")?;
    }
    Ok(ExitCode::FAILURE)
}

/// The commands that bring the output up to date.
fn update_commands(args: &Args, stale: &[StaleFile]) -> Vec<String> {
    let is_leftover = |file: &&StaleFile| file.reason == Staleness::Leftover;
    let compile = stale
        .iter()
        .any(|file| !is_leftover(&file))
        .then(|| compile_command(args));
    let removals = stale
        .iter()
        .filter(is_leftover)
        .map(|file| format!("rm {}", quoted(&args.out.join(&file.path))));
    compile.into_iter().chain(removals).collect()
}

/// The command line of `args`, without `--check`.
fn compile_command(args: &Args) -> String {
    let mut command = "tce compile".to_owned();
    let mut add = |flag: &str, path: &Path| {
        command.push_str(&format!(" {flag} {}", quoted(path)));
    };
    args.input.iter().for_each(|path| add("-i", path));
    add("-o", &args.out);
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
