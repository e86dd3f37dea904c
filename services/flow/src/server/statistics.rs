//! What the server counts.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tce_runtime::Fault;
use tce_runtime::interceptor::{Answer, ServerCall, ServerInterceptor, ServerNext};

/// Calls by operation.
#[derive(Debug, Default)]
pub(crate) struct Statistics(Mutex<BTreeMap<String, u64>>);

impl Statistics {
    /// Counts by operation, sorted by name.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().clone()
    }

    pub(super) fn reset(&self) {
        self.0.lock().clear();
    }
}

/// Counts the calls of an adapter.
pub(super) struct CountCalls(pub(super) std::sync::Arc<Statistics>);

impl ServerInterceptor for CountCalls {
    async fn call(&self, call: ServerCall, next: ServerNext<'_>) -> Result<Answer, Fault> {
        // Only operations that are there are counted: a peer can name any number of others.
        if let Some(operation) = call.operation() {
            let mut counts = self.0.0.lock();
            match counts.get_mut(operation.name()) {
                Some(count) => *count += 1,
                None => drop(counts.insert(operation.name().to_owned(), 1)),
            }
        }
        next.run(call).await
    }
}
