//! The calls of one client that wait for their RETURN.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    time::Instant,
};

use tce_runtime::wire::Header;

use crate::{metrics::RouteMetrics, upstream::Via};

/// A call that was passed on.
#[derive(Debug)]
pub(crate) struct Call {
    /// As the client sent it: what its RETURN repeats.
    pub(crate) header: Header,
    pub(crate) since: Instant,
    /// By which it leaves, as far as can be told before it has; never of a queue.
    pub(crate) via: Option<Via>,
    pub(crate) meter: Arc<RouteMetrics>,
}

impl Call {
    pub(crate) fn new(
        header: &Header,
        since: Instant,
        via: Option<Via>,
        meter: &Arc<RouteMetrics>,
    ) -> Self {
        Self {
            header: *header,
            since,
            via,
            meter: Arc::clone(meter),
        }
    }

    /// Its RETURN has come.
    pub(crate) fn returned(&self, errcode: u32, at: Instant) {
        self.meter
            .count_return(errcode, at.saturating_duration_since(self.since));
    }
}

/// By the sequence that the gateway gave a call. A client's own may repeat
/// itself, also after another connection of the same user: a late RETURN must
/// not meet another call.
#[derive(Debug, Default)]
pub(crate) struct CallsInFlight(HashMap<u32, Call, BuildHasherDefault<Spread>>);

/// Spreads sequences over the table. Nobody but the gateway chooses those that
/// are entered, so that nobody can have them meet in one place.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 << 8) | u64::from(byte);
        }
    }

    fn write_u32(&mut self, sequence: u32) {
        self.0 = u64::from(sequence);
    }

    /// By the golden ratio (Knuth, "The Art of Computer Programming", 6.4):
    /// numbers that follow each other end far apart.
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl CallsInFlight {
    /// Enters a call. Sequences come round again long after any call's time.
    pub(crate) fn enter(&mut self, sequence: u32, call: Call) {
        self.0.insert(sequence, call);
    }

    /// Says by which other way a call has left.
    pub(crate) fn went(&mut self, sequence: u32, via: Via) {
        if let Some(call) = self.0.get_mut(&sequence) {
            call.via = Some(via);
        }
    }

    pub(crate) fn take(&mut self, sequence: u32) -> Option<Call> {
        let call = self.0.remove(&sequence);
        if self.0.is_empty() && self.0.capacity() > KEEP {
            // One burst's memory is not kept by an idle connection.
            self.0 = HashMap::default();
        }
        call
    }

    pub(crate) fn take_where(&mut self, is_taken: impl Fn(&Call) -> bool) -> Vec<Call> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0
            .extract_if(|_, call| is_taken(call))
            .map(|(_, call)| call)
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The calls that an idle connection keeps room for.
const KEEP: usize = 128;
