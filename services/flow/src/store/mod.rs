//! The journal of commands and the snapshots of the state, in a redb file.
//!
//! Each record has its sequence number as key and ends with a checksum, and so does a snapshot. A
//! file is looked through before it is opened for writing: one that is damaged is left as it is.

mod checksum;
mod backend;
mod file;
mod recovery;
mod snapshot;
mod writer;
mod path;

pub use file::StoreError;
pub use path::{check, recover_to};
pub use recovery::Summary;
pub use writer::{Opened, Source, Store};
