//! Bytes that make no sense: refused, never a panic, and before they take
//! memory. The allocations of this process are counted, so that no announced
//! size takes any unseen.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tce_runtime::wire::{Compression, VERSION, begin_frame, finish_frame};

// The attribute tells clippy that the helpers in these are tests too.
#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod refused;

#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

static ALONE: Mutex<()> = Mutex::new(());

/// Keeps the other tests of this process, and their memory, away.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `work` gives, and the bytes that it took at its peak: the least of
/// three, since what another test's thread takes as it starts is not its own.
fn memory_of<T>(work: impl Fn() -> T) -> (T, usize) {
    let measure = || {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let value = work();
        (value, MEMORY.peak_usage().saturating_sub(before))
    };
    let (value, taken) = measure();
    (value, taken.min(measure().1).min(measure().1))
}

fn framed(payload: &[u8], compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    let start = begin_frame(&mut bytes);
    bytes.extend_from_slice(payload);
    finish_frame(&mut bytes, start, compression, VERSION);
    bytes
}
