//! What the test programs share: a server whose operations do what a test
//! wants to see, and peers that write and read bare bytes.

#![allow(dead_code, reason = "each test program uses its own part of this")]

pub(crate) mod probe;
pub(crate) mod raw;
pub(crate) mod watching;
