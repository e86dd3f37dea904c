//! Values by sequence: what a RETURN is matched with.

/// The number of slots from the first value on. A table without values has no slots:
/// most connections of a server never call.
const MIN_SLOTS: usize = 64;
/// A larger table shrinks when it is empty.
const KEEP_SLOTS: usize = 1024;

/// Values by a sequence of 32 bits, in slots indexed by the sequence modulo their
/// number.
///
/// Sequences count up; one whose slot is taken is skipped, so a value that stays
/// for long costs its slot only. A sequence is used again after 2³² others: a
/// RETURN that arrives too late can't meet another call.
#[derive(Debug)]
pub struct SequenceTable<T> {
    slots: Vec<Slot<T>>,
    next: u32,
    /// The number of low bits that all sequences have in common.
    fixed_bits: u32,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    sequence: u32,
    value: Option<T>,
}

impl<T> SequenceTable<T> {
    /// An empty table, whose first value gets the sequence `first`. Allocates
    /// nothing.
    #[must_use]
    pub const fn new(first: u32) -> Self {
        Self::with_fixed_bits(first, 0)
    }

    /// As [`SequenceTable::new`]; all sequences have the low `fixed_bits` bits of
    /// `first`, so that they tell tables apart.
    #[must_use]
    pub const fn with_fixed_bits(first: u32, fixed_bits: u32) -> Self {
        Self {
            slots: Vec::new(),
            next: first,
            fixed_bits,
            len: 0,
        }
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sequence of the next value, or one before it if its slot is taken.
    #[must_use]
    pub const fn next_sequence(&self) -> u32 {
        self.next
    }

    /// Adds a value, and returns its sequence.
    #[inline]
    pub fn insert(&mut self, value: T) -> u32 {
        // At most half full, so that a free slot is found after a few steps.
        if self.len * 2 >= self.slots.len() {
            self.grow();
        }
        loop {
            let sequence = self.next;
            self.next = self.next.wrapping_add(1 << self.fixed_bits);
            let position = self.position(sequence);
            if let Some(slot) = self.slots.get_mut(position)
                && slot.value.is_none()
            {
                slot.sequence = sequence;
                slot.value = Some(value);
                self.len += 1;
                return sequence;
            }
        }
    }

    /// The value of a sequence.
    #[inline]
    pub fn get_mut(&mut self, sequence: u32) -> Option<&mut T> {
        let position = self.position(sequence);
        let slot = self.slots.get_mut(position)?;
        slot.value.as_mut().filter(|_| slot.sequence == sequence)
    }

    /// Removes the value of a sequence.
    #[inline]
    pub fn remove(&mut self, sequence: u32) -> Option<T> {
        let position = self.position(sequence);
        let slot = self.slots.get_mut(position)?;
        if slot.sequence != sequence {
            return None;
        }
        let value = slot.value.take()?;
        self.len -= 1;
        if self.len == 0 && self.slots.len() > KEEP_SLOTS {
            self.slots = free_slots(MIN_SLOTS);
        }
        Some(value)
    }

    /// All values with their sequences, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let slots = self.slots.iter_mut();
        slots.filter_map(|slot| Some((slot.sequence, slot.value.as_mut()?)))
    }

    fn position(&self, sequence: u32) -> usize {
        // The number of slots is zero or a power of two.
        (sequence >> self.fixed_bits) as usize & self.slots.len().wrapping_sub(1)
    }

    /// Doubles the table. Values with different slots have different slots in a
    /// table of twice the size, so moving them needs no search.
    fn grow(&mut self) {
        let doubled = free_slots((self.slots.len() * 2).max(MIN_SLOTS));
        for slot in std::mem::replace(&mut self.slots, doubled) {
            if slot.value.is_some() {
                let position = self.position(slot.sequence);
                self.slots[position] = slot;
            }
        }
    }
}

fn free_slots<T>(count: usize) -> Vec<Slot<T>> {
    std::iter::repeat_with(|| Slot {
        sequence: 0,
        value: None,
    })
    .take(count)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_that_is_taken_is_skipped() {
        let mut table = SequenceTable::new(u32::MAX);
        let first = table.insert("first");
        assert_eq!(first, u32::MAX);
        for round in 0..10 * MIN_SLOTS {
            let sequence = table.insert("other");
            assert_ne!(sequence, first, "{round}");
            assert_eq!(table.remove(sequence), Some("other"));
            assert_eq!(table.remove(sequence), None);
        }
        assert_eq!(table.get_mut(first), Some(&mut "first"));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn tables_with_other_fixed_bits_share_no_sequence() {
        let mut tables =
            [1, 3].map(|bits| SequenceTable::with_fixed_bits((u32::MAX << 2) | bits, 2));
        for value in 0..3 * MIN_SLOTS {
            for (table, bits) in tables.iter_mut().zip([1, 3]) {
                let sequence = table.insert(value);
                assert_eq!(sequence & 3, bits);
                assert_eq!(table.get_mut(sequence), Some(&mut { value }));
            }
        }
    }

    #[test]
    fn values_stay_while_the_table_grows_and_shrinks() {
        let mut table = SequenceTable::new(7);
        let count = 2 * KEEP_SLOTS;
        let sequences: Vec<u32> = (0..count).map(|value| table.insert(value)).collect();
        assert_eq!(table.iter_mut().count(), count);
        for (value, sequence) in sequences.iter().enumerate() {
            assert_eq!(table.remove(*sequence), Some(value));
        }
        assert!(table.is_empty());
        assert_eq!(table.slots.len(), MIN_SLOTS);
        assert_eq!(table.get_mut(sequences[0]), None);
    }
}
