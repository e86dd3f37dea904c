//! `tce lint`: reports style problems.

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
    console::{CommandError, Console, exit_code},
    idl::{self, IdlArgs},
};

/// Line width of explanations, in columns.
const WIDTH: usize = 80;

/// Report style problems in IDL files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce lint test.idl
  tce lint idl                       all .idl files in a folder and its subfolders
  tce lint --list                    all rules with their levels
  tce lint --explain implicit-index

The files are checked together; files that they import are read but not reported on.
A tce.toml sets the levels of rules:

  [lint]
  allow = [\"forward-reference\"]      # or warn, or deny
  warn = [\"missing-docs\"]
  languages = [\"python\", \"java\"]     # report names that are their keywords

In a file, a comment before a declaration, or at the end of its line, allows a rule:

  // tce-lint: allow(keyword-name)

Exit status: 0 no findings, 1 findings or errors, 2 the command line or a tce.toml is
wrong.")]
pub(crate) struct Args {
    /// IDL files, and folders of them [default: the sources of tce.toml]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// List the rules
    #[arg(long, conflicts_with_all = ["files", "explain"])]
    list: bool,

    /// Explain a rule, or the code of any diagnostic
    #[arg(long, conflicts_with = "files", value_name = "RULE")]
    explain: Option<String>,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    if let Some(name) = &args.explain {
        return explain(name, console);
    }
    let config = args.idl.config(console)?;
    if args.list {
        list(&config.lint, console)?;
        return Ok(ExitCode::SUCCESS);
    }
    let files = idl::files(&args.files, &config, console)?;
    let options = args.idl.locked_options(&config, &files);
    let compilation = tce_idl::lint(&files, &options, &config.lint);
    console.show(&compilation.diagnostics, &compilation.sources)?;
    idl::summarize(&files, &compilation, console)?;
    Ok(exit_code(compilation.diagnostics.is_empty()))
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

/// Prints the explanation of a code and, for a lint rule, its examples.
fn explain(name: &str, console: &mut Console) -> Result<ExitCode, CommandError> {
    let is_named = |code: &&Code| code.name() == name || code.id().eq_ignore_ascii_case(name);
    let Some(code) = Code::ALL.iter().find(is_named) else {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        let hint = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`tce lint --list` shows all rules".to_owned(),
        };
        return Err(console.usage_error(format!("there is no rule or code `{name}`: {hint}")));
    };
    writeln!(console.out, "{} {}", code.id(), code.name())?;
    write!(console.out, "{}", filled(code.explanation()))?;
    if let Some(rule) = lint::rules().iter().find(|rule| rule.code == *code) {
        explain_rule(rule, console)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn explain_rule(rule: &Rule, console: &mut Console) -> io::Result<()> {
    let (name, level) = (rule.code.name(), rule.level.name());
    write!(console.out, "\n{}", filled(rule.why))?;
    writeln!(console.out, "\nReported:\n\n{}", indented(rule.bad))?;
    writeln!(console.out, "Accepted:\n\n{}", indented(rule.good))?;
    writeln!(
        console.out,
        "Default level: `{level}`. To allow the rule for one declaration:\n"
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

/// Breaks a text into lines of at most [`WIDTH`] columns.
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
