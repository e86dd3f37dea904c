//! Processor time that other processes used during a run.

use std::fs;

/// Processor time since boot, in clock ticks. Interrupts are left out: the benchmark's own packets
/// cause them, and no process is charged for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    /// All cores, idle time included.
    total: u64,
    /// All processes, and time that the hypervisor gave to other guests (steal).
    busy: u64,
    /// This process, and those of its children that it has waited for.
    own: u64,
}

impl CpuTime {
    /// Returns `None` if the system has no readable `/proc`.
    pub(crate) fn now() -> Option<Self> {
        let machine = fs::read_to_string("/proc/stat").ok()?;
        let process = fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&machine, &process)
    }

    fn parse(machine: &str, process: &str) -> Option<Self> {
        let cores = numbers(machine.lines().next()?.strip_prefix("cpu ")?);
        let &[user, nice, system, .., _irq, _softirq, steal] = cores.get(..8)? else {
            return None;
        };
        // The second field is the program's name in parentheses, which may itself contain `) `.
        let (_, fields) = process.rsplit_once(") ")?;
        let (_state, fields) = fields.split_once(' ')?;
        let own = numbers(fields).get(10..14)?.iter().sum();
        Some(Self {
            total: cores.iter().take(8).sum(),
            busy: user + nice + system + steal,
            own,
        })
    }

    /// The share of all processor time since `then`, 0 to 1, that other processes used.
    #[expect(clippy::cast_precision_loss, reason = "no machine runs for 2^53 ticks")]
    pub(crate) fn other_share_since(self, then: Self) -> Option<f64> {
        let total = self
            .total
            .checked_sub(then.total)
            .filter(|&total| total > 0)?;
        let busy = self.busy.checked_sub(then.busy)?;
        let own = self.own.checked_sub(then.own)?;
        Some(busy.saturating_sub(own) as f64 / total as f64)
    }
}

/// The numbers up to the first field that is not a number. A negative number reads as 0; no field
/// used here is negative.
fn numbers(fields: &str) -> Vec<u64> {
    fields
        .split_whitespace()
        .map_while(|field| field.parse::<i64>().ok())
        .map(|n| u64::try_from(n).unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_minus_own_time_is_the_share_of_others() {
        let then = CpuTime::parse(
            "cpu  100 0 100 1000 0 0 50 0 0 0\ncpu0 1 2 3\n",
            "7 (a (b) c) R 1 7 7 0 -1 4194304 0 0 0 0 10 20 30 40 20 0 1\n",
        );
        let now = CpuTime::parse(
            "cpu  200 0 200 1250 0 0 100 0 0 0\ncpu0 1 2 3\n",
            "7 (a (b) c) R 1 7 7 0 -1 4194304 0 0 0 0 20 30 65 60 20 0 1\n",
        );
        let others = now.unwrap().other_share_since(then.unwrap()).unwrap();
        assert!((others - 0.25).abs() < 1e-9, "{others}");
    }

    #[test]
    fn processor_time_is_readable_on_this_machine() {
        assert!(CpuTime::now().is_some());
    }
}
