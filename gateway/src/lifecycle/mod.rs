//! A gateway from its configuration to its end.

pub(crate) mod error;
mod live;
pub(crate) mod running;

pub(crate) mod gateway;
