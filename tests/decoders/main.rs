//! The generated decoders: they return what was encoded, and for arbitrary bytes
//! they neither panic nor allocate much memory.

use std::fmt::Debug;

use peak_alloc::PeakAlloc;
use proptest::{collection, prelude::*};
use tce_runtime::wire::{DecodeError, Marshal, Reader, Unmarshal, Writer};
use tce_tests::{
    ManyParameters,
    zoo::{Family, IntStr, IntTable, Pet, PetList, PetsNamed, StrInt},
};
use values::families;

#[path = "../values.rs"]
mod values;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of memory that a value may take for each encoded byte. The worst case is
/// an empty sequence: four bytes encoded, a `Vec` of 24 in memory, twice that
/// while the outer `Vec` grows.
const MAX_PER_BYTE: usize = 20;
/// Memory beside that: the first capacity of a sequence, and what proptest takes.
const MAX_FIXED: usize = 2 << 20;

fn encoded(value: &impl Marshal) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.marshal(&mut Writer::new(&mut bytes));
    bytes
}

/// Decodes, and asserts the limit of the memory that this takes.
fn decode<T: Unmarshal>(bytes: &[u8]) -> Result<T, DecodeError> {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let value = T::unmarshal(&mut Reader::new(bytes));
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let limit = MAX_FIXED + MAX_PER_BYTE * bytes.len();
    assert!(taken <= limit, "{taken} bytes for {}", bytes.len());
    value
}

fn round_trips<T: Marshal + Unmarshal + PartialEq + Debug>(value: &T) {
    let bytes = encoded(value);
    let back = decode::<T>(&bytes).map(|back| encoded(&back));
    // Compares bytes, since a NaN is not equal to itself.
    assert_eq!(back, Ok(bytes.clone()));
    for cut in 0..bytes.len().min(200) {
        assert!(decode::<T>(&bytes[..cut]).is_err(), "cut off at {cut}");
    }
}

/// Runs each decoder, and accepts both values and errors.
fn decode_as_all(bytes: &[u8]) {
    let _ = decode::<Family>(bytes);
    let _ = decode::<Pet>(bytes);
    let _ = decode::<PetList>(bytes);
    let _ = decode::<PetsNamed>(bytes);
    let _ = decode::<IntTable>(bytes);
    let _ = decode::<StrInt>(bytes);
    let _ = decode::<IntStr>(bytes);
    let _ = decode::<ManyParameters>(bytes);
    let _ = decode::<(String, bool, i16)>(bytes);
}

fn properties() {
    proptest!(|(family in families())| round_trips(&family));
    proptest!(|(table in any::<IntTable>())| round_trips(&table));
    proptest!(|(counts in any::<StrInt>(), names in any::<IntStr>())| {
        round_trips(&(counts, names));
    });
    proptest!(|(bytes in collection::vec(any::<u8>(), 0..600))| decode_as_all(&bytes));
    proptest!(|(
        family in families(),
        changes in collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    )| {
        let mut bytes = encoded(&family);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        decode_as_all(&bytes);
    });
}

/// Counts of 2³² - 1 at every offset.
fn huge_counts() {
    let pet = Pet::default();
    let family = Family {
        pets: vec![pet.clone()],
        chief: pet,
        ..Family::default()
    };
    let bytes = encoded(&family);
    for place in 0..bytes.len() - 3 {
        let mut bytes = bytes.clone();
        bytes[place..place + 4].fill(0xFF);
        decode_as_all(&bytes);
    }
    let counts = [0xFF; 4];
    assert!(matches!(
        decode::<PetList>(&counts),
        Err(DecodeError::Count { .. })
    ));
    assert!(matches!(
        decode::<StrInt>(&counts),
        Err(DecodeError::Count { .. })
    ));
    assert!(matches!(
        decode::<String>(&counts),
        Err(DecodeError::Insufficient { .. })
    ));
}

/// A count of 1,000,000 before 4 MiB of elements that do not all decode.
fn large_counts_with_bytes_after_them() {
    let mut bytes = 1_000_000_u32.to_be_bytes().to_vec();
    bytes.resize(4 << 20, 0);
    decode_as_all(&bytes);
    bytes.fill(0xFF);
    decode_as_all(&bytes);
}

/// One test, since memory is measured for the whole process.
#[test]
fn decoders_return_what_was_encoded_and_take_little_memory_for_other_bytes() {
    properties();
    huge_counts();
    large_counts_with_bytes_after_them();
}
