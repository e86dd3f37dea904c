//! What a client remembers of the pushes of a gateway, so that it misses none after a
//! reconnect and handles none twice (`spec/sessions.md`, section Resume).

use parking_lot::Mutex;

use crate::wire::{RawExtra, reserved};

/// How far a client has handled the pushes of its session.
#[derive(Debug, Default)]
pub(crate) struct PushCursor(Mutex<CursorState>);

#[derive(Debug, Default)]
struct CursorState {
    /// The last push that was handled; `None` until a gateway has kept pushes.
    last: Option<PushPosition>,
    /// What the last login has told.
    is_recovered: Option<bool>,
}

/// Where a push stands among those of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PushPosition {
    /// Names the sequence of pushes; offsets of two epochs can't be compared.
    epoch: u64,
    offset: u64,
}

impl PushPosition {
    fn parse(epoch: Option<&str>, offset: Option<&str>) -> Option<Self> {
        Some(Self {
            epoch: u64::from_str_radix(epoch?, 16).ok()?,
            offset: offset?.parse().ok()?,
        })
    }
}

impl PushCursor {
    /// The value of `__resume__` for a login: empty before the first one.
    pub(crate) fn request(&self) -> String {
        let last = self.0.lock().last;
        last.map_or_else(String::new, |PushPosition { epoch, offset }| {
            format!("{epoch:016x}:{offset}")
        })
    }

    /// The gateway has answered a login with this extra. Returns whether nothing was
    /// missed; `None` if no gateway has kept pushes so far.
    ///
    /// Pushes that were read together with the answer may have been handled before it, so
    /// that within an epoch the cursor only advances.
    pub(crate) fn logged_in(&self, answer: RawExtra<'_>) -> Option<bool> {
        let mut state = self.0.lock();
        let (epoch, offset) = (answer.get(reserved::EPOCH), answer.get(reserved::OFFSET));
        let start = PushPosition::parse(epoch, offset);
        match start {
            Some(start) => {
                state.advance(start);
            }
            // Pushes from here on have no position: one that is known would not tell what
            // was missed.
            None => {
                let had_history = state.last.take().is_some();
                state.is_recovered = had_history.then_some(false);
                return state.is_recovered;
            }
        }
        state.is_recovered = Some(answer.get(reserved::RECOVERED) == Some("1"));
        state.is_recovered
    }

    /// As the last [`PushCursor::logged_in`] returned.
    pub(crate) fn is_recovered(&self) -> Option<bool> {
        self.0.lock().is_recovered
    }

    /// Whether a CALL with this extra is to be handled: it is no push that was handled
    /// before. From now on it counts as handled.
    pub(crate) fn accept(&self, extra: RawExtra<'_>) -> bool {
        let (epoch, offset) = (extra.get(reserved::EPOCH), extra.get(reserved::OFFSET));
        match PushPosition::parse(epoch, offset) {
            Some(position) => self.0.lock().advance(position),
            None => true,
        }
    }
}

impl CursorState {
    /// Returns whether the position is after the last one.
    fn advance(&mut self, to: PushPosition) -> bool {
        let is_known = self
            .last
            .is_some_and(|last| last.epoch == to.epoch && last.offset >= to.offset);
        if !is_known {
            self.last = Some(to);
        }
        !is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Extra;

    fn push(cursor: &PushCursor, epoch: &str, offset: &str) -> bool {
        let extra = Extra::from_iter([(reserved::EPOCH, epoch), (reserved::OFFSET, offset)]);
        cursor.accept(extra.raw())
    }

    fn logged_in(cursor: &PushCursor, epoch: &str, offset: &str, recovered: &str) -> Option<bool> {
        let answer = Extra::from_iter([
            (reserved::EPOCH, epoch),
            (reserved::OFFSET, offset),
            (reserved::RECOVERED, recovered),
        ]);
        cursor.logged_in(answer.raw())
    }

    #[test]
    fn a_client_without_a_push_resumes_where_its_login_stood() {
        let cursor = PushCursor::default();
        assert_eq!(cursor.request(), "");
        assert_eq!(
            logged_in(&cursor, "00000000000000af", "0", "0"),
            Some(false)
        );
        assert_eq!(cursor.request(), "00000000000000af:0");
        assert_eq!(cursor.is_recovered(), Some(false));
    }

    #[test]
    fn a_push_is_handled_once_and_replayed_ones_advance_the_cursor() {
        let cursor = PushCursor::default();
        logged_in(&cursor, "a", "0", "0");
        assert!(push(&cursor, "a", "1"));
        assert!(!push(&cursor, "a", "1"));
        assert_eq!(logged_in(&cursor, "a", "1", "1"), Some(true));
        assert!(push(&cursor, "a", "2"));
        assert!(push(&cursor, "a", "3"));
        assert!(!push(&cursor, "a", "2"));
        assert_eq!(cursor.request(), "000000000000000a:3");
    }

    #[test]
    fn an_answer_that_is_handled_after_pushes_takes_nothing_back() {
        let cursor = PushCursor::default();
        logged_in(&cursor, "a", "7", "0");
        assert!(push(&cursor, "b", "1"));
        assert!(push(&cursor, "b", "2"));
        assert_eq!(logged_in(&cursor, "b", "0", "0"), Some(false));
        assert_eq!(cursor.request(), "000000000000000b:2");
    }

    #[test]
    fn calls_without_a_position_change_nothing() {
        let cursor = PushCursor::default();
        logged_in(&cursor, "a", "7", "0");
        for extra in [
            Extra::new(),
            Extra::from_iter([(reserved::OFFSET, "3")]),
            Extra::from_iter([(reserved::EPOCH, "x"), (reserved::OFFSET, "3")]),
            Extra::from_iter([(reserved::EPOCH, "a"), (reserved::OFFSET, "-3")]),
        ] {
            assert!(cursor.accept(extra.raw()));
        }
        assert_eq!(cursor.request(), "000000000000000a:7");
    }

    #[test]
    fn what_a_gateway_does_not_keep_is_not_resumed_elsewhere() {
        let cursor = PushCursor::default();
        logged_in(&cursor, "a", "7", "1");
        let keeps_nothing = Extra::new();
        assert_eq!(cursor.logged_in(keeps_nothing.raw()), Some(false));
        assert_eq!(cursor.is_recovered(), Some(false));
        assert_eq!(cursor.request(), "");
        assert_eq!(cursor.logged_in(keeps_nothing.raw()), None);
    }
}
