//! The features of the server, one a file: from the parameters of a request to its result.

pub(crate) mod diagnostics;
pub(crate) mod actions;
mod lexer;
pub(crate) mod folding;
pub(crate) mod format;
pub(crate) mod hover;
pub(crate) mod completion;
pub(crate) mod references;
pub(crate) mod rename;
pub(crate) mod outline;
pub(crate) mod workspace_symbols;
pub(crate) mod inlay_hints;
pub(crate) mod semantic_tokens;
