//! The histories of clients whose connection is lost.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::history::History;

/// The histories of one user.
pub(super) type UserHistories = SmallVec<[Arc<History>; 1]>;

/// The histories of clients whose connection is lost, by user, each in the order of the
/// losses.
#[derive(Debug, Default)]
pub(super) struct LostHistories {
    by_user: Mutex<HashMap<Arc<str>, UserHistories>>,
    /// The users in the map: often 0, in which case nothing is locked.
    users: AtomicUsize,
}

impl LostHistories {
    pub(super) fn add(&self, history: &Arc<History>) {
        let mut by_user = self.by_user.lock();
        let of_user = by_user.entry(Arc::clone(&history.user)).or_default();
        of_user.push(Arc::clone(history));
        self.users.store(by_user.len(), Ordering::Relaxed);
    }

    /// The users with histories.
    pub(super) fn users(&self) -> Vec<Arc<str>> {
        self.by_user.lock().keys().cloned().collect()
    }

    /// The histories of a user, or of one of the user's devices.
    pub(super) fn of_user(&self, user: &str, device: Option<&str>) -> UserHistories {
        if self.users.load(Ordering::Relaxed) == 0 {
            return UserHistories::new();
        }
        let by_user = self.by_user.lock();
        let histories = by_user.get(user).into_iter().flatten();
        let is_selected =
            |history: &&Arc<History>| device.is_none_or(|device| history.is_of_device(device));
        histories.filter(is_selected).cloned().collect()
    }

    /// Removes the histories of a user that `is_taken` selects.
    pub(super) fn take(
        &self,
        user: &str,
        is_taken: impl Fn(&Arc<History>) -> bool,
    ) -> UserHistories {
        self.change(user, |histories| {
            let (taken, left) = histories.drain(..).partition(|history| is_taken(history));
            *histories = left;
            taken
        })
    }

    /// Removes the oldest histories of a user beyond `count`.
    pub(super) fn take_beyond(&self, user: &str, count: usize) -> UserHistories {
        self.change(user, |histories| {
            let taken = histories.len().saturating_sub(count);
            histories.drain(..taken).collect()
        })
    }

    fn change(
        &self,
        user: &str,
        change: impl FnOnce(&mut UserHistories) -> UserHistories,
    ) -> UserHistories {
        let mut by_user = self.by_user.lock();
        let Some(histories) = by_user.get_mut(user) else {
            return UserHistories::new();
        };
        let taken = change(histories);
        if histories.is_empty() {
            by_user.remove(user);
        }
        self.users.store(by_user.len(), Ordering::Relaxed);
        taken
    }
}
