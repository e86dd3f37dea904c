//! What users of the work frame rely on.

mod common;
mod configuration;
mod crontabs;
mod interface;
mod services;
