//! What operators use: `tce gateway init` and `token`, metrics and what reads them.

#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;

#[cfg(test)]
mod command;
#[cfg(test)]
mod init;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod token;
