//! Diagnostics as text: for people, and for editors and CI.

mod github;
mod human;
mod json;

pub use github::github;
pub use human::human;
pub use json::json;
