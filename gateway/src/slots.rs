//! Numbers for endpoints that stay when the configuration is loaded anew.

use std::sync::{Arc, PoisonError, RwLock};

/// An endpoint, by a number that its name has for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(usize);

/// The names of endpoints, and their numbers.
#[derive(Debug, Default)]
pub(crate) struct Slots(RwLock<Vec<Arc<str>>>);

impl Slots {
    /// The number of a name.
    pub(crate) fn of(&self, name: &str) -> Slot {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().position(|known| **known == *name);
        Slot(known.unwrap_or_else(|| {
            names.push(name.into());
            names.len() - 1
        }))
    }

    /// The name of a number.
    pub(crate) fn name(&self, slot: Slot) -> Arc<str> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.get(slot.0).cloned().unwrap_or_else(|| "?".into())
    }
}
