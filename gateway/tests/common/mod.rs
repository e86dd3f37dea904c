//! Shared by the test programs: gateways, servers, clients, and a broker.

#![allow(dead_code, reason = "each test program uses its own part of this")]

#[path = "../../../tce-runtime/tests/common/raw.rs"]
pub(crate) mod raw;
#[path = "../../../tce-runtime/tests/common/watching.rs"]
pub(crate) mod watching;

pub(crate) mod client;
pub(crate) mod house;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod scene;
pub(crate) mod seed;
