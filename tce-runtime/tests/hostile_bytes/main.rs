//! Malformed bytes are refused without a panic and before memory is allocated.
//! The tests count the allocations of this process, since memory that is taken for
//! an announced size has no other visible effect.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tce_runtime::wire::{Compression, VERSION, begin_frame, finish_frame};

// The attribute marks the helpers in these modules as test code for clippy.
#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod refused;

#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

static ALONE: Mutex<()> = Mutex::new(());

/// Excludes the other tests of this process, and their memory.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The result of `work` and its peak allocation in bytes: the smallest of three
/// runs, since the thread of another test may allocate as it starts.
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
