//! The TCE interface definition language.
pub mod model;
