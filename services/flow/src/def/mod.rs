//! Definition text to nodes, with diagnostics, and nodes to text; the same for Takler's forms.

mod diagnostic;
mod lexer;
mod attributes;
mod times;
mod statement;
mod parse;
mod references;
mod print;
mod takler_json;
mod takler_tree;

pub use diagnostic::{Code, Diagnostic, MAX_REPORTED, Severity, render};
pub use parse::{MAX_TEXT, Parsed, parse, parse_attribute};
pub use print::{Style, is_quotable, print, print_attributes};
pub use takler_json::{TaklerJsonError, from_takler_json};
pub use takler_tree::{TaklerView, print_takler};
