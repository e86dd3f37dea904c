//! Streams and messages that are refused: with the right error, and before
//! memory is allocated.

use std::io::Read;

use tce_runtime::wire::{
    CallType, Compression, DecodeError, Deframer, Extra, FrameError, Header, Limits, Marshal,
    Message, Reader, Unmarshal, Writer,
};

use crate::{alone, framed, memory_of};

fn header(size: u32, compress: u8, encrypt: u8) -> Vec<u8> {
    let mut bytes = vec![0xEF, 0xD2, 0xBB, 0x99];
    bytes.extend(size.to_be_bytes());
    bytes.extend([compress, encrypt, 0, 0, 1, 0]);
    bytes
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut encoder = flate2::read::ZlibEncoder::new(plain, flate2::Compression::best());
    encoder.read_to_end(&mut stream).unwrap();
    stream
}

fn compressed(stream: &[u8]) -> Vec<u8> {
    let mut bytes = framed(stream, Compression::None);
    bytes[8] = 1;
    bytes
}

/// The error, which is the same for the whole stream and for single bytes, and the
/// memory that was taken.
fn refused(bytes: &[u8]) -> (FrameError, usize) {
    let refuse = |chunk| {
        let mut deframer = Deframer::new(Limits::default());
        bytes
            .chunks(chunk)
            .find_map(|mut piece| deframer.next(&mut piece).err())
            .expect("it must be refused")
    };
    let ((whole, pieces), taken) = memory_of(|| (refuse(bytes.len()), refuse(1)));
    assert_eq!(whole, pieces);
    (whole, taken)
}

#[test]
fn each_unreadable_header_has_its_reason() {
    let _alone = alone();
    let limit = Limits::default().max_frame;
    let too_large = |size| FrameError::TooLarge { size, limit };
    let cases = [
        (b"GET ".to_vec(), FrameError::Magic(0x4745_5420)),
        (vec![0; 14], FrameError::Magic(0)),
        (header(0, 0, 0), FrameError::Empty(0)),
        (header(10, 0, 0), FrameError::Empty(10)),
        (header(u32::MAX, 0, 0), too_large(u32::MAX)),
        (header((4 << 20) + 1, 0, 0), too_large((4 << 20) + 1)),
        (header(20, 2, 0), FrameError::Compression(2)),
        (header(20, 255, 0), FrameError::Compression(255)),
        (header(20, 0, 1), FrameError::Encryption(1)),
        (header(20, 1, 3), FrameError::Encryption(3)),
    ];
    for (bytes, expected) in cases {
        let (error, taken) = refused(&bytes);
        assert_eq!(error, expected);
        assert!(taken < 100_000, "{error} took {taken} bytes");
    }
}

#[test]
fn the_smallest_and_the_largest_size_are_accepted() {
    let _alone = alone();
    let mut deframer = Deframer::new(Limits::default());
    let smallest = [header(11, 0, 0), vec![9]].concat();
    let frame = deframer.next(&mut smallest.as_slice()).unwrap().unwrap();
    assert_eq!(frame.payload, [9]);
    let largest = [header(4 << 20, 0, 0), vec![9; (4 << 20) - 10]].concat();
    let frame = deframer.next(&mut largest.as_slice()).unwrap().unwrap();
    assert_eq!(frame.payload.len(), (4 << 20) - 10);
}

#[test]
fn an_announced_size_takes_no_memory_before_its_bytes_arrive() {
    let _alone = alone();
    let (deframer, taken) = memory_of(|| {
        let mut deframer = Deframer::new(Limits::default());
        assert_eq!(
            deframer.next(&mut header(4 << 20, 0, 0).as_slice()),
            Ok(None)
        );
        deframer
    });
    assert_eq!(deframer.partial(), Some(0));
    assert!(taken < 100_000, "{taken} bytes");
}

#[test]
fn a_broken_zlib_stream_is_refused() {
    let _alone = alone();
    let whole = deflate(&[7; 5000]);
    let mut broken = whole.clone();
    broken[6] ^= 0xFF;
    let mut sum = whole.clone();
    *sum.last_mut().unwrap() ^= 1;
    let cuts = (1..whole.len()).map(|end| whole[..end].to_vec());
    let others = [broken, sum, vec![0; 40], vec![0xFF; 40]];
    for stream in cuts.chain(others) {
        let (error, taken) = refused(&compressed(&stream));
        assert_eq!(error, FrameError::Inflate);
        assert!(taken < 1 << 20, "{taken} bytes");
    }
}

#[test]
fn zeros_after_a_zlib_stream_are_padding() {
    let _alone = alone();
    let mut stream = deflate(&[7; 5000]);
    stream.resize(5000, 0);
    let bytes = compressed(&stream);
    let mut deframer = Deframer::new(Limits::default());
    let frame = deframer.next(&mut bytes.as_slice()).unwrap().unwrap();
    assert_eq!(frame.payload, [7; 5000]);
}

#[test]
fn a_bomb_takes_no_more_than_the_limit() {
    let _alone = alone();
    let bomb = compressed(&deflate(&vec![0; 64 << 20]));
    let limits = Limits {
        max_inflated: 1 << 20,
        ..Limits::default()
    };
    let limit = limits.max_inflated;
    let (refused, taken) = memory_of(|| {
        let mut deframer = Deframer::new(limits);
        deframer.next(&mut bomb.as_slice()).map(|_| ())
    });
    assert_eq!(refused, Err(FrameError::Bomb { limit }));
    assert!(taken < 4 * limit, "{taken} bytes");
}

/// The buffer of a large valid frame is freed after it.
#[test]
fn a_large_frame_leaves_no_memory_behind() {
    let _alone = alone();
    let large = compressed(&deflate(&vec![0; 15 << 20]));
    let _ = memory_of(|| {
        let before = crate::MEMORY.current_usage();
        let mut deframer = Deframer::new(Limits::default());
        let mut input = large.as_slice();
        assert!(deframer.next(&mut input).unwrap().is_some());
        assert!(deframer.next(&mut input).unwrap().is_none());
        let kept = crate::MEMORY.current_usage().saturating_sub(before);
        assert!(kept < 200_000, "{kept} bytes");
    });
}

fn message(extra: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Header::call(CallType::TWOWAY, 1, 2, 0).marshal(&mut Writer::new(&mut bytes));
    bytes.extend(extra);
    bytes
}

#[test]
fn an_extra_of_a_million_pairs_is_refused_before_it_is_read() {
    let _alone = alone();
    let mut extra = 1_000_000_u32.to_be_bytes().to_vec();
    extra.resize(8 << 20, 0);
    let bytes = message(&extra);
    let (error, taken) = memory_of(|| Message::parse(&bytes, &Limits::default()).unwrap_err());
    assert!(matches!(
        error,
        DecodeError::Extra {
            value: 1_000_000,
            ..
        }
    ));
    assert!(taken < 100_000, "{taken} bytes");
}

#[test]
fn an_extra_of_too_many_bytes_is_refused() {
    let _alone = alone();
    let extra = Extra::from_iter([("name", "x".repeat(64 << 10))]);
    let mut bytes = Vec::new();
    extra.marshal(&mut Writer::new(&mut bytes));
    let error = Message::parse(&message(&bytes), &Limits::default()).unwrap_err();
    assert!(matches!(error, DecodeError::Extra { limit: 65_536, .. }));
}

#[test]
fn a_message_that_is_cut_off_is_refused() {
    let _alone = alone();
    let mut bytes = Vec::new();
    Extra::from_iter([("name", "scott.bo")]).marshal(&mut Writer::new(&mut bytes));
    let whole = message(&bytes);
    Message::parse(&whole, &Limits::default()).unwrap();
    for end in 0..whole.len() {
        let parsed = Message::parse(&whole[..end], &Limits::default());
        assert!(matches!(parsed, Err(DecodeError::Insufficient { .. })));
    }
}

#[test]
fn an_announced_count_takes_no_memory() {
    let _alone = alone();
    fn taken<T: Unmarshal>(bytes: &[u8]) -> usize {
        let (value, taken) = memory_of(|| T::unmarshal(&mut Reader::new(bytes)).map(|_| ()));
        assert!(value.is_err());
        taken
    }
    let counts = [0xFF; 12];
    for taken in [
        taken::<Vec<u8>>(&counts),
        taken::<Vec<String>>(&counts),
        taken::<Vec<Vec<i64>>>(&counts),
        taken::<std::collections::BTreeMap<i32, String>>(&counts),
        taken::<String>(&counts),
    ] {
        assert!(taken < 100_000, "{taken} bytes");
    }
}

type Deep = Vec<Vec<Vec<Vec<i32>>>>;

#[test]
fn nesting_past_the_limit_is_refused() {
    let _alone = alone();
    let deep: Deep = vec![vec![vec![vec![7]]]];
    let mut bytes = Vec::new();
    deep.marshal(&mut Writer::new(&mut bytes));
    for (max_depth, expected) in [(4, Ok(deep)), (3, Err(DecodeError::Depth))] {
        let limits = Limits {
            max_depth,
            ..Limits::default()
        };
        assert_eq!(
            Deep::unmarshal(&mut Reader::with_limits(&bytes, &limits)),
            expected
        );
    }
}

/// A struct that holds a sequence of itself, as the IDL allows.
#[derive(Debug, PartialEq)]
struct Tree(Vec<Tree>);

impl Unmarshal for Tree {
    const MIN_SIZE: usize = 4;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(Vec::unmarshal(input)?))
    }
}

#[test]
fn a_recursive_type_fails_before_the_stack_overflows() {
    let _alone = alone();
    let endless = 1_u32.to_be_bytes().repeat(1 << 20);
    let parsed = Tree::unmarshal(&mut Reader::new(&endless));
    assert_eq!(parsed, Err(DecodeError::Depth));
}
