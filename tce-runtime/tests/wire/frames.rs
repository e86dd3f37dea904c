//! Frames from a stream that is split at any byte.

use proptest::{collection, prelude::*};
use tce_runtime::wire::{
    COMPRESS_THRESHOLD, Compression, Deframer, FrameError, Limits, VERSION, begin_frame,
    finish_frame,
};

fn framed(payload: &[u8], compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    let start = begin_frame(&mut bytes);
    bytes.extend_from_slice(payload);
    finish_frame(&mut bytes, start, compression, VERSION);
    bytes
}

/// The payloads of a stream that is read in `pieces`.
fn payloads<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, FrameError> {
    let mut deframer = Deframer::new(Limits::default());
    let mut payloads = Vec::new();
    for mut piece in pieces {
        while let Some(frame) = deframer.next(&mut piece)? {
            payloads.push(frame.payload.to_vec());
        }
        assert!(piece.is_empty());
    }
    assert_eq!(deframer.partial(), None, "the stream ends with a frame");
    Ok(payloads)
}

fn messages() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    let payload = prop_oneof![
        collection::vec(any::<u8>(), 1..40),
        collection::vec(any::<u8>(), 90..400),
        (any::<u8>(), 1_usize..70_000).prop_map(|(byte, size)| vec![byte; size]),
    ];
    collection::vec((payload, any::<bool>()), 0..6)
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(
        messages in messages(),
        cuts in collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut stream = Vec::new();
        for (payload, compress) in &messages {
            let compression = if *compress { Compression::Zlib } else { Compression::None };
            stream.extend(framed(payload, compression));
        }
        let expected: Vec<_> = messages.into_iter().map(|(payload, _)| payload).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        prop_assert_eq!(payloads(pieces), Ok(expected));
    }
}

#[test]
fn single_bytes_give_the_same_frames() {
    let expected = vec![vec![1], vec![7; 500], (0..=255).collect()];
    let stream: Vec<_> = expected
        .iter()
        .flat_map(|payload| framed(payload, Compression::Zlib))
        .collect();
    assert_eq!(payloads(stream.chunks(1)), Ok(expected));
}

#[test]
fn a_partial_frame_is_reported_with_its_number() {
    let frame = framed(b"payload", Compression::None);
    let mut deframer = Deframer::new(Limits::default());
    assert_eq!(deframer.partial(), None);
    for number in 0..3 {
        for byte in &frame[..frame.len() - 1] {
            assert_eq!(deframer.next(&mut [*byte].as_slice()), Ok(None));
            assert_eq!(deframer.partial(), Some(number));
        }
        let mut last = &frame[frame.len() - 1..];
        assert!(deframer.next(&mut last).unwrap().is_some());
        assert_eq!(deframer.partial(), None);
    }
}

#[test]
fn only_long_compressible_payloads_are_compressed() {
    let flag = |payload: &[u8]| framed(payload, Compression::Zlib)[8];
    assert_eq!(flag(&[7; COMPRESS_THRESHOLD]), 0);
    assert_eq!(flag(&[7; COMPRESS_THRESHOLD + 1]), 1);
    let mut noise = 1_u32;
    let rough: Vec<_> = (0..400)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        })
        .collect();
    assert_eq!(flag(&rough), 0);
    assert_eq!(framed(&[7; 1000], Compression::None)[8], 0);
}
