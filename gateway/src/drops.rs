//! Messages that went nowhere.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::metrics as metric;

/// Counts the messages that went nowhere, by reason. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drops(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Drops {
    pub(crate) fn count(&self, reason: &'static str) {
        metrics::counter!(metric::DROPPED, "reason" => reason).increment(1);
        tracing::debug!(reason, "dropped a message");
        let mut drops = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *drops.entry(reason).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
