//! Clients that wait for a change of a record.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// By the id of the task. Entries of clients that have gone are removed when the map would grow.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<HashMap<u128, Weak<Notify>>>);

impl Readers {
    /// A notification of the changes of one record.
    pub(crate) fn watch(&self, id: u128) -> Arc<Notify> {
        let mut readers = self.0.lock();
        if let Some(reader) = readers.get(&id).and_then(Weak::upgrade) {
            return reader;
        }
        if readers.len() == readers.capacity() {
            readers.retain(|_, reader| reader.strong_count() > 0);
        }
        let reader = Arc::new(Notify::new());
        readers.insert(id, Arc::downgrade(&reader));
        reader
    }

    /// The record has changed.
    pub(crate) fn notify(&self, id: u128) {
        let mut readers = self.0.lock();
        match readers.get(&id).map(Weak::upgrade) {
            Some(Some(reader)) => reader.notify_waiters(),
            Some(None) => {
                readers.remove(&id);
            }
            None => {}
        }
    }
}
