//! The back end for Rust, from IDL to code that compiles, runs and reads well.

mod build_script;
mod features;
mod golden;
mod lint;
mod output;
mod package;
mod roundtrip;
