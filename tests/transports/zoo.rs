//! Every operation of `zoo.idl`, with generated code on both sides, in both
//! directions.

use std::f64::consts::PI;

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use tce_runtime::{
    Pending,
    wire::{Marshal, Writer},
};
use tce_tests::{
    ManyParameters,
    zoo::{Family, KeeperPrx, Pet},
};
use tokio::sync::oneshot;

use crate::{common::watching::within, keeper::Keepers, transports::Pair, values};

const MEBIBYTE: usize = 1 << 20;

const TEXTS: [&str; 8] = [
    "",
    "plain",
    "\0",
    "Grüße, 世界",
    "👩‍👩‍👧 a\u{301} \u{10FFFF}",
    "\u{FEFF}marked",
    " \t\r\n ",
    "\"<&>'\\",
];
const SHORTS: [i16; 5] = [0, 1, -1, i16::MIN, i16::MAX];
const INTS: [i32; 5] = [0, 1, -1, i32::MIN, i32::MAX];
/// Including values that a JavaScript number can't represent.
const LONGS: [i64; 7] = [
    0,
    1,
    -1,
    i64::MIN,
    i64::MAX,
    i32::MIN as i64 - 1,
    (1 << 53) + 1,
];
const DOUBLES: [f64; 11] = [
    0.0,
    -0.0,
    PI,
    f64::MIN,
    f64::MAX,
    f64::MIN_POSITIVE,
    // The smallest subnormal.
    f64::from_bits(1),
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    // A NaN with a payload.
    f64::from_bits(0xFFF8_0000_DEAD_BEEF),
];
const FLOATS: [f32; 7] = [
    0.0,
    -0.0,
    f32::MAX,
    f32::from_bits(1),
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// The `n`th of these values, modulo their number.
fn nth<T: Copy>(values: &[T], n: usize) -> T {
    values[n % values.len()]
}

/// A pet of edge cases, different for each `n`.
fn pet(n: usize) -> Pet {
    Pet {
        name: format!("{}{n}", nth(&TEXTS, n)),
        b: n as u8,
        flag: n.is_multiple_of(2),
        s: nth(&SHORTS, n),
        i: nth(&INTS, n),
        l: nth(&LONGS, n),
        flt: nth(&FLOATS, n),
        dbl: nth(&DOUBLES, n),
        tags: TEXTS[..n % 4].iter().map(|&tag| tag.to_owned()).collect(),
        blob: vec![n as u8; n % 5],
    }
}

fn many(n: usize, text: String) -> ManyParameters {
    (
        n.wrapping_neg() as u8,
        n.is_multiple_of(2),
        nth(&SHORTS, n),
        nth(&INTS, n),
        nth(&LONGS, n),
        nth(&FLOATS, n),
        nth(&DOUBLES, n),
        text,
    )
}

fn call_many(keeper: &KeeperPrx, params: &ManyParameters) -> Pending<()> {
    let (b, flag, s, i, l, flt, dbl, text) = params;
    keeper.many(*b, *flag, *s, *i, *l, *flt, *dbl, text)
}

/// Compares the encodings: a NaN is not equal to itself, and 0.0 is equal to -0.0.
fn assert_same_bytes<T: Marshal + ?Sized>(received: &T, expected: &T) {
    fn bytes(value: &(impl Marshal + ?Sized)) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.marshal(&mut Writer::new(&mut bytes));
        bytes
    }
    assert!(bytes(received) == bytes(expected), "the values differ");
}

pub(crate) async fn families(pair: &Pair) {
    let empty = Family::default();
    let large = Family {
        name: "Familie Müller".to_owned(),
        pets: (0..2_000).map(pet).collect(),
        named: (0..1_000).map(|n| (pet(n).name, pet(n + 1))).collect(),
        chief: pet(7),
    };
    for keeper in Keepers::of(pair).both {
        for family in [&empty, &large] {
            assert_same_bytes(&within(keeper.roundtrip(family)).await.unwrap(), family);
        }
    }
}

pub(crate) async fn random_families_at_once(pair: &Pair) {
    // The same families in each run.
    let mut runner = TestRunner::deterministic();
    let families: Vec<_> = (0..16)
        .map(|_| values::families().new_tree(&mut runner).unwrap().current())
        .collect();
    for keeper in Keepers::of(pair).both {
        let called = families.iter().map(|family| keeper.roundtrip(family));
        let called: Vec<_> = called.collect();
        for (answer, family) in called.into_iter().zip(&families) {
            assert_same_bytes(&within(answer).await.unwrap(), family);
        }
    }
}

pub(crate) async fn tables(pair: &Pair) {
    let tables = [
        vec![],
        vec![vec![]],
        vec![INTS.to_vec(), vec![], vec![7]],
        vec![vec![]; 10_000],
        vec![(0..200_000).collect()],
    ];
    for keeper in Keepers::of(pair).both {
        for table in &tables {
            assert!(within(keeper.table(table)).await.unwrap() == *table);
        }
    }
}

pub(crate) async fn blobs(pair: &Pair) {
    let all = (0..=u8::MAX).collect::<Vec<_>>();
    let blobs = [vec![], all.clone(), all.repeat(MEBIBYTE / all.len())];
    for keeper in Keepers::of(pair).both {
        for blob in &blobs {
            assert!(within(keeper.blob(blob)).await.unwrap() == *blob);
        }
    }
}

pub(crate) async fn counts(pair: &Pair) {
    let texts = TEXTS.iter().enumerate();
    let all = [
        [].into(),
        texts
            .map(|(n, &text)| (text.to_owned(), nth(&INTS, n)))
            .collect(),
        (0..10_000).map(|n| (format!("名{n}"), -n)).collect(),
    ];
    for keeper in Keepers::of(pair).both {
        for counts in &all {
            assert!(within(keeper.counts(counts)).await.unwrap() == *counts);
        }
    }
}

pub(crate) async fn names(pair: &Pair) {
    let all = [
        [].into(),
        INTS.into_iter().zip(TEXTS.map(str::to_owned)).collect(),
        (-5_000..5_000).map(|n| (n, n.to_string())).collect(),
        [(-1, "世".repeat(MEBIBYTE / "世".len()))].into(),
    ];
    for keeper in Keepers::of(pair).both {
        for names in &all {
            assert!(within(keeper.names(names)).await.unwrap() == *names);
        }
    }
}

pub(crate) async fn many_parameters(pair: &Pair) {
    let Keepers { both, mut received } = Keepers::of(pair);
    let texts = TEXTS.map(str::to_owned).into_iter();
    let long = std::iter::once("x".repeat(MEBIBYTE));
    let all: Vec<_> = texts.chain(long).enumerate().collect();
    for keeper in both {
        for (n, text) in &all {
            let params = many(*n, text.clone());
            within(call_many(&keeper, &params)).await.unwrap();
            assert_same_bytes(&received.recv().await.unwrap(), &params);
        }
    }
}

pub(crate) async fn many_parameters_in_every_mode(pair: &Pair) {
    let Keepers { both, mut received } = Keepers::of(pair);
    let params = many(3, "in every mode".to_owned());
    for keeper in both {
        let (b, flag, s, i, l, flt, dbl, text) = &params;
        within(keeper.many_oneway(*b, *flag, *s, *i, *l, *flt, *dbl, text))
            .await
            .unwrap();
        assert_same_bytes(&within(received.recv()).await.unwrap(), &params);

        let pending = call_many(&keeper, &params);
        assert_same_bytes(&within(received.recv()).await.unwrap(), &params);
        within(pending).await.unwrap();

        let (sender, returned) = oneshot::channel();
        let pending = call_many(&keeper, &params);
        pending.on_return(|result| sender.send(result).expect("the test waits"));
        assert_same_bytes(&within(received.recv()).await.unwrap(), &params);
        within(returned).await.unwrap().unwrap();
    }
}

pub(crate) async fn longs(pair: &Pair) {
    for keeper in Keepers::of(pair).both {
        for long in LONGS {
            assert_eq!(within(keeper.big(long)).await.unwrap(), long);
        }
    }
}

pub(crate) async fn doubles(pair: &Pair) {
    for keeper in Keepers::of(pair).both {
        for double in DOUBLES {
            assert_same_bytes(&within(keeper.real(double)).await.unwrap(), &double);
        }
    }
}

pub(crate) async fn truths(pair: &Pair) {
    for keeper in Keepers::of(pair).both {
        for truth in [true, false] {
            assert_eq!(within(keeper.truth(truth)).await.unwrap(), truth);
        }
    }
}
