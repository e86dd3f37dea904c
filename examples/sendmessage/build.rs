//! Compiles the IDLs to Rust before the programs are built: the example's, and the gateway's for
//! user events.

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure().compile(&["idl/sendmessage.idl", "../../gateway/idl/gateway.idl"])
}
