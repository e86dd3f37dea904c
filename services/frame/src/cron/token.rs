//! What the holders of a lease hand on: the epoch, and the last tick of each job.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most bytes of a token; one of a thousand jobs with long commands has a megabyte.
const MAX_SIZE: usize = 80 << 20;

/// A message in the queue of a lease. Tokens are merged, so lost and doubled ones do no harm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Grows with each holder; 0 in the token of an agent that has never held it.
    pub(crate) epoch: u64,
    /// The agent that published it last as the holder.
    pub(crate) holder: String,
    /// The holder has ended its jobs, so that the next one need not wait for that.
    #[serde(default)]
    pub(crate) is_released: bool,
    /// Names this publication, so that its holder knows it again.
    #[serde(default)]
    pub(crate) mark: u64,
    pub(crate) jobs: BTreeMap<String, JobState>,
}

/// What happened to a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobState {
    /// The last tick that was run or left out, in Unix milliseconds: none up to it runs any more.
    pub(crate) last_ms: i64,
    /// The exit status of the last run that has ended; negative: the signal.
    pub(crate) exit: i32,
    /// Ticks that did not run.
    pub(crate) missed: u64,
    /// The last tick was taken up, and nothing is known of its start.
    #[serde(default)]
    pub(crate) is_pending: bool,
}

impl Token {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_SIZE {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers always have a form in JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Takes the later state of each job, and the higher epoch.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.epoch > self.epoch {
            self.epoch = other.epoch;
            self.holder.clone_from(&other.holder);
            self.is_released = other.is_released;
        } else if other.epoch == self.epoch {
            self.is_released |= other.is_released;
        }
        for (key, state) in &other.jobs {
            let own = self.jobs.entry(key.clone()).or_default();
            if state.last_ms > own.last_ms {
                *own = JobState {
                    missed: own.missed,
                    ..*state
                };
            } else if state.last_ms == own.last_ms {
                own.is_pending &= state.is_pending;
            }
            own.missed = own.missed.max(state.missed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_token() -> impl Strategy<Value = Token> {
        let state = (0..9_i64, 0..9_u64).prop_map(|(last_ms, missed)| JobState {
            last_ms,
            missed,
            ..JobState::default()
        });
        let jobs = prop::collection::btree_map("[a-c]", state, 0..3);
        (0..4_u64, jobs).prop_map(|(epoch, jobs)| Token {
            epoch,
            holder: epoch.to_string(),
            jobs,
            ..Token::default()
        })
    }

    fn merged(tokens: &[&Token]) -> Token {
        let mut all = Token::default();
        for token in tokens {
            all.merge(token);
        }
        all
    }

    proptest! {
        #[test]
        fn tokens_merge_in_any_order_and_number(a in any_token(), b in any_token(), c in any_token()) {
            let all = merged(&[&a, &b, &c]);
            prop_assert_eq!(&all.jobs, &merged(&[&c, &a, &b, &a, &all]).jobs);
            prop_assert_eq!(all.epoch, merged(&[&c, &b, &a]).epoch);
            for (key, state) in [&a, &b, &c].into_iter().flat_map(|token| &token.jobs) {
                prop_assert!(all.jobs[key].last_ms >= state.last_ms);
            }
        }

        #[test]
        fn a_token_is_read_back(token in any_token(), junk in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(Token::parse(&token.to_bytes()), Some(token));
            let _ = Token::parse(&junk);
        }
    }
}
