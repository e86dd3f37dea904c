//! The parameters as generated types, compared with the values of the file.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde_json::Value;
use tce_runtime::wire::{Marshal, Reader, Unmarshal, Writer};
use tce_tests::{
    ManyParameters,
    zoo::{Family, Pet},
};

use crate::vectors::{Recorded, number};

/// Asserts that `params` decode to `expected`, and that `expected` encodes to
/// `params`.
fn assert_encodes<T: Marshal + Unmarshal + PartialEq + Debug>(params: &[u8], expected: &T) {
    let mut input = Reader::new(params);
    assert_eq!(T::unmarshal(&mut input).as_ref(), Ok(expected));
    assert!(input.remaining().is_empty());
    let mut bytes = Vec::new();
    expected.marshal(&mut Writer::new(&mut bytes));
    assert_eq!(bytes, params);
}

/// Compares the parameters of a frame with the values in its file.
pub(crate) fn check(recorded: &Recorded, params: &[u8]) {
    let values = recorded.values();
    let first = &values[0];
    match recorded.operation() {
        "test::Server::echo" | "test::Server::heartbeat" => {
            assert_encodes(params, &(string(first),));
        }
        "test::Server::timeout" => assert_encodes(params, &(number::<i32>(first),)),
        "zoo::Keeper::roundtrip" => assert_encodes(params, &(family(first),)),
        "zoo::Keeper::table" => {
            assert_encodes(params, &(list(first, |row| list(row, number::<i32>)),));
        }
        "zoo::Keeper::blob" => assert_encodes(params, &(list(first, number::<u8>),)),
        "zoo::Keeper::counts" => {
            assert_encodes(params, &(map(first, str::to_owned, number::<i32>),));
        }
        "zoo::Keeper::names" => {
            assert_encodes(
                params,
                &(map(first, |key| key.parse::<i32>().unwrap(), string),),
            );
        }
        "zoo::Keeper::many" => assert_encodes(params, &many(values)),
        "zoo::Keeper::big" => assert_encodes(params, &(number::<i64>(first),)),
        "zoo::Keeper::real" => assert_encodes(params, &(first.as_f64().unwrap(),)),
        "zoo::Keeper::truth" => assert_encodes(params, &(first.as_bool().unwrap(),)),
        other => panic!("unknown operation {other}"),
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The number as the file writes it, in the precision of a float.
fn float(value: &Value) -> f32 {
    value.to_string().parse().unwrap()
}

fn list<T>(value: &Value, element: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap().iter().map(element).collect()
}

fn map<K: Ord, V>(
    value: &Value,
    key: impl Fn(&str) -> K,
    element: impl Fn(&Value) -> V,
) -> BTreeMap<K, V> {
    let entries = value.as_object().unwrap().iter();
    entries
        .map(|(name, value)| (key(name), element(value)))
        .collect()
}

fn pet(value: &Value) -> Pet {
    Pet {
        name: string(&value["name"]),
        b: number(&value["b"]),
        flag: value["flag"].as_bool().unwrap(),
        s: number(&value["s"]),
        i: number(&value["i"]),
        l: number(&value["l"]),
        flt: float(&value["flt"]),
        dbl: value["dbl"].as_f64().unwrap(),
        tags: list(&value["tags"], string),
        blob: list(&value["blob"], number),
    }
}

fn family(value: &Value) -> Family {
    Family {
        name: string(&value["name"]),
        pets: list(&value["pets"], pet),
        named: map(&value["named"], str::to_owned, pet),
        chief: pet(&value["chief"]),
    }
}

fn many(values: &[Value]) -> ManyParameters {
    let [b, flag, s, i, l, flt, dbl, text] = values else {
        panic!("`many` has eight parameters");
    };
    (
        number(b),
        flag.as_bool().unwrap(),
        number(s),
        number(i),
        number(l),
        float(flt),
        dbl.as_f64().unwrap(),
        string(text),
    )
}
