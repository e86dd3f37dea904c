//! Failed logins of each address.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::client_address::counted_address;

/// The time over which failed logins are counted.
const PERIOD: Duration = Duration::from_secs(60);
/// The addresses that are remembered. Past it those whose period has passed are
/// forgotten, and if there are none, all.
const MAX_ADDRESSES: usize = 16_384;

/// By how much the answer to each failed login of an address is later than that to the
/// one before, in a period.
const DELAY_STEP: Duration = Duration::from_millis(50);
/// The longest delay of an answer.
const MAX_DELAY: Duration = Duration::from_secs(2);

/// Limits the failed logins of each address: guessing tokens is slow, and costs
/// neither the authenticator's time nor a log line for each attempt.
#[derive(Debug)]
pub(crate) struct LoginAttempts {
    limit: Option<usize>,
    failed: Mutex<HashMap<IpAddr, FailedLogins>>,
}

#[derive(Debug)]
struct FailedLogins {
    count: usize,
    since: Instant,
}

impl LoginAttempts {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self {
            limit,
            failed: Mutex::default(),
        }
    }

    /// Whether an address may try to log in.
    pub(crate) fn may_try(&self, address: IpAddr) -> bool {
        let Some(limit) = self.limit else {
            return true;
        };
        let failed = self.failed.lock();
        let logins = failed.get(&counted_address(address));
        logins.is_none_or(|logins| logins.count < limit || logins.since.elapsed() >= PERIOD)
    }

    /// A login has failed. Returns by how much its answer is to be delayed.
    pub(crate) fn failed(&self, address: IpAddr) -> Duration {
        let Some(limit) = self.limit else {
            return Duration::ZERO;
        };
        let now = Instant::now();
        let mut failed = self.failed.lock();
        if failed.len() >= MAX_ADDRESSES {
            failed.retain(|_, logins| now - logins.since < PERIOD);
            if failed.len() >= MAX_ADDRESSES {
                failed.clear();
            }
        }
        let logins = failed
            .entry(counted_address(address))
            .or_insert(FailedLogins {
                count: 0,
                since: now,
            });
        if now - logins.since >= PERIOD {
            *logins = FailedLogins {
                count: 0,
                since: now,
            };
        }
        logins.count += 1;
        if logins.count == limit {
            tracing::warn!(%address, "refusing logins from an address for a minute: {limit} have failed");
        }
        let steps = u32::try_from(logins.count - 1).unwrap_or(u32::MAX);
        DELAY_STEP.saturating_mul(steps).min(MAX_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_may_not_try_after_too_many_failed_logins() {
        let attempts = LoginAttempts::new(Some(3));
        let (bad, good) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        for _ in 0..3 {
            assert!(attempts.may_try(bad.into()));
            attempts.failed(bad.into());
        }
        assert!(!attempts.may_try(bad.into()));
        assert!(!attempts.may_try(bad.to_ipv6_mapped().into()));
        assert!(attempts.may_try(good.into()));
    }

    #[test]
    fn failed_logins_are_answered_later_and_later() {
        let attempts = LoginAttempts::new(Some(100));
        let address = Ipv4Addr::new(192, 0, 2, 1).into();
        let delays: Vec<_> = (0..50).map(|_| attempts.failed(address)).collect();
        assert_eq!(delays[..2], [Duration::ZERO, DELAY_STEP]);
        assert_eq!(delays.last(), Some(&MAX_DELAY));
        let unlimited = LoginAttempts::new(None);
        assert_eq!(unlimited.failed(address), Duration::ZERO);
    }

    #[test]
    fn addresses_are_remembered_up_to_a_limit() {
        let attempts = LoginAttempts::new(Some(3));
        for number in 0..40_000_u32 {
            attempts.failed(Ipv4Addr::from_bits(number).into());
        }
        assert!(attempts.failed.lock().len() <= MAX_ADDRESSES);
    }
}
