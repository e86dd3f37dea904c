//! The runner of jobs: files, processes, and their ends.
//!
//! A job runs below a small shell, the wrapper, in a session of its own. The wrapper creates
//! `<job>.pid` exclusively before it runs the job's command, and writes `<job>.exit` afterwards.
//! Both name the job by a hash of its password. So one try starts at most once, and a server that
//! starts again learns what has become of jobs meanwhile.

mod link;
mod files;
mod wrapper;
mod order;
mod job;
mod supervisor;

pub use files::FileLoader;
pub use link::{NoJobs, Order, Report, Reports, Runner, RunnerLink};
pub use supervisor::{JobRunner, RunnerOptions};
