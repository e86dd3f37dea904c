//! Compiles the IDL that the recorded frames of existing implementations use.

fn main() -> Result<(), tce_codegen::Error> {
    // Compiled separately, as for the recordings: both have an interface of index 0.
    tce_codegen::configure().compile(&["idl/test.idl"])?;
    tce_codegen::configure().compile(&["idl/zoo.idl"])
}
