//! Arbitrary bytes cause neither a panic nor large allocations.

use std::collections::BTreeMap;

use proptest::{collection, prelude::*};
use tce_runtime::wire::{
    CallType, Compression, Deframer, Extra, Header, Limits, Marshal, Message, Reader, Unmarshal,
    Writer,
};

use crate::{alone, framed, memory_of};

/// Memory that a stream of a few hundred bytes may take, mostly for its inflated
/// payload.
const MAX_MEMORY: usize = 2 << 20;

fn limits() -> Limits {
    Limits {
        max_inflated: 256 << 10,
        ..Limits::default()
    }
}

fn decode(payload: &[u8]) {
    let _ = Message::parse(payload, &limits());
    let _ = Extra::unmarshal(&mut Reader::new(payload), &limits());
    let _ = String::unmarshal(&mut Reader::new(payload));
    let _ = Vec::<Vec<Vec<u8>>>::unmarshal(&mut Reader::new(payload));
    let _ = Vec::<(i64, bool)>::unmarshal(&mut Reader::new(payload));
    let _ = BTreeMap::<String, Vec<f64>>::unmarshal(&mut Reader::new(payload));
}

/// Reads a stream in pieces up to its first error.
fn read(stream: &[u8], size: usize) {
    let _alone = alone();
    let ((), taken) = memory_of(|| {
        let mut deframer = Deframer::new(limits());
        for mut piece in stream.chunks(size) {
            loop {
                match deframer.next(&mut piece) {
                    Ok(Some(frame)) => decode(frame.payload),
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    });
    assert!(taken < MAX_MEMORY, "{taken} bytes for {}", stream.len());
}

fn message() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes);
    Header::call(CallType::TWOWAY, 7, 2, 0).marshal(&mut out);
    Extra::from_iter([("name", "scott.bo"), ("town", "小猫")]).marshal(&mut out);
    ("hello", vec![1_i32, 2, 3], "x".repeat(120)).marshal(&mut out);
    bytes
}

fn mutated(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (place, byte) in changes {
        let place = place.index(bytes.len());
        bytes[place] = *byte;
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes(bytes in collection::vec(any::<u8>(), 0..400), size in 1_usize..400) {
        read(&bytes, size);
        decode(&bytes);
    }

    #[test]
    fn arbitrary_payloads(payload in collection::vec(any::<u8>(), 1..300), compress: bool) {
        let mut bytes = framed(&payload, Compression::None);
        bytes[8] = u8::from(compress);
        read(&bytes, 64);
    }

    #[test]
    fn mutated_frames(changes in changes(), compress: bool, size in 1_usize..400) {
        let compression = if compress { Compression::Zlib } else { Compression::None };
        read(&mutated(framed(&message(), compression).repeat(2), &changes), size);
    }

    #[test]
    fn mutated_messages(changes in changes()) {
        let payload = mutated(message(), &changes);
        decode(&payload);
        read(&framed(&payload, Compression::Zlib), 100);
    }
}
