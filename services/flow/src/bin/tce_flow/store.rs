//! `tce-flow store`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use tce_flow::store::check;

use super::Outcome;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Look through a store: every page, snapshot and record
    Check {
        /// The file
        file: PathBuf,
    },
}

impl StoreCommand {
    pub(crate) fn run(self) -> Outcome {
        let Self::Check { file } = self;
        let summary = check(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        for note in &summary.notes {
            println!("{}: {note}", file.display());
        }
        println!(
            "{}: intact up to record {}, from the snapshot after record {}",
            file.display(),
            summary.last,
            summary.snapshot
        );
        Ok(ExitCode::SUCCESS)
    }
}
