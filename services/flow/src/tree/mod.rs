//! The tree of suites, families and tasks, in an arena.

mod arena;
mod definition;
mod path;
mod variables;
mod environment;

pub use arena::{Container, Content, Job, Kind, Node, NodeId, SuiteRun, Tree};
pub use definition::{Definition, NodeDefinition};
pub use environment::NodeEnvironment;
pub use path::is_name;
pub use variables::{SERVER_VARIABLES, is_clock_variable, is_password};

/// The deepest nesting of nodes below the server: code that visits a tree recurses.
pub const MAX_DEPTH: usize = 100;

/// The most nodes.
pub const MAX_NODES: usize = 1_000_000;
