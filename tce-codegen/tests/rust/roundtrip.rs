//! Generated structs through the real runtime: what is marshalled comes back.

use std::collections::{BTreeMap, HashMap};

use tce_runtime::codegen::{Marshal, Reader, Unmarshal, Writer};

use self::zoo::{Family, Pet};

#[expect(
    dead_code,
    unreachable_pub,
    clippy::too_many_arguments,
    reason = "these tests only marshal, and export nothing"
)]
mod zoo {
    include!("../golden/zoo.rs");
}

fn marshalled(value: &impl Marshal) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.marshal(&mut Writer::new(&mut bytes));
    bytes
}

fn pet(name: &str) -> Pet {
    Pet {
        name: name.to_owned(),
        b: 255,
        flag: true,
        s: -2,
        i: i32::MIN,
        l: i64::MAX,
        flt: 0.5,
        dbl: -1e300,
        tags: vec!["fluffy".to_owned(), String::new()],
        blob: vec![0, 1, 254],
    }
}

#[test]
fn a_struct_of_everything_comes_back_as_it_went() {
    let family = Family {
        name: "Müller".to_owned(),
        pets: vec![pet("Rex"), Pet::default()],
        named: [("Rex".to_owned(), pet("Rex"))].into(),
        chief: pet("Mimi"),
    };
    let bytes = marshalled(&family);
    assert_eq!(Family::unmarshal(&mut Reader::new(&bytes)).unwrap(), family);
}

#[test]
fn the_smallest_value_is_as_small_as_promised() {
    assert_eq!(marshalled(&Pet::default()).len(), Pet::MIN_SIZE);
    assert_eq!(marshalled(&Family::default()).len(), Family::MIN_SIZE);
}

#[test]
fn bytes_that_end_early_are_an_error() {
    let bytes = marshalled(&pet("Rex"));
    for end in 0..bytes.len() {
        Pet::unmarshal(&mut Reader::new(&bytes[..end])).unwrap_err();
    }
}

#[test]
fn a_hash_map_is_on_the_wire_what_a_sorted_one_is() {
    let sorted: BTreeMap<_, _> = [(7, "Rex".to_owned()), (-1, String::new())].into();
    let bytes = marshalled(&sorted);
    let hashed = HashMap::<i32, String>::unmarshal(&mut Reader::new(&bytes)).unwrap();
    assert_eq!(hashed, sorted.into_iter().collect());
    let bytes = marshalled(&hashed);
    let again = HashMap::unmarshal(&mut Reader::new(&bytes)).unwrap();
    assert_eq!(hashed, again);
    let endless = [0xff; 4];
    HashMap::<i32, String>::unmarshal(&mut Reader::new(&endless)).unwrap_err();
}
