//! Generates the code that `tce demo` runs on, from the IDL that it shows.

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure().compile(&["idl/test.idl"])
}
