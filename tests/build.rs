//! Compiles the IDL that the existing implementations were recorded with.

fn main() -> Result<(), tce_codegen::Error> {
    // Each on its own, as they were: both have an interface of index 0.
    tce_codegen::configure().compile(&["idl/test.idl"])?;
    tce_codegen::configure().compile(&["idl/zoo.idl"])
}
