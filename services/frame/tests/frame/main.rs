//! What users of the work frame rely on.

mod configuration;
mod interface;
