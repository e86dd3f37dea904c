//! Which users may call an interface, and how often: roles (`allow` of a route) and
//! rates (the property `rate`).

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::client_calls::CallOwner;
use crate::config::{DescribeRight, InterfaceRate, InterfaceRates, RatePeriod};

/// What messages call `describe` of the built-in interface.
const DESCRIBE: &str = "`describe`";
/// How often each client may call `describe`: `tce call` does so once in each run, for
/// instance in a loop of a script.
const DESCRIBE_BURST: u32 = 20;

/// What a route demands of its callers.
#[derive(Debug)]
pub(super) struct CallGuard {
    /// The roles of which a user needs one; `None` for all users.
    allowed: Option<Arc<[String]>>,
    /// The position in [`UserRates`].
    rate: Option<usize>,
    interface: String,
}

impl CallGuard {
    /// `None` for a route that all users may call as often as they like.
    pub(super) fn new(
        interface: &str,
        allowed: Option<&Arc<[String]>>,
        rates: &UserRates,
    ) -> Option<Box<Self>> {
        let rate = rates.position(interface);
        (allowed.is_some() || rate.is_some()).then(|| {
            Box::new(Self {
                allowed: allowed.cloned(),
                rate,
                interface: interface.to_owned(),
            })
        })
    }

    /// For clients that ask for the IDL of the servers; `None` if none may. `rates` have
    /// [`describe_rate`].
    pub(super) fn of_describe(right: &DescribeRight, rates: &UserRates) -> Option<Box<Self>> {
        let allowed = match right {
            DescribeRight::Off => return None,
            DescribeRight::All => None,
            DescribeRight::Roles(roles) => Some(roles),
        };
        Self::new(DESCRIBE, allowed, rates)
    }

    /// Why a user with these roles may not call, if the user may not.
    pub(super) fn missing_role(&self, roles: &[String]) -> Option<String> {
        let allowed = self.allowed.as_deref()?;
        if roles.iter().any(|role| allowed.contains(role)) {
            return None;
        }
        let names: Vec<_> = allowed.iter().map(|role| format!("`{role}`")).collect();
        let needed = match &names[..] {
            [name] => format!("the role {name}"),
            names => format!("one of the roles {}", names.join(", ")),
        };
        Some(format!("calls to {} need {needed}", self.interface))
    }

    /// Counts a call of a user; returns why it exceeds the rate, if it does. `now` is in
    /// nanoseconds after the start of the gateway.
    pub(super) fn exceeded_rate(
        &self,
        rates: &UserRates,
        cells: &RateCells,
        now: u64,
    ) -> Option<String> {
        let position = self.rate?;
        let limit = rates.limits.get(position)?;
        if cells.count(position, limit, now) {
            return None;
        }
        let (interface, limit) = (&self.interface, &limit.text);
        Some(format!(
            "too many calls to {interface}: a user may make {limit}; try again later"
        ))
    }
}

/// The rate at which each client may ask for the IDL of the servers; `None` if none may.
pub(super) fn describe_rate(right: &DescribeRight) -> Option<InterfaceRate> {
    (*right != DescribeRight::Off).then(|| InterfaceRate {
        interface: DESCRIBE.to_owned(),
        calls: NonZeroU32::MIN,
        period: RatePeriod::Second,
        burst: NonZeroU32::MIN.saturating_add(DESCRIBE_BURST - 1),
    })
}

/// The rates of a gateway, and how far each user is ahead of them, over all of the user's
/// sessions: a client that connects again gets no new burst.
#[derive(Debug)]
pub(crate) struct UserRates {
    limits: Box<[RateLimit]>,
    users: Mutex<HashMap<CallOwner, Arc<RateCells>>>,
}

#[derive(Debug)]
struct RateLimit {
    interface: String,
    /// Nanoseconds between two calls at the rate.
    interval: u64,
    /// Nanoseconds by which a user may be ahead.
    tolerance: u64,
    /// For messages.
    text: String,
}

/// For each rate, when the user's next call is due, in nanoseconds after the start of the
/// gateway.
#[derive(Debug)]
pub(super) struct RateCells(Box<[AtomicU64]>);

impl UserRates {
    pub(super) fn new(rates: &InterfaceRates) -> Self {
        Self {
            limits: rates.0.iter().map(RateLimit::new).collect(),
            users: Mutex::default(),
        }
    }

    fn position(&self, interface: &str) -> Option<usize> {
        let mut limits = self.limits.iter();
        limits.position(|limit| limit.interface == interface)
    }

    /// The state of a user; `None` without rates.
    pub(super) fn cells_of(&self, owner: impl FnOnce() -> CallOwner) -> Option<Arc<RateCells>> {
        if self.limits.is_empty() {
            return None;
        }
        let mut users = self.users.lock();
        let cells = users.entry(owner()).or_insert_with(|| {
            let cells = self.limits.iter().map(|_| AtomicU64::new(0));
            Arc::new(RateCells(cells.collect()))
        });
        Some(Arc::clone(cells))
    }

    /// Forgets users without a session who are ahead of no rate. `now` is in nanoseconds
    /// after the start of the gateway.
    pub(crate) fn forget_idle(&self, now: u64) {
        if !self.limits.is_empty() {
            let mut users = self.users.lock();
            users.retain(|_, cells| Arc::strong_count(cells) > 1 || cells.are_ahead(now));
        }
    }
}

impl RateLimit {
    fn new(rate: &InterfaceRate) -> Self {
        let period = rate.period.duration().as_nanos();
        let interval = period / u128::from(rate.calls.get());
        let interval = u64::try_from(interval).unwrap_or(u64::MAX);
        Self {
            interface: rate.interface.clone(),
            interval,
            tolerance: interval.saturating_mul(u64::from(rate.burst.get()) - 1),
            text: rate.limit(),
        }
    }
}

impl RateCells {
    /// Counts a call; returns whether it is within the rate. One beyond it counts for
    /// nothing. (The generic cell rate algorithm.)
    fn count(&self, position: usize, limit: &RateLimit, now: u64) -> bool {
        let Some(cell) = self.0.get(position) else {
            return true;
        };
        let counted = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            let due = due.max(now);
            (due - now <= limit.tolerance).then(|| due.saturating_add(limit.interval))
        });
        counted.is_ok()
    }

    fn are_ahead(&self, now: u64) -> bool {
        self.0.iter().any(|due| due.load(Ordering::Relaxed) > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rates(calls: u32, burst: u32) -> UserRates {
        let number = |number| NonZeroU32::new(number).unwrap();
        UserRates::new(&InterfaceRates(vec![InterfaceRate {
            interface: "test.Server".to_owned(),
            calls: number(calls),
            period: RatePeriod::Second,
            burst: number(burst),
        }]))
    }

    fn user(name: &str) -> CallOwner {
        CallOwner::User(name.into())
    }

    #[test]
    fn a_user_may_make_a_burst_and_then_calls_at_the_rate() {
        let rates = rates(10, 5);
        let guard = CallGuard::new("test.Server", None, &rates).unwrap();
        let cells = rates.cells_of(|| user("anna")).unwrap();
        let made = |from: u64, step: u64, calls: u64| {
            let times = (0..calls).map(|call| from + call * step);
            times
                .filter(|now| guard.exceeded_rate(&rates, &cells, *now).is_none())
                .count()
        };
        assert_eq!(made(SECOND, 0, 20), 5);
        // Each tenth of a second in the 1.98 s after it.
        assert_eq!(made(SECOND, SECOND / 50, 100), 19);
        // After a long pause there is one burst, not more.
        assert_eq!(made(3600 * SECOND, 0, 20), 5);
    }

    #[test]
    fn a_user_keeps_the_count_without_a_session_until_it_is_even() {
        let rates = rates(10, 5);
        let guard = CallGuard::new("test.Server", None, &rates).unwrap();
        let cells = rates.cells_of(|| user("anna")).unwrap();
        for _ in 0..5 {
            assert_eq!(guard.exceeded_rate(&rates, &cells, SECOND), None);
        }
        drop(cells);
        rates.forget_idle(SECOND);
        let cells = rates.cells_of(|| user("anna")).unwrap();
        assert!(guard.exceeded_rate(&rates, &cells, SECOND).is_some());
        drop(cells);
        rates.forget_idle(2 * SECOND);
        assert!(rates.users.lock().is_empty());
    }

    #[test]
    fn the_text_names_the_roles() {
        let rates = UserRates::new(&InterfaceRates::default());
        let guard = |roles: &[&str]| {
            let roles: Arc<[String]> = roles.iter().map(|role| (*role).to_owned()).collect();
            CallGuard::new("test.Server", Some(&roles), &rates).unwrap()
        };
        let has = ["guest".to_owned(), "editor".to_owned()];
        assert_eq!(guard(&["admin", "editor"]).missing_role(&has), None);
        let text = guard(&["admin"]).missing_role(&has).unwrap();
        assert_eq!(text, "calls to test.Server need the role `admin`");
        let text = guard(&["admin", "root"]).missing_role(&[]).unwrap();
        assert_eq!(
            text,
            "calls to test.Server need one of the roles `admin`, `root`"
        );
        assert!(CallGuard::new("test.Server", None, &rates).is_none());
    }
}
