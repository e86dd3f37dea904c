//! `tce-flow check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tce_flow::def::{parse, render};

use super::Outcome;

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Definitions
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    pub(crate) fn run(self) -> Outcome {
        let mut has_errors = false;
        for file in self.files {
            let name = file.display().to_string();
            let text =
                std::fs::read_to_string(&file).map_err(|error| format!("{name}: {error}"))?;
            let parsed = parse(&text);
            print!("{}", render(&parsed.diagnostics, &name, &text));
            has_errors |= parsed.has_errors();
        }
        Ok(if has_errors {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}
