//! `tce compile`: generates source code from IDL files.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::builder::PossibleValuesParser;
use tce_codegen::{GeneratedFile, StaleFile, Staleness};
use tce_idl::model::Model;

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
  tce compile -i test.idl -o src/gen --check     for CI: is the code up to date?

One file is written per IDL module and language. A file that is up to date is not written again.

Exit status: 0 the code is written or up to date, 1 the IDL has errors or, with
--check, the code is stale, 2 the command line or a tce.toml is wrong.")]
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

    /// Language of the generated code, or several separated by commas
    #[arg(
        short,
        long,
        default_value = DEFAULT_LANGUAGE,
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(tce_codegen::languages())
    )]
    lang: Vec<String>,

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
    let generated = generate(model, &args.lang, &config.codegen);
    let stale = generated.and_then(|files| {
        let stale = tce_codegen::check(&files, &args.out)?;
        Ok((files, stale))
    });
    Ok(match stale {
        Ok((_, stale)) if args.check => report(args, &stale, console)?,
        Ok((files, stale)) => write(args, &files, &stale, console)?,
        Err(error) => console.fail(error)?,
    })
}

/// The files of all languages.
fn generate(
    model: &Model,
    languages: &[String],
    options: &tce_codegen::Options,
) -> Result<Vec<GeneratedFile>, tce_codegen::Error> {
    let mut files = Vec::new();
    for (at, language) in languages.iter().enumerate() {
        if !languages[..at].contains(language) {
            files.extend(tce_codegen::generate(model, language, options)?);
        }
    }
    Ok(files)
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
    if args.lang != [DEFAULT_LANGUAGE] {
        add("--lang", Path::new(&args.lang.join(",")));
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
