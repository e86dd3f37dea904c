//! Compiles the IDLs to Rust before the programs are built: ours, and what gateways tell servers.

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure().compile(&["idl/sendmessage.idl", "../../gateway/idl/gateway.idl"])
}
