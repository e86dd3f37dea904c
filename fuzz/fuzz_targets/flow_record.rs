//! A record of the journal, and a snapshot, are read or refused; what is read is written alike, and
//! a record can be applied.

#![no_main]

use tce_flow::machine::{Machine, Record};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Machine::restore(bytes);
    if let Ok(record) = Record::decode(bytes) {
        let encoded = record.encode().expect("what was read can be written");
        assert_eq!(Record::decode(&encoded).expect("and read again"), record);
        let _ = Machine::default().apply(&record);
    }
});
