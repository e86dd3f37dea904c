//! Diagnostics as text: for people, and for editors and CI.

mod human;
mod json;

pub use human::human;
pub use json::json;
