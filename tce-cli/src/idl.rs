//! What all subcommands that read IDL have in common.

use std::{
    fmt,
    io::{self, Write},
    path::PathBuf,
};

use clap::ValueEnum;
use tce_idl::{
    Compilation, Options,
    diagnostic::{Code, Severity},
    render,
};

use crate::console::Console;

/// Where IDL comes from, and how mistakes in it are shown.
#[derive(Debug, clap::Args)]
pub(crate) struct IdlArgs {
    /// A folder in which imports are looked for, after that of the importing file
    #[arg(short = 'I', long = "include", value_name = "DIR")]
    pub(crate) include: Vec<PathBuf>,

    /// A file that gives interfaces their indices (ifx-index-list.txt or .xml)
    #[arg(long, value_name = "FILE")]
    pub(crate) index_file: Vec<PathBuf>,

    /// How diagnostics are written to standard error
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) error_format: ErrorFormat,
}

/// How diagnostics are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ErrorFormat {
    /// For people
    #[default]
    Text,
    /// For programs: a JSON object on each line
    Json,
}

impl IdlArgs {
    /// Compiles the files and shows every diagnostic.
    pub(crate) fn compile(
        &self,
        files: &[PathBuf],
        console: &mut Console,
    ) -> io::Result<Compilation> {
        let options = Options {
            include_dirs: self.include.clone(),
            index_files: self.index_file.clone(),
        };
        let compilation = tce_idl::compile(files, &options);
        let (diagnostics, sources) = (&compilation.diagnostics, &compilation.sources);
        let text = match self.error_format {
            ErrorFormat::Text => render::human(diagnostics, sources, console.has_color()),
            ErrorFormat::Json => render::json(diagnostics, sources),
        };
        console.err.write_all(text.as_bytes())?;
        Ok(compilation)
    }

    /// Sums the diagnostics up in one line, for people. Of the files that were
    /// `given` some may not even be there.
    pub(crate) fn summarize(
        &self,
        given: &[PathBuf],
        compilation: &Compilation,
        console: &mut Console,
    ) -> io::Result<()> {
        if self.error_format == ErrorFormat::Json {
            return Ok(());
        }
        let count = |severity| {
            let of_severity = compilation.diagnostics.iter().filter(|diagnostic| {
                diagnostic.severity() == severity
                    && !matches!(diagnostic.code, Code::MoreErrors | Code::MoreWarnings)
            });
            of_severity.count()
        };
        let errors = match count(Severity::Error) {
            0 => "no errors".to_owned(),
            some => Count(some, "error").to_string(),
        };
        let warnings = match count(Severity::Warning) {
            0 => String::new(),
            some => format!(" and {}", Count(some, "warning")),
        };
        let files = compilation.sources.files().len().max(given.len());
        let files = Count(files, "file");
        if !compilation.diagnostics.is_empty() {
            writeln!(console.err)?;
        }
        writeln!(console.err, "{errors}{warnings} in {files}")
    }
}

/// A number of things: `1 file`, `2 files`.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}
