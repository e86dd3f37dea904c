//! An expression is parsed or refused; what is written of it is the same expression.

#![no_main]

use tce_flow::expression::Expression;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(expression) = Expression::parse(text) {
        let written = expression.to_string();
        let again = Expression::parse(&written).expect("what is written can be parsed");
        assert_eq!(again.to_string(), written);
    }
});
