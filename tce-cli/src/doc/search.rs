//! What the search finds.
//!
//! A script and not a file of data: pages that are opened from a folder may
//! load scripts, but read no files.

use serde_json::{Value, json};
use tce_idl::model::{InterfaceId, Type};

use super::{
    links::{Links, anchor},
    prose,
    site::modules,
};

/// The script that holds all entries: modules, interfaces, operations, types
/// and members.
pub(super) fn entries(links: &Links<'_>) -> String {
    let model = links.0;
    let mut entries = Vec::new();
    for (id, it) in modules(model) {
        entries.push(entry("module", &it.name, &links.page(id), &it.doc, ""));
    }
    for (id, it) in (0..).map(InterfaceId).zip(&model.interfaces) {
        let name = |inner: &str| model.full_name(it.module, inner);
        let href = links.element(it.module, &it.name);
        let doc = it.doc.clone().or(it.comment.clone());
        entries.push(entry(
            "interface",
            &name(&it.name),
            &href,
            &doc,
            &it.index.to_string(),
        ));
        for operation in &it.operations {
            entries.push(entry(
                "operation",
                &name(&anchor(&it.name, &operation.name)),
                &links.operation(id, operation),
                &operation.doc.clone().or(operation.comment.clone()),
                &format!("{}.{}", it.index, operation.index),
            ));
        }
    }
    for module in &model.modules {
        let types = module.elements.iter().filter_map(Links::value_type);
        types.for_each(|ty| value_type(links, ty, &mut entries));
    }
    // One entry a line, so that a change of the IDL is one of few lines.
    let lines: Vec<String> = entries.iter().map(ToString::to_string).collect();
    format!("const ENTRIES = [\n{}\n];\n", lines.join(",\n"))
}

fn value_type(links: &Links<'_>, ty: Type, entries: &mut Vec<Value>) {
    let model = links.0;
    let Some((module, name)) = model.declared(ty) else {
        return;
    };
    let (kind, doc) = match ty {
        Type::Struct(id) => ("struct", &model.struct_(id).doc),
        Type::Sequence(id) => ("sequence", &model.sequence(id).doc),
        Type::Dictionary(id) => ("dictionary", &model.dictionary(id).doc),
        _ => return,
    };
    let mut add = |kind, name: &str, doc| {
        let full = model.full_name(module, name);
        entries.push(entry(kind, &full, &links.element(module, name), doc, ""));
    };
    add(kind, name, doc);
    if let Type::Struct(id) = ty {
        for member in &model.struct_(id).members {
            add("member", &anchor(name, &member.name), &member.doc);
        }
    }
}

fn entry(kind: &str, name: &str, href: &str, doc: &Option<String>, index: &str) -> Value {
    let text = prose::first_paragraph(doc.as_deref().unwrap_or_default());
    json!([kind, name, href, text, index])
}
