//! The compiler: any text gives a model or diagnostics that can be shown.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let compilation = tce_idl::compile_str(text);
    assert!(compilation.model.is_some() || !compilation.diagnostics.is_empty());
    let _ = tce_idl::render::human(&compilation.diagnostics, &compilation.sources, false);
});
