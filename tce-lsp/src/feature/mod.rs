//! What the server does for editors, one feature a file.

pub(crate) mod actions;
pub(crate) mod completion;
pub(crate) mod definition;
pub(crate) mod diagnostics;
pub(crate) mod format;
pub(crate) mod highlight;
pub(crate) mod hover;
pub(crate) mod outline;
pub(crate) mod references;
pub(crate) mod rename;
pub(crate) mod semantic_tokens;
