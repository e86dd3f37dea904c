//! `tce lint`: what is right and yet better otherwise.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use tce_idl::{
    diagnostic::{Code, nearest},
    lint::{self, Rule, Settings},
};

use crate::{
    console::{Console, Failure},
    files,
    idl::{self, IdlArgs},
};

/// How wide explanations are, in columns.
const WIDTH: usize = 80;

/// Say what is right in IDL files and yet better otherwise
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce lint test.idl
  tce lint idl                       all .idl files in a folder and those below
  tce lint --list                    the rules, and what they are set to
  tce lint --explain implicit-index

Files are judged together; what they import is read, and not judged. A tce.toml sets
rules to other levels:

  [lint]
  allow = [\"forward-reference\"]      # or warn, or deny
  warn = [\"missing-docs\"]
  languages = [\"python\", \"java\"]     # whose keywords are no good names

In a file, a comment does, before a declaration or behind something on its line:

  // tce-lint: allow(keyword-name)

Exit status: 0 nothing is found, 1 there are findings or errors, 2 the command line
or a tce.toml is wrong.")]
pub(crate) struct Args {
    /// The IDL files, and folders of them
    #[arg(required_unless_present_any = ["list", "explain"], value_name = "FILE")]
    files: Vec<PathBuf>,

    /// List the rules
    #[arg(long, conflicts_with_all = ["files", "explain"])]
    list: bool,

    /// Explain a rule, or any code of a diagnostic
    #[arg(long, conflicts_with = "files", value_name = "RULE")]
    explain: Option<String>,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, Failure> {
    if let Some(name) = &args.explain {
        return explain(name, console);
    }
    let config = args.idl.config(console)?;
    if args.list {
        list(&config.lint, console)?;
        return Ok(ExitCode::SUCCESS);
    }
    let files = files::expand(&args.files, console)?;
    let options = args.idl.locked_options(&config, &files);
    let compilation = tce_idl::lint(&files, &options, &config.lint);
    console.show(&compilation.diagnostics, &compilation.sources)?;
    idl::summarize(&files, &compilation, console)?;
    Ok(if compilation.diagnostics.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints every rule with its level, one a line.
fn list(settings: &Settings, console: &mut Console) -> io::Result<()> {
    for code in lint::switchable() {
        let (id, name, level) = (code.id(), code.name(), settings.level(code).name());
        writeln!(
            console.out,
            "{id}  {name:<20}  {level:<5}  {}",
            code.explanation()
        )?;
    }
    Ok(())
}

/// Prints what a code is about.
fn explain(name: &str, console: &mut Console) -> Result<ExitCode, Failure> {
    let is_named = |code: &&Code| code.name() == name || code.id().eq_ignore_ascii_case(name);
    let Some(code) = Code::ALL.iter().find(is_named) else {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        writeln!(console.err, "error: there is no rule or code `{name}`")?;
        match nearest(name, &names) {
            Some(near) => writeln!(console.err, "did you mean `{near}`?")?,
            None => writeln!(console.err, "`tce lint --list` shows the rules")?,
        }
        return Err(Failure::Misused);
    };
    writeln!(console.out, "{} {}", code.id(), code.name())?;
    write!(console.out, "{}", filled(code.explanation()))?;
    if let Some(rule) = lint::rules().iter().find(|rule| rule.code == *code) {
        rule_text(rule, console)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rule_text(rule: &Rule, console: &mut Console) -> io::Result<()> {
    let (name, level) = (rule.code.name(), rule.level.name());
    write!(console.out, "\n{}", filled(rule.why))?;
    writeln!(
        console.out,
        "\nIt has something to say of:\n\n{}",
        indented(rule.bad)
    )?;
    writeln!(
        console.out,
        "It is content with:\n\n{}",
        indented(rule.good)
    )?;
    writeln!(
        console.out,
        "It is set to `{level}` unless tce.toml says otherwise. To allow one place:\n"
    )?;
    writeln!(console.out, "    // tce-lint: allow({name})")
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("    {line}\n"),
    });
    lines.collect()
}

/// A text in lines of [`WIDTH`] columns.
fn filled(text: &str) -> String {
    let mut filled = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 {
            let fits = column + 1 + width <= WIDTH;
            filled.push(if fits { ' ' } else { '\n' });
            column = if fits { column + 1 } else { 0 };
        }
        filled.push_str(word);
        column += width;
    }
    filled + "\n"
}
