//! The shapes of load.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How many connections, and how much is under way on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// One connection, one call in flight: latency
    Single,
    /// One connection, 64 calls in flight: what gathering gains
    Pipelined,
    /// 64 connections, 16 calls in flight on each: a server's day
    Fan,
    /// One connection, oneway messages as fast as they leave, counted where they arrive
    Oneway,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::Single, Self::Pipelined, Self::Fan, Self::Oneway];

    pub(crate) const fn connections(self) -> usize {
        match self {
            Self::Fan => 64,
            Self::Single | Self::Pipelined | Self::Oneway => 1,
        }
    }

    /// Calls under way at once on each connection.
    pub(crate) const fn in_flight(self) -> usize {
        match self {
            Self::Pipelined => 64,
            Self::Fan => 16,
            Self::Single | Self::Oneway => 1,
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Single => "one connection, one call in flight",
            Self::Pipelined => "one connection, 64 calls in flight",
            Self::Fan => "64 connections, 16 calls in flight on each",
            Self::Oneway => "oneway, one connection, as received by the server",
        }
    }

    /// What a reader of the numbers has to know about the floor.
    pub(crate) const fn footnote(self) -> &'static str {
        match self {
            Self::Single => "raw writes one frame and reads it back.",
            Self::Pipelined | Self::Fan => {
                "raw goes in lockstep: it writes the frames of all calls in flight in one write and \
                 reads all of them back before the next; its latency is that of a whole batch."
            }
            Self::Oneway => {
                "raw writes frames through a buffer of 64 KiB; tonic and tarpc have no oneway."
            }
        }
    }
}

/// One thing to measure: a shape of load with a size of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) shape: Shape,
    /// Bytes of text in a call.
    pub(crate) payload: usize,
}
