//! Generates Rust from the IDL whenever it changes.

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure().compile(&["idl/{{module}}.idl"])
}
