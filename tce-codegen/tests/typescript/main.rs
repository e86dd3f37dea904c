//! The back end for TypeScript. That the code runs, and that tsc and ESLint accept it, is
//! tested with the runtime, in `runtimes/typescript/test`.

#[cfg(test)]
#[path = "../common/compare.rs"]
mod compare;
#[cfg(test)]
#[path = "../common/features.rs"]
#[expect(
    dead_code,
    reason = "the text of the IDL is for the tests of Rust's names"
)]
mod features;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hidden;
