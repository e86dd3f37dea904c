//! Compiles the IDL whose decoders are fuzzed.

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure().compile(&["../tests/idl/zoo.idl"])
}
