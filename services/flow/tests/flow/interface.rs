//! `idl/flow.idl` compiles without an error or a warning.

use tce_idl::loader::Memory;
use tce_idl::{Options, compile_with, render};

#[test]
fn the_interface_compiles() {
    let loader = Memory::new().with("flow.idl", include_bytes!("../../idl/flow.idl").to_vec());
    let compilation = compile_with(&loader, &["flow.idl"], &Options::new());
    let text = render::human(&compilation.diagnostics, &compilation.sources, false);
    assert_eq!(text, "");
}
