//! The memory that all connections together hold for their peers.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What each buffer of a connection may hold without being counted, in bytes.
/// Most connections never hold more.
pub(crate) const UNCOUNTED: usize = 64 << 10;
/// The same before a login, when a connection may be anyone's.
pub(crate) const UNCOUNTED_BEFORE_LOGIN: usize = 4 << 10;
/// A buffer may hold a byte for each `FREE_PER_BYTE` that are free, so that one
/// peer gets a ninth of the budget, and some is left for others.
const FREE_PER_BYTE: usize = 8;
/// The part of a budget for connections that have not logged in.
const LOGIN_PART: usize = 32;
const DEFAULT: usize = 1 << 30;

/// A budget of bytes that connections share. It covers what they hold for their
/// peers beyond 64 KiB for each buffer: incomplete and deferred messages, calls
/// that are being served, and messages that wait to be sent. A connection that
/// would exceed its share of what is free is refused the memory: the call fails,
/// or the connection ends.
///
/// Clones are the same budget, so that several communicators can share one.
///
/// ```
/// use tce_runtime::config::{MemoryBudget, Options};
///
/// let memory = MemoryBudget::new(256 << 20);
/// let options = Options { memory: memory.clone(), ..Options::default() };
/// assert_eq!(memory.used(), 0);
/// ```
#[derive(Clone)]
pub struct MemoryBudget(Arc<Budget>);

struct Budget {
    limit: usize,
    used: AtomicUsize,
    before_login: Option<MemoryBudget>,
}

impl MemoryBudget {
    /// A budget of `limit` bytes. Connections that have not logged in, where a
    /// gateway demands it, have a 32nd of it.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let before_login = Self(Arc::new(Budget {
            limit: limit / LOGIN_PART,
            used: AtomicUsize::new(0),
            before_login: None,
        }));
        Self(Arc::new(Budget {
            limit,
            used: AtomicUsize::new(0),
            before_login: Some(before_login),
        }))
    }

    /// The bytes that are counted now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The budget of connections that have not logged in.
    pub(crate) fn before_login(&self) -> &Self {
        self.0.before_login.as_ref().unwrap_or(self)
    }

    /// Whether one buffer may hold this many bytes.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        bytes <= self.0.limit.saturating_sub(self.used()) / FREE_PER_BYTE
    }

    /// The charge of a buffer that holds nothing.
    #[must_use]
    pub fn charge(&self) -> MemoryCharge {
        MemoryCharge {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

impl Default for MemoryBudget {
    /// A budget of 1 GiB.
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("limit", &self.0.limit)
            .field("used", &self.used())
            .finish()
    }
}

/// The bytes that one buffer has taken from a [`MemoryBudget`]; dropping it
/// returns them.
#[derive(Debug)]
pub struct MemoryCharge {
    budget: MemoryBudget,
    bytes: usize,
}

impl MemoryCharge {
    /// Counts what the buffer holds from now on. Returns false, and changes
    /// nothing, if it would exceed the buffer's share.
    pub fn try_set(&mut self, bytes: usize) -> bool {
        let is_admitted = bytes <= self.bytes || self.budget.admits(bytes);
        if is_admitted {
            self.set(bytes);
        }
        is_admitted
    }

    /// Counts what the buffer holds, whatever its share.
    pub(crate) fn set(&mut self, bytes: usize) {
        let used = &self.budget.0.used;
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => drop(used.fetch_add(more, Ordering::Relaxed)),
            None => drop(used.fetch_sub(self.bytes - bytes, Ordering::Relaxed)),
        }
        self.bytes = bytes;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_buffer_gets_a_ninth_and_leaves_memory_for_others() {
        let budget = MemoryBudget::new(900);
        let mut first = budget.charge();
        assert!(!first.try_set(113));
        assert!(first.try_set(100));
        assert!(!first.try_set(101));
        let mut second = budget.charge();
        assert!(second.try_set(100));
        assert!(!second.try_set(101));
        assert_eq!(budget.used(), 200);
        drop(first);
        assert_eq!(budget.used(), 100);
        second.set(0);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_shrinks_is_always_admitted() {
        let budget = MemoryBudget::new(900);
        let mut first = budget.charge();
        first.set(800);
        assert!(!first.try_set(801));
        assert!(first.try_set(700));
        assert_eq!(budget.used(), 700);
    }

    #[test]
    fn connections_before_the_login_have_a_part_of_their_own() {
        let budget = MemoryBudget::new(32 * 90);
        let mut stranger = budget.before_login().charge();
        assert!(stranger.try_set(10));
        assert!(!stranger.try_set(11));
        assert_eq!(budget.used(), 0);
    }
}
