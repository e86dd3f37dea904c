//! Random values of the types of `zoo.idl`.

use proptest::{collection, num, prelude::*};
use tce_tests::zoo::{Family, Pet};

prop_compose! {
    fn pets()(
        name in ".*",
        (b, flag, s, i, l) in any::<(u8, bool, i16, i32, i64)>(),
        (flt, dbl) in (num::f32::ANY, num::f64::ANY),
        tags in collection::vec(".{0,8}", 0..4),
        blob in collection::vec(any::<u8>(), 0..40),
    ) -> Pet {
        Pet { name, b, flag, s, i, l, flt, dbl, tags, blob }
    }
}

prop_compose! {
    pub(crate) fn families()(
        name in ".{0,10}",
        pets in collection::vec(pets(), 0..3),
        named in collection::btree_map(".{0,4}", pets(), 0..3),
        chief in pets(),
    ) -> Family {
        Family { name, pets, named, chief }
    }
}
