//! Compiles the interfaces between a gateway and its servers.

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure().compile(&["idl/gateway.idl"])
}
