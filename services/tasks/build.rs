//! Compiles the interface of the queue, and the one that tests and examples serve.

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure().compile(&["idl/tasks.idl"])?;
    tce_codegen::configure().tasks().compile(&["idl/math.idl"])
}
