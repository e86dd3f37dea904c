//! What users of the work frame rely on.

mod common;
mod configuration;
mod interface;
mod services;
