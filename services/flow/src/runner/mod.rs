//! The runner of jobs, and its link with the server.

mod link;

pub use link::{JobVariables, NoJobs, Order, Report, Runner, RunnerLink};
