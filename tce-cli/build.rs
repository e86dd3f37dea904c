//! Generates the code that `tce demo` and the servers of the tests run on.

fn main() -> Result<(), tce_codegen::Error> {
    // Apart from each other: both have an interface 0.
    tce_codegen::configure().compile(&["idl/test.idl"])?;
    tce_codegen::configure().compile(&["../tests/idl/zoo.idl"])
}
