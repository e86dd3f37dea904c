//! Round trips of values, and encodings that existing implementations send.

use std::{collections::BTreeMap, fmt::Debug};

use proptest::prelude::*;
use tce_runtime::wire::{
    CallType, DecodeError, Extra, Header, Limits, Marshal, Message, Reader, Unmarshal, Writer,
};

fn encoded(value: &impl Marshal) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.marshal(&mut Writer::new(&mut bytes));
    bytes
}

/// Asserts that a value decodes from its encoding, with other bytes after it, and
/// not from a part of it.
fn round_trips<T: Marshal + Unmarshal + PartialEq + Debug>(value: &T) {
    let mut bytes = encoded(value);
    let length = bytes.len();
    assert!(T::MIN_SIZE <= length);
    bytes.extend([9, 9]);
    let mut input = Reader::new(&bytes);
    assert_eq!(T::unmarshal(&mut input).as_ref(), Ok(value));
    assert_eq!(input.remaining(), [9, 9]);
    for end in 0..length.min(100) {
        assert!(T::unmarshal(&mut Reader::new(&bytes[..end])).is_err());
    }
}

fn headers() -> impl Strategy<Value = Header> {
    let fields = any::<(u8, u32, u8, u16, u16, u32, u8, u16)>();
    fields.prop_map(
        |(msgtype, sequence, calltype, ifidx, opidx, errcode, paramsize, call_id)| Header {
            msgtype,
            sequence,
            calltype: CallType(calltype),
            ifidx,
            opidx,
            errcode,
            paramsize,
            call_id,
        },
    )
}

proptest! {
    #[test]
    fn numbers((a, b, c, d) in any::<(u8, i16, i32, i64)>(), truth: bool) {
        round_trips(&a);
        round_trips(&(b, c));
        round_trips(&(d, truth));
    }

    #[test]
    fn floats(single: u32, double: u64) {
        let (single, double) = (f32::from_bits(single), f64::from_bits(double));
        prop_assert_eq!(encoded(&single), single.to_bits().to_be_bytes());
        let back = f64::unmarshal(&mut Reader::new(&encoded(&double))).unwrap();
        prop_assert!(back.to_bits() == double.to_bits() || double.is_nan() && back.is_nan());
    }

    #[test]
    fn texts_and_bytes(text: String, bytes: Vec<u8>) {
        round_trips(&text);
        round_trips(&bytes);
        round_trips(&(text, bytes));
    }

    #[test]
    fn containers(
        table: Vec<Vec<i32>>,
        texts: Vec<String>,
        map: BTreeMap<String, Vec<bool>>,
    ) {
        round_trips(&table);
        round_trips(&texts);
        round_trips(&map);
        round_trips(&((), table, texts, map));
    }

    #[test]
    fn messages(
        header in headers(),
        pairs in proptest::collection::vec((".{0,9}", ".{0,9}"), 0..5),
        params: Vec<u8>,
    ) {
        let extra = Extra::from_iter(pairs);
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes);
        header.marshal(&mut out);
        extra.marshal(&mut out);
        out.put(&params);
        let message = Message { header, extra, params: &params };
        prop_assert_eq!(Message::parse(&bytes, &Limits::default()), Ok(message));
    }

    /// Of a key that a peer sends twice, the last value counts, in the first place.
    #[test]
    fn an_extra_is_a_map(
        mut pairs in proptest::collection::vec(("[a-c]", ".{0,9}"), 0..6),
        key in "[a-d]",
        value in ".{0,9}",
    ) {
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes);
        out.put_len(pairs.len());
        for pair in &pairs {
            pair.marshal(&mut out);
        }
        let read = Extra::unmarshal(&mut Reader::new(&bytes), &Limits::default())?;
        let last = pairs.iter().rev().find(|(name, _)| *name == key);
        prop_assert_eq!(read.get(&key), last.map(|(_, value)| value.as_str()));

        let mut set = read.clone();
        set.set(&key, &value);
        prop_assert_eq!(pairs.len(), read.len());
        let map: Extra = pairs.iter().map(|(key, value)| (key, value)).collect();
        prop_assert_eq!(map.len(), read.iter().count());
        prop_assert!(map.iter().eq(read.iter()));
        let mut is_set = false;
        pairs.retain_mut(|(name, old)| {
            if *name == key {
                old.clone_from(&value);
            }
            *name != key || !std::mem::replace(&mut is_set, true)
        });
        if !is_set {
            pairs.push((key, value));
        }
        prop_assert_eq!(set.len(), pairs.len());
        let map: Extra = pairs.iter().map(|(key, value)| (key, value)).collect();
        prop_assert!(map.iter().eq(set.iter()));
    }
}

#[test]
fn integers_are_big_endian_and_strings_counted_in_bytes() {
    assert_eq!(encoded(&0x0102_i16), [1, 2]);
    assert_eq!(encoded(&-2_i32), [255, 255, 255, 254]);
    assert_eq!(encoded(&1.5_f32), [0x3F, 0xC0, 0, 0]);
    assert_eq!(encoded(&"é"), [0, 0, 0, 2, 0xC3, 0xA9]);
    assert_eq!(encoded(&vec![true, false]), [0, 0, 0, 2, 1, 0]);
    let map = BTreeMap::from([(1_i32, "a".to_owned())]);
    assert_eq!(encoded(&map), [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, b'a']);
}

#[test]
fn any_byte_but_zero_is_true() {
    for byte in 0..=255 {
        assert_eq!(bool::unmarshal(&mut Reader::new(&[byte])), Ok(byte != 0));
    }
}

#[test]
fn a_string_that_is_not_utf8_is_refused() {
    let bytes = [0, 0, 0, 2, 0xC3, 0x28];
    assert_eq!(
        String::unmarshal(&mut Reader::new(&bytes)),
        Err(DecodeError::Utf8)
    );
}

/// Existing implementations write the entries in any order, and may repeat a key:
/// its last value counts, as it does there.
#[test]
fn dictionary_entries_arrive_in_any_order() {
    let mut bytes = 3_u32.to_be_bytes().to_vec();
    for (key, value) in [(2_i32, 20_i32), (1, 10), (2, 21)] {
        bytes.extend(encoded(&(key, value)));
    }
    let map = BTreeMap::<i32, i32>::unmarshal(&mut Reader::new(&bytes)).unwrap();
    assert_eq!(map, BTreeMap::from([(1, 10), (2, 21)]));
}
