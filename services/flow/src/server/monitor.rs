//! What monitoring asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facts::Facts;
use super::shared::Shared;

/// Reads the numbers of a server that runs.
#[derive(Clone)]
pub struct Monitor(Arc<Shared>);

impl Monitor {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// What the machine says about itself; `None` once the server ends.
    pub(crate) async fn facts(&self) -> Option<Facts> {
        self.0.owner.query(Facts::of).await.ok()
    }

    /// How many connections watch.
    pub(crate) fn watchers(&self) -> usize {
        self.0.watchers.len()
    }

    /// Calls by operation.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.0.statistics.counts()
    }
}
