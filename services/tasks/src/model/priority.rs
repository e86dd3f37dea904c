//! The order among the tasks of a group that are due.

use std::fmt;

/// Which tasks of a group are taken first. Of tasks that are due 8 of high priority are taken for 3 of
/// normal and 1 of low priority, so that none waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Priority {
    /// Taken most often.
    High,
    /// The default.
    #[default]
    Normal,
    /// Taken least often.
    Low,
}

/// All priorities, the highest first; a number is an index of it.
pub(crate) const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];
/// How many tasks of each priority are taken in turn.
const WEIGHTS: [i32; PRIORITIES.len()] = [8, 3, 1];

impl Priority {
    /// The index in [`PRIORITIES`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        PRIORITIES.into_iter().find(|it| it.to_string() == text)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        })
    }
}

/// Decides which priority is taken next: smooth weighted round robin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turns([i32; PRIORITIES.len()]);

impl Turns {
    /// The priority of the next task among those that have one; `None` if none has.
    pub(crate) fn next(&mut self, has_task: [bool; PRIORITIES.len()]) -> Option<Priority> {
        let ready = || (0..PRIORITIES.len()).filter(|index| has_task[*index]);
        let taken = ready().max_by_key(|index| self.0[*index] + WEIGHTS[*index])?;
        let all: i32 = ready().map(|index| WEIGHTS[index]).sum();
        for index in 0..PRIORITIES.len() {
            // A priority without tasks saves nothing up.
            self.0[index] = match has_task[index] {
                true => self.0[index] + WEIGHTS[index],
                false => 0,
            };
        }
        self.0[taken] -= all;
        Some(PRIORITIES[taken])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(turns: &mut Turns, has_task: [bool; 3], count: usize) -> [usize; 3] {
        let mut taken = [0; 3];
        for _ in 0..count {
            taken[turns.next(has_task).unwrap().index()] += 1;
        }
        taken
    }

    #[test]
    fn each_priority_has_its_share() {
        let mut turns = Turns::default();
        assert_eq!(taken(&mut turns, [true; 3], 120), [80, 30, 10]);
        assert_eq!(taken(&mut turns, [false, true, true], 40), [0, 30, 10]);
        assert_eq!(taken(&mut turns, [false, false, true], 5), [0, 0, 5]);
        assert_eq!(turns.next([false; 3]), None);
    }

    #[test]
    fn a_priority_that_had_no_tasks_has_saved_no_turns() {
        let mut turns = Turns::default();
        taken(&mut turns, [false, true, true], 100);
        let first = taken(&mut turns, [true; 3], 12);
        assert!(first[0] <= 9, "{first:?}");
    }
}
