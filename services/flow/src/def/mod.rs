//! Definition text to nodes, with diagnostics, and nodes to text.

mod diagnostic;
mod lexer;
mod attributes;
mod times;
mod statement;
mod parse;
mod references;
mod print;

pub use diagnostic::{Code, Diagnostic, MAX_REPORTED, Severity, render};
pub use parse::{MAX_TEXT, Parsed, parse, parse_attribute};
pub use print::{Style, is_quotable, print, print_attributes};
