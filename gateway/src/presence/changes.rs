//! The users whose sessions have changed since they were announced.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The maximum number of users who wait. Past it all users are announced anew, which
/// takes no memory meanwhile.
const CAPACITY: usize = 65_536;

/// The users whose sessions have changed, each once. What is announced is their state
/// at that time, so that no order of changes has to be kept.
#[derive(Debug, Default)]
pub(super) struct ChangedUsers {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    users: HashSet<Arc<str>>,
    /// More users have changed than are kept.
    has_overflowed: bool,
}

/// What is to be announced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changes {
    Users(Vec<Arc<str>>),
    All,
}

impl ChangedUsers {
    pub(super) fn add(&self, user: &Arc<str>) {
        {
            let mut waiting = self.waiting.lock();
            if waiting.has_overflowed {
                return;
            }
            waiting.users.insert(Arc::clone(user));
            if waiting.users.len() > CAPACITY {
                waiting.has_overflowed = true;
                waiting.users = HashSet::new();
            }
        }
        self.changed.notify_one();
    }

    /// Forgets all changes: the whole state is announced.
    pub(super) fn clear(&self) {
        *self.waiting.lock() = Waiting::default();
    }

    /// Waits for changes, and takes those of at most `limit` users.
    pub(super) async fn take(&self, limit: usize) -> Changes {
        loop {
            if let Some(changes) = self.try_take(limit) {
                return changes;
            }
            self.changed.notified().await;
        }
    }

    fn try_take(&self, limit: usize) -> Option<Changes> {
        let mut waiting = self.waiting.lock();
        if waiting.has_overflowed {
            *waiting = Waiting::default();
            return Some(Changes::All);
        }
        let taken = waiting.users.extract_if(|_| true).take(limit);
        let taken: Vec<_> = taken.collect();
        (!taken.is_empty()).then_some(Changes::Users(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> Arc<str> {
        format!("user{number}").into()
    }

    #[test]
    fn a_user_who_changes_twice_is_announced_once() {
        let changed = ChangedUsers::default();
        assert_eq!(changed.try_take(8), None);
        changed.add(&user(1));
        changed.add(&user(1));
        assert_eq!(changed.try_take(8), Some(Changes::Users(vec![user(1)])));
        assert_eq!(changed.try_take(8), None);
    }

    #[test]
    fn a_batch_leaves_the_rest() {
        let changed = ChangedUsers::default();
        (0..5).for_each(|number| changed.add(&user(number)));
        let mut taken = Vec::new();
        while let Some(Changes::Users(users)) = changed.try_take(2) {
            assert!(users.len() <= 2);
            taken.extend(users);
        }
        taken.sort();
        assert_eq!(taken, (0..5).map(user).collect::<Vec<_>>());
    }

    #[test]
    fn past_the_capacity_all_users_are_announced() {
        let changed = ChangedUsers::default();
        (0..2 * CAPACITY).for_each(|number| changed.add(&user(number)));
        assert!(changed.waiting.lock().users.is_empty());
        assert_eq!(changed.try_take(8), Some(Changes::All));
        assert_eq!(changed.try_take(8), None);
    }
}
