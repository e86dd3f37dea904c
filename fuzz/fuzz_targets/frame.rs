//! The deframer returns the same frames and the same error, however the stream is
//! split.

#![no_main]

use tce_runtime::wire::{Deframer, FrameError, Limits};

/// Small limits, so that the fuzzer soon finds inputs that exceed them.
fn limits() -> Limits {
    Limits {
        max_frame: 4096,
        max_inflated: 64 << 10,
        ..Limits::default()
    }
}

fn read(stream: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut deframer = Deframer::new(limits());
    let mut payloads = Vec::new();
    for mut piece in stream.chunks(size) {
        loop {
            match deframer.next(&mut piece) {
                Ok(Some(frame)) => payloads.push(frame.payload.to_vec()),
                Ok(None) => break,
                Err(error) => return (payloads, Some(error)),
            }
        }
    }
    (payloads, None)
}

libfuzzer_sys::fuzz_target!(|stream: &[u8]| {
    let whole = read(stream, stream.len().max(1));
    assert_eq!(read(stream, 1), whole);
    assert_eq!(read(stream, 7), whole);
});
