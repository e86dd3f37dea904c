//! Compiles the interface of agents.

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure()
        .multi_calls()
        .compile(&["idl/frame.idl"])
}
