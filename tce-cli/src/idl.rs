//! What all subcommands that read IDL have in common.

use std::{io, path::PathBuf};

use tce_idl::{Compilation, Options, lock};

use crate::{
    config::Config,
    console::{Console, Failure},
};

/// Where IDL comes from, beside the files themselves.
#[derive(Debug, clap::Args)]
pub(crate) struct IdlArgs {
    /// A folder in which imports are looked for, after that of the importing file
    #[arg(short = 'I', long = "include", value_name = "DIR")]
    pub(crate) include: Vec<PathBuf>,

    /// A file that gives interfaces their indices (ifx-index-list.txt or .xml)
    #[arg(long, value_name = "FILE")]
    pub(crate) index_file: Vec<PathBuf>,

    /// The settings; without it, a tce.toml in this folder or the nearest one above
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl IdlArgs {
    /// The settings that go with the command line.
    pub(crate) fn config(&self, console: &mut Console) -> Result<Config, Failure> {
        Config::load(self.config.as_deref(), console)
    }

    /// What the compiler is told: include folders of the command line first;
    /// index files of the command line last, since a later one counts more.
    pub(crate) fn options(&self, config: &Config) -> Options {
        Options {
            include_dirs: [self.include.as_slice(), &config.include].concat(),
            index_files: [config.index_files.as_slice(), &self.index_file].concat(),
            lock_files: Vec::new(),
        }
    }

    /// The same, with the lock that the files are held against.
    pub(crate) fn locked_options(&self, config: &Config, files: &[PathBuf]) -> Options {
        Options {
            lock_files: lock::find(files),
            ..self.options(config)
        }
    }

    /// Compiles the files, holds them against their lock, and shows every diagnostic.
    pub(crate) fn compile(
        &self,
        files: &[PathBuf],
        console: &mut Console,
    ) -> Result<Compilation, Failure> {
        let config = self.config(console)?;
        let compilation = tce_idl::compile(files, &self.locked_options(&config, files));
        console.show(&compilation.diagnostics, &compilation.sources)?;
        Ok(compilation)
    }
}

/// Sums up what compiling the `given` files has come to, of which some may not even be there.
pub(crate) fn summarize(
    given: &[PathBuf],
    compilation: &Compilation,
    console: &mut Console,
) -> io::Result<()> {
    let files = compilation.sources.files().len().max(given.len());
    console.summarize(&compilation.diagnostics, files)
}
