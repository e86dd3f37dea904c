//! Changes of nodes, for those who watch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::machine::Change;
use crate::tree::NodeId;

/// The changes that are kept for those who ask from an earlier version on, and the most nodes that
/// wait for one watcher.
pub(super) const MAX_CHANGES: usize = 10_000;
/// The most connections that watch.
pub(super) const MAX_WATCHERS: usize = 64;

/// All that watch, and the last changes.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Shared>);

#[derive(Debug, Default)]
struct Shared {
    history: VecDeque<Change>,
    /// By the peer of the connection.
    watchers: BTreeMap<String, Arc<Watcher>>,
}

/// One that watches: the changes that it has not been told.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    pending: Mutex<Pending>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    /// The last change of each node.
    changes: BTreeMap<NodeId, Change>,
    /// The version up to which these are all changes.
    version: u64,
    is_reset: bool,
    is_closed: bool,
}

/// What a watcher is told next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nodes that have changed, in the order of their last changes, and the version of the last.
    Changes(Vec<Change>, u64),
    /// It has to read the tree again.
    Reset(u64),
}

impl Watchers {
    /// Adds a watcher of a connection in place of an earlier one, with the changes since a version;
    /// from now on if that is negative. `None` if too many watch.
    pub(super) fn add(&self, peer: &str, since: i64, version: u64) -> Option<Arc<Watcher>> {
        let mut shared = self.0.lock();
        shared.remove(peer);
        if shared.watchers.len() >= MAX_WATCHERS {
            return None;
        }
        let watcher = Arc::new(Watcher::default());
        watcher.pending.lock().version = version;
        if let Ok(since) = u64::try_from(since) {
            shared.catch_up(&watcher, since, version);
        }
        shared
            .watchers
            .insert(peer.to_owned(), Arc::clone(&watcher));
        Some(watcher)
    }

    /// Ends the watcher of a connection.
    pub(super) fn remove(&self, peer: &str) {
        self.0.lock().remove(peer);
    }

    /// How many watch.
    pub(super) fn len(&self) -> usize {
        self.0.lock().watchers.len()
    }

    /// Tells all of changes.
    pub(super) fn publish(&self, changes: &[Change]) {
        let Some(last) = changes.last() else {
            return;
        };
        let mut shared = self.0.lock();
        shared.history.extend(changes);
        let excess = shared.history.len().saturating_sub(MAX_CHANGES);
        shared.history.drain(..excess);
        for watcher in shared.watchers.values() {
            watcher.add(changes, last.version);
        }
    }

    /// Tells all that the state is another one.
    pub(super) fn reset(&self, version: u64) {
        let mut shared = self.0.lock();
        shared.history.clear();
        for watcher in shared.watchers.values() {
            watcher.reset(version);
        }
    }
}

impl Shared {
    fn remove(&mut self, peer: &str) {
        if let Some(watcher) = self.watchers.remove(peer) {
            watcher.pending.lock().is_closed = true;
            watcher.woken.notify_one();
        }
    }

    /// Gives a new watcher the changes since a version, if they are all kept.
    fn catch_up(&self, watcher: &Watcher, since: u64, version: u64) {
        let first = self
            .history
            .front()
            .map_or(version + 1, |first| first.version);
        if since > version || since + 1 < first {
            watcher.reset(version);
            return;
        }
        let missed: Vec<_> = self
            .history
            .iter()
            .filter(|change| change.version > since)
            .copied()
            .collect();
        watcher.add(&missed, version);
    }
}

impl Watcher {
    fn add(&self, changes: &[Change], version: u64) {
        let mut pending = self.pending.lock();
        pending.version = version;
        if pending.is_reset || changes.is_empty() {
            return;
        }
        let by_node = changes.iter().map(|change| (change.node, *change));
        pending.changes.extend(by_node);
        if pending.changes.len() > MAX_CHANGES {
            pending.changes.clear();
            pending.is_reset = true;
        }
        self.woken.notify_one();
    }

    fn reset(&self, version: u64) {
        let mut pending = self.pending.lock();
        pending.changes.clear();
        pending.is_reset = true;
        pending.version = version;
        self.woken.notify_one();
    }

    /// Waits until there is something to tell.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Takes what there is to tell; `None` once the watcher has ended.
    pub(super) fn take(&self) -> Option<News> {
        let mut pending = self.pending.lock();
        if pending.is_closed {
            return None;
        }
        let version = pending.version;
        let changes = std::mem::take(&mut pending.changes);
        if std::mem::take(&mut pending.is_reset) {
            return Some(News::Reset(version));
        }
        let mut changes: Vec<_> = changes.into_values().collect();
        changes.sort_by_key(|change| change.version);
        Some(News::Changes(changes, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(node: u64, version: u64) -> Change {
        Change {
            node: NodeId::from_number(node),
            version,
            is_gone: false,
        }
    }

    #[test]
    fn a_watcher_is_told_the_last_change_of_each_node_in_order() {
        let watchers = Watchers::default();
        let watcher = watchers.add("a", -1, 3).unwrap();
        watchers.publish(&[change(1, 4), change(2, 5)]);
        watchers.publish(&[change(1, 6)]);
        let expected = vec![change(2, 5), change(1, 6)];
        assert_eq!(watcher.take(), Some(News::Changes(expected, 6)));
        assert_eq!(watcher.take(), Some(News::Changes(Vec::new(), 6)));
    }

    #[test]
    fn who_asks_from_a_kept_version_on_misses_nothing() {
        let watchers = Watchers::default();
        watchers.publish(&[change(1, 1), change(2, 2), change(3, 3)]);
        let watcher = watchers.add("a", 1, 3).unwrap();
        let expected = vec![change(2, 2), change(3, 3)];
        assert_eq!(watcher.take(), Some(News::Changes(expected, 3)));
        let many: Vec<_> = (4..20_000).map(|version| change(1, version)).collect();
        watchers.publish(&many);
        let late = watchers.add("b", 1, 19_999).unwrap();
        assert_eq!(late.take(), Some(News::Reset(19_999)));
        let from_the_future = watchers.add("c", 20_000, 19_999).unwrap();
        assert_eq!(from_the_future.take(), Some(News::Reset(19_999)));
    }

    #[test]
    fn the_queue_of_a_slow_watcher_does_not_grow() {
        let watchers = Watchers::default();
        let watcher = watchers.add("a", -1, 0).unwrap();
        let last = MAX_CHANGES as u64 + 1;
        let changes: Vec<_> = (1..=last).map(|at| change(at, at)).collect();
        watchers.publish(&changes);
        watchers.publish(&[change(1, last + 1)]);
        assert_eq!(watcher.take(), Some(News::Reset(last + 1)));
        watchers.publish(&[change(1, last + 2)]);
        let expected = vec![change(1, last + 2)];
        assert_eq!(watcher.take(), Some(News::Changes(expected, last + 2)));
        watchers.remove("a");
        assert_eq!(watcher.take(), None);
    }

    #[test]
    fn only_so_many_watch() {
        let watchers = Watchers::default();
        for peer in 0..MAX_WATCHERS {
            assert!(watchers.add(&peer.to_string(), -1, 0).is_some());
        }
        assert!(watchers.add("another", -1, 0).is_none());
        assert!(watchers.add("0", -1, 0).is_some());
        assert_eq!(watchers.len(), MAX_WATCHERS);
    }
}
