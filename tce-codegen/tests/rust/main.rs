//! The back end for Rust, from IDL to code that compiles, runs and reads well.

// The attribute tells clippy that the helpers among these are tests too.
#[cfg(test)]
mod build_script;
#[cfg(test)]
#[path = "../common/compare.rs"]
mod compare;
#[cfg(test)]
#[path = "../common/features.rs"]
mod features;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hidden;
#[cfg(test)]
mod lint;
#[cfg(test)]
mod names;
#[cfg(test)]
mod output;
#[cfg(test)]
mod package;
#[cfg(test)]
mod roundtrip;
