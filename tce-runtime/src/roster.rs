//! The programs behind a topic: which of them a CALL is for, and whom each of them knows.
//!
//! Each member announces itself to all others by the topic itself. So its own
//! announcement comes back to it, which shows that the topic carries messages in both
//! directions; without that, its roster may lack members that are there.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    in_flight::{InFlightCounter, InFlightGuard},
    wire::{RawExtra, reserved},
};

/// How often a member announces itself.
pub(crate) const ANNOUNCE_PERIOD: Duration = Duration::from_secs(2);
/// How long after its last announcement a member is forgotten.
pub(crate) const FORGET_TIME: Duration = Duration::from_secs(6);
/// The longest id, in bytes.
const MAX_ID_SIZE: usize = 128;
/// The most members that are remembered.
const MAX_MEMBERS: usize = 10_000;
/// The most RETURNs at once whose roster follows.
const MAX_LATER: usize = 256;
/// The largest roster that a RETURN carries, in bytes: half of what extra may have.
const MAX_ROSTER_SIZE: usize = 32 << 10;

/// The members of a topic, as one of them knows them.
#[derive(Debug)]
pub(crate) struct Roster {
    id: Arc<str>,
    heard: Mutex<HeardMembers>,
    /// A member has come that does not know this one yet.
    newcomer: Notify,
    /// The RETURNs whose roster follows.
    later: InFlightCounter,
}

#[derive(Debug, Default)]
struct HeardMembers {
    /// When each member was last heard.
    members: BTreeMap<Box<str>, Instant>,
    /// When the roster is complete: one period after this member has heard itself, since
    /// every other member has announced itself by then.
    complete_at: Option<Instant>,
}

/// Whether a text can be the id of a member: 1 to 128 printable ASCII characters without
/// space and comma.
pub(crate) fn is_member_id(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    (1..=MAX_ID_SIZE).contains(&id.len()) && id.bytes().all(is_allowed)
}

pub(crate) fn wrong_member_id(id: &str) -> String {
    format!(
        "{id:?} can't be the id of a member: write 1 to {MAX_ID_SIZE} printable ASCII \
         characters without space and comma"
    )
}

impl Roster {
    /// `id` is a [member id](is_member_id).
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            heard: Mutex::default(),
            newcomer: Notify::new(),
            later: InFlightCounter::default(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// A member has announced itself.
    pub(crate) fn hello(&self, id: &str, now: Instant) {
        if !is_member_id(id) {
            return tracing::debug!("ignored the announcement of a member: {id:?} is no id");
        }
        let mut heard = self.heard.lock();
        heard.forget_silent(now);
        let is_known = match heard.members.get_mut(id) {
            Some(last) => {
                *last = now;
                true
            }
            None => false,
        };
        if is_known || heard.members.len() >= MAX_MEMBERS {
            return;
        }
        heard.members.insert(id.into(), now);
        if *id == *self.id {
            heard.complete_at = Some(now + ANNOUNCE_PERIOD);
        } else {
            self.newcomer.notify_one();
        }
    }

    /// A member has left.
    pub(crate) fn bye(&self, id: &str) {
        self.heard.lock().members.remove(id);
    }

    /// Waits until this member should announce itself before the period has passed.
    pub(crate) async fn newcomer(&self) {
        self.newcomer.notified().await;
    }

    /// The ids of all members, separated by commas; `None` while some may be missing,
    /// or if they are too many for a RETURN.
    pub(crate) fn complete(&self, now: Instant) -> Option<String> {
        let mut heard = self.heard.lock();
        heard.forget_silent(now);
        let is_complete =
            heard.members.contains_key(&*self.id) && heard.complete_at.is_some_and(|at| at <= now);
        let size: usize = heard.members.keys().map(|id| id.len() + 1).sum();
        if !is_complete || size > MAX_ROSTER_SIZE {
            return None;
        }
        let ids: Vec<&str> = heard.members.keys().map(|id| &**id).collect();
        Some(ids.join(","))
    }

    /// When the roster will be complete; `None` if it is.
    pub(crate) fn complete_from(&self, now: Instant) -> Option<Instant> {
        let mut heard = self.heard.lock();
        heard.forget_silent(now);
        match heard.members.contains_key(&*self.id) {
            true => heard.complete_at.filter(|at| *at > now),
            // Its own announcement is on its way.
            false => Some(now + 2 * ANNOUNCE_PERIOD),
        }
    }

    /// Counts a RETURN whose roster follows; `None` if there are enough of them.
    pub(crate) fn begin_later(&self) -> Option<InFlightGuard> {
        (self.later.count() < MAX_LATER).then(|| self.later.begin())
    }

    /// Whether a CALL with this extra is for this member.
    pub(crate) fn is_addressed(&self, extra: RawExtra<'_>) -> bool {
        let names_this = |ids: &str| ids.split(',').any(|id| id == &*self.id);
        extra.get(reserved::TO).is_none_or(names_this)
            && !extra.get(reserved::NOT_TO).is_some_and(names_this)
    }
}

impl HeardMembers {
    fn forget_silent(&mut self, now: Instant) {
        self.members
            .retain(|_, last| now.saturating_duration_since(*last) < FORGET_TIME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Extra;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_roster_is_complete_one_period_after_its_own_announcement_came_back() {
        let (roster, start) = (Roster::new("a"), Instant::now());
        roster.hello("b", start);
        assert_eq!(roster.complete(start + seconds(2)), None);
        assert_eq!(roster.complete_from(start), Some(start + seconds(4)));
        roster.hello("a", start + seconds(2));
        assert_eq!(roster.complete(start + seconds(3)), None);
        let from = roster.complete_from(start + seconds(3));
        assert_eq!(from, Some(start + seconds(4)));
        let complete = roster.complete(start + seconds(4));
        assert_eq!(complete.as_deref(), Some("a,b"));
        assert_eq!(roster.complete_from(start + seconds(4)), None);
    }

    #[test]
    fn a_member_that_was_silent_for_6_s_is_forgotten_and_one_that_leaves_at_once() {
        let (roster, start) = (Roster::new("a"), Instant::now());
        for at in [0, 2, 4, 6] {
            roster.hello("a", start + seconds(at));
        }
        roster.hello("b", start);
        roster.hello("c", start + seconds(5));
        let complete = |at| roster.complete(start + seconds(at));
        assert_eq!(complete(5).as_deref(), Some("a,b,c"));
        assert_eq!(complete(6).as_deref(), Some("a,c"));
        roster.bye("c");
        assert_eq!(complete(6).as_deref(), Some("a"));
    }

    #[test]
    fn a_member_that_has_not_heard_itself_knows_nothing_for_certain() {
        let (roster, start) = (Roster::new("a"), Instant::now());
        roster.hello("a", start);
        assert!(roster.complete(start + seconds(3)).is_some());
        // Its process was stopped: the others are forgotten as well.
        assert_eq!(roster.complete(start + seconds(60)), None);
        roster.hello("a", start + seconds(60));
        assert_eq!(roster.complete(start + seconds(61)), None);
        assert!(roster.complete(start + seconds(62)).is_some());
    }

    #[test]
    fn what_is_no_id_is_ignored_and_too_many_members_make_no_roster() {
        let (roster, start) = (Roster::new("a"), Instant::now());
        roster.hello("a", start);
        let long = "x".repeat(129);
        for wrong in ["", "a,b", "a b", "\u{e9}", "a\n", long.as_str()] {
            roster.hello(wrong, start);
        }
        let complete = roster.complete(start + seconds(3));
        assert_eq!(complete.as_deref(), Some("a"));
        for number in 0..MAX_MEMBERS + 10 {
            roster.hello(&format!("member-{number}"), start);
        }
        assert_eq!(roster.heard.lock().members.len(), MAX_MEMBERS);
        assert_eq!(roster.complete(start + seconds(3)), None);
    }

    #[test]
    fn a_call_is_for_the_ids_that_it_names() {
        let roster = Roster::new("b");
        let is_addressed = |key: &str, ids: &str| {
            let extra = Extra::from_iter([(key, ids)]);
            roster.is_addressed(extra.raw())
        };
        assert!(roster.is_addressed(Extra::new().raw()));
        for (ids, is_named) in [("b", true), ("a,b,c", true), ("a,bb", false), ("", false)] {
            assert_eq!(is_addressed(reserved::TO, ids), is_named, "{ids}");
            assert_eq!(is_addressed(reserved::NOT_TO, ids), !is_named, "{ids}");
        }
    }
}
