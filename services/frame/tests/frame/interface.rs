//! `idl/frame.idl` compiles without an error or a warning, with the indices of `idl/tce.lock`.

use tce_idl::loader::Memory;
use tce_idl::{Options, compile_with, render};

#[test]
fn the_interface_compiles() {
    let loader = Memory::new()
        .with("frame.idl", include_bytes!("../../idl/frame.idl").to_vec())
        .with("tce.lock", include_bytes!("../../idl/tce.lock").to_vec());
    let options = Options::new().lock_file("tce.lock");
    let compilation = compile_with(&loader, &["frame.idl"], &options);
    let text = render::human(&compilation.diagnostics, &compilation.sources, false);
    assert_eq!(text, "");
}
