//! Generates the code that `tce demo` and the servers of the tests use.

fn main() -> Result<(), tce_codegen::Error> {
    // Two compilations: both files declare an interface with index 0.
    tce_codegen::configure().compile(&["idl/test.idl"])?;
    tce_codegen::configure().compile(&["idl/zoo.idl"])
}
