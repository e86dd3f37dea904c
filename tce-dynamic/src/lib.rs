//! Calls without generated code: operations are found by name in models of IDL files,
//! and arguments and results are JSON. `tce call` and workers of tasks use it.
//!
//! A module imports only from the modules before it in this list.

mod json;

mod target;

mod syntax;

mod arguments;

pub use arguments::{ArgumentError, marshal_value, marshal_values, marshal_words};
pub use json::{TypeMismatch, UndecodedBytes, decode, decode_members, encode};
pub use syntax::syntax_error;
pub use target::{
    CallTarget, InterfaceRef, TargetError, find_interface, find_operation, interfaces,
};
