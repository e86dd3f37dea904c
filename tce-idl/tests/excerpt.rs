//! An excerpt compiles to the same interfaces as the whole IDL.

#![expect(clippy::unwrap_used, reason = "a test that can't read its cases fails")]

use std::path::{Path, PathBuf};

use tce_idl::{
    Excerpts, Options, compile, compile_str,
    model::{InterfaceId, Model},
};

/// The indices and signatures of an interface.
fn promises(model: &Model, id: InterfaceId) -> Vec<String> {
    let lineage = model.lineage(id).map(|id| model.interface(id));
    lineage
        .flat_map(|interface| {
            let name = model.full_name(interface.module, &interface.name);
            let operations = interface.operations.iter().map(|operation| {
                let signature = model.signature(operation, interface.module);
                format!("{} {name} {} {signature}", interface.index, operation.index)
            });
            operations.collect::<Vec<_>>()
        })
        .collect()
}

fn models() -> Vec<(PathBuf, Model)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cases = std::fs::read_dir(root.join("tests/cases/ok")).unwrap();
    let cases = cases.map(|entry| entry.unwrap().path());
    let files = cases.filter(|path| path.extension().is_some_and(|it| it == "idl"));
    let models = files
        .chain([root.join("tests/idl/zoo.idl")])
        .filter_map(|file| {
            let model = compile(&[&file], &Options::new()).model?;
            Some((file, model))
        });
    models.collect()
}

#[test]
fn an_excerpt_of_each_interface_compiles_to_the_same_interface() {
    let mut count = 0;
    for (file, model) in models() {
        let excerpts = Excerpts::new(&model);
        for id in (0..).map(InterfaceId).take(model.interfaces.len()) {
            let text = excerpts.of(id);
            let compilation = compile_str(&text);
            let file = file.display();
            let again = compilation
                .model
                .unwrap_or_else(|| panic!("{file}: {text}\n{:?}", compilation.diagnostics));
            let wanted = promises(&model, id);
            let interfaces = (0..).map(InterfaceId).take(again.interfaces.len());
            let found = interfaces.map(|id| promises(&again, id));
            assert!(found.into_iter().any(|it| it == wanted), "{file}: {text}");
            count += 1;
        }
    }
    assert!(count > 30, "only {count} interfaces");
}
