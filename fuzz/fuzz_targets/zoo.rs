//! Generated decoders: a decoded value is the same after it is encoded and decoded
//! again.

#![no_main]

tce_runtime::include_idl!(zoo);

use tce_runtime::wire::{Marshal, Reader, Unmarshal, Writer};
use zoo::{Family, IntStr, IntTable, PetsNamed, StrInt};

/// The parameters of `Keeper::many`.
type ManyParameters = (u8, bool, i16, i32, i64, f32, f64, String);

fn encoded(value: &impl Marshal) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.marshal(&mut Writer::new(&mut bytes));
    bytes
}

/// Compares bytes, since a NaN is not equal to itself.
fn check<T: Marshal + Unmarshal>(input: &[u8]) {
    let Ok(value) = T::unmarshal(&mut Reader::new(input)) else {
        return;
    };
    let bytes = encoded(&value);
    let again = T::unmarshal(&mut Reader::new(&bytes)).map(|value| encoded(&value));
    assert_eq!(again, Ok(bytes));
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    check::<Family>(input);
    check::<PetsNamed>(input);
    check::<IntTable>(input);
    check::<StrInt>(input);
    check::<IntStr>(input);
    check::<ManyParameters>(input);
});
