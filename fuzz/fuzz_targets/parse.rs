//! The compiler returns a model or diagnostics that can be rendered, and the
//! formatter's output does not change when formatted again.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let compilation = tce_idl::compile_str(text);
    assert!(compilation.model.is_some() || !compilation.diagnostics.is_empty());
    let _ = tce_idl::render::human(&compilation.diagnostics, &compilation.sources, false);
    if let Ok(formatted) = tce_idl::format(text) {
        assert_eq!(tce_idl::format(&formatted).as_ref(), Ok(&formatted));
        assert_eq!(
            tce_idl::compile_str(&formatted).model.is_some(),
            compilation.model.is_some()
        );
    }
});
