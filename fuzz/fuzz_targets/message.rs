//! A parsed message encodes to the same bytes.

#![no_main]

use tce_runtime::wire::{Limits, Marshal, Message, Writer};

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    let Ok(message) = Message::parse(payload, &Limits::default()) else {
        return;
    };
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes);
    message.header.marshal(&mut out);
    message.extra.marshal(&mut out);
    out.put(message.params);
    assert_eq!(bytes, payload);
});
