//! The compiler: any text gives a model or diagnostics that can be shown, and a
//! layout that stays, unless its syntax is wrong.

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
