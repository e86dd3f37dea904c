//! How many connections an address has.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts the connections of each address.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    /// The most that an address may have; nothing for any number.
    limit: Option<usize>,
}

/// A connection of an address, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Option<(IpAddr, Places)>);

impl Places {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self {
            taken: Arc::default(),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; none is left where the limit is reached.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Place> {
        let Some(limit) = self.limit else {
            return Some(Place(None));
        };
        let address = address.to_canonical();
        let mut taken = self.lock();
        let count = taken.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place(Some((address, self.clone()))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, places)) = &self.0 else {
            return;
        };
        if let Entry::Occupied(mut count) = places.lock().entry(*address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
