//! Compiles the IDL of the test programs for each language.
//!
//! Each file is compiled by itself: some of their interfaces have the same index.

use std::{error::Error, fs, path::PathBuf};

/// Relative to this crate.
const IDL_FILES: [&str; 4] = [
    "idl/conformance.idl",
    "idl/later.idl",
    "../tests/idl/test.idl",
    "../tests/idl/zoo.idl",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for file in IDL_FILES {
        tce_codegen::configure().compile(&[file])?;
        let compiled = tce_idl::compile(&[file], &tce_idl::Options::new());
        let model = compiled.model.ok_or("the IDL does not compile")?;
        for language in ["python", "typescript"] {
            let files = tce_codegen::generate(&model, language, &tce_codegen::Options::default())?;
            tce_codegen::write(&files, &out.join(language).join("gen"))?;
        }
    }
    // Makes a package of the modules.
    fs::write(out.join("python/gen/__init__.py"), "")?;
    Ok(())
}
