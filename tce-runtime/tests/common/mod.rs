//! Shared by the test programs: a server with a probe servant, and peers that
//! write and read raw bytes.

#![allow(dead_code, reason = "each test program uses its own part of this")]

pub(crate) mod probe;
pub(crate) mod raw;
pub(crate) mod watching;
