//! `tce-flow token`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rustix::rand::{GetRandomFlags, getrandom};
use tce_flow::access::TokenFile;

use super::Outcome;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and print it: it can't be shown again
    Add {
        /// Whose it is
        user: String,
        /// It is for reading alone
        #[arg(long)]
        read: bool,
        /// It is for this suite alone; may be given several times
        #[arg(long, value_name = "SUITE")]
        suite: Vec<String>,
        #[command(flatten)]
        file: Place,
    },
    /// List the tokens: user, rights, suites
    List {
        #[command(flatten)]
        file: Place,
    },
    /// Make all tokens of a user useless, within a second
    Revoke {
        /// Whose they are
        user: String,
        #[command(flatten)]
        file: Place,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Where the tokens are kept
    #[arg(long, value_name = "FILE", default_value = "tce-flow.tokens")]
    tokens: PathBuf,
}

impl TokenCommand {
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Add {
                user,
                read,
                suite,
                file,
            } => {
                let mut random = [0; 32];
                if getrandom(&mut random, GetRandomFlags::empty())? != random.len() {
                    return Err("the system gives no random numbers".into());
                }
                let token = TokenFile::new(file.tokens).add(&user, read, suite, random)?;
                println!("{token}");
            }
            Self::List { file } => {
                for entry in TokenFile::new(file.tokens).read()? {
                    let rights = if entry.read { "read" } else { "read, write" };
                    let suites = if entry.suites.is_empty() {
                        "all suites".to_owned()
                    } else {
                        entry.suites.join(", ")
                    };
                    println!("{}: {rights}; {suites}", entry.user);
                }
            }
            Self::Revoke { user, file } => {
                let count = TokenFile::new(file.tokens).revoke(&user)?;
                println!("{count} of {user} revoked");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
