//! What the subcommands that read IDL files share: options, files, compilation.

use std::{io, path::PathBuf};

use tce_idl::{Compilation, Options, loader, lock};

use crate::{
    config::ProjectConfig,
    console::{CommandError, Console},
};

/// Options of every subcommand that reads IDL files.
#[derive(Debug, clap::Args)]
pub(crate) struct IdlArgs {
    /// Folder to search for imports, after the folder of the importing file
    #[arg(short = 'I', long = "include", value_name = "DIR")]
    pub(crate) include: Vec<PathBuf>,

    /// File that assigns indices to interfaces (ifx-index-list.txt or .xml)
    #[arg(long, value_name = "FILE")]
    pub(crate) index_file: Vec<PathBuf>,

    /// Settings file [default: tce.toml in this folder or the nearest one above]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl IdlArgs {
    /// Reads the settings file.
    pub(crate) fn config(&self, console: &mut Console) -> Result<ProjectConfig, CommandError> {
        ProjectConfig::load(self.config.as_deref(), console)
    }

    /// The options of the compiler, without a lock. Include folders of the command line come
    /// first; index files of the command line come last, since a later one takes precedence.
    pub(crate) fn options(&self, config: &ProjectConfig) -> Options {
        Options {
            include_dirs: [self.include.as_slice(), &config.include].concat(),
            index_files: [config.index_files.as_slice(), &self.index_file].concat(),
            lock_files: Vec::new(),
        }
    }

    /// The options of the compiler, with the locks that apply to `files`.
    pub(crate) fn locked_options(&self, config: &ProjectConfig, files: &[PathBuf]) -> Options {
        Options {
            lock_files: lock::find(files),
            ..self.options(config)
        }
    }

    /// Compiles the files, checks them against their locks, and shows all diagnostics.
    pub(crate) fn compile(
        &self,
        config: &ProjectConfig,
        files: &[PathBuf],
        console: &mut Console,
    ) -> Result<Compilation, CommandError> {
        let compilation = tce_idl::compile(files, &self.locked_options(config, files));
        console.show(&compilation.diagnostics, &compilation.sources)?;
        Ok(compilation)
    }
}

/// The files and folders that a command reads: those that it is `given`, else the sources of the
/// project. A usage error if there are neither.
pub(crate) fn sources<'a>(
    given: &'a [PathBuf],
    config: &'a ProjectConfig,
    console: &mut Console,
) -> Result<&'a [PathBuf], CommandError> {
    if !given.is_empty() {
        return Ok(given);
    }
    if config.sources.is_empty() {
        let text = "name IDL files or folders, or set `sources = [\"idl\"]` in the section [idl] of \
                    a tce.toml";
        return Err(console.usage_error(text));
    }
    Ok(&config.sources)
}

/// The IDL files of the [`sources`]: each folder is replaced by the `.idl` files in it and below.
/// A folder without any is a usage error.
pub(crate) fn files(
    given: &[PathBuf],
    config: &ProjectConfig,
    console: &mut Console,
) -> Result<Vec<PathBuf>, CommandError> {
    let mut files = Vec::new();
    for path in sources(given, config, console)? {
        let found = loader::idl_files(path);
        if found.is_empty() {
            let folder = path.display();
            return Err(console.usage_error(format!("there is no .idl file in `{folder}`")));
        }
        files.extend(found);
    }
    Ok(files)
}

/// Summarizes the compilation of the `given` files, which include those that could not be read.
pub(crate) fn summarize(
    given: &[PathBuf],
    compilation: &Compilation,
    console: &mut Console,
) -> io::Result<()> {
    let files = compilation.sources.files().len().max(given.len());
    console.summarize(&compilation.diagnostics, files)
}
