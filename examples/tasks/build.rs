//! Compiles the IDL to Rust before the programs are built.

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure().tasks().compile(&["idl/math.idl"])
}
