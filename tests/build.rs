//! Compiles the IDL that the recorded frames of existing implementations use, and writes
//! the Rust of the user guide as modules.

#[path = "guide/blocks.rs"]
mod blocks;

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use blocks::{Block, blocks};

/// The root of the repository.
const ROOT: &str = "..";

/// The page that has the files of a project by hand, and the name of its IDL's module.
const PROJECT: (&str, &str) = ("docs/getting-started.md", "hello");

fn main() -> Result<(), Box<dyn Error>> {
    // Compiled separately, as for the recordings: both have an interface of index 0.
    tce_codegen::configure()
        .multi_calls()
        .compile(&["idl/test.idl"])?;
    tce_codegen::configure().compile(&["idl/zoo.idl"])?;
    // Its clients of tasks are in the guide.
    let tasks = tce_codegen::configure().tasks();
    tasks.compile(&["../examples/tasks/idl/math.idl"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut modules = String::new();
    println!("cargo::rerun-if-changed={ROOT}/docs");
    println!("cargo::rerun-if-changed={ROOT}/README.md");
    for page in pages()? {
        let text = fs::read_to_string(Path::new(ROOT).join(&page))?;
        for block in blocks(&text) {
            if page == PROJECT.0 && block.text.starts_with("module ") {
                project(&out, &block)?;
            } else if block.info == "rust" && block.untested.is_none() {
                modules += &module(&page, &block);
            }
        }
    }
    fs::write(out.join("guide.rs"), modules)?;
    Ok(())
}

/// The paths of all pages in the repository, sorted.
fn pages() -> io::Result<Vec<String>> {
    let mut pages = vec!["README.md".to_owned()];
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder))? {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// Compiles the IDL of the project by hand.
fn project(out: &Path, block: &Block) -> Result<(), Box<dyn Error>> {
    let idl = out.join(PROJECT.1).with_extension("idl");
    fs::write(&idl, &block.text)?;
    Ok(tce_codegen::configure().compile(&[idl])?)
}

/// A module with the code of a block: items and their tests as they are, statements in a
/// function that has what the pages presuppose.
fn module(page: &str, block: &Block) -> String {
    let name: String = page
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '_' })
        .collect();
    let Block { line, text, .. } = block;
    let has_tests = text.contains("#[tokio::test");
    let code = if has_tests {
        text.clone()
    } else {
        format!(
            "async fn snippet(communicator: Communicator, server: ServerPrx, ctx: &Context) \
             -> Result<(), Box<dyn std::error::Error>> {{\n\
             let (adapter, token) = (listening(&communicator).await?, String::new());\n\
             {text}\nOk(())\n}}\n"
        )
    };
    format!(
        "/// {page}:{line}\nmod {name}_{line} {{\nuse super::*;\n{code}}}\n",
        name = name.to_lowercase()
    )
}
