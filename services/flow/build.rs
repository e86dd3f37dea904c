//! Compiles the interface of the server.

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure().compile(&["idl/flow.idl"])
}
