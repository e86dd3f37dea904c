//! A description as text.

use std::fmt::Write;

use super::{Interface, Module, Operation, Struct, Value};

pub(super) fn text(modules: &[Module]) -> String {
    let mut blocks = Vec::new();
    for module in modules {
        blocks.push(heading(
            &format!("module {}", module.name),
            module.doc.as_deref(),
        ));
        blocks.extend(module.interfaces.iter().map(|it| interface(it, module)));
        blocks.extend(module.constants.iter().map(|it| {
            let value = match &it.value {
                Value::Bool(value) => value.to_string(),
                Value::Integer(value) => value.to_string(),
                Value::Float(value) => format!("{value:?}"),
                Value::String(value) => format!("{value:?}"),
            };
            let title = format!("const {} {} = {value}", it.r#type, it.name);
            heading(&title, it.doc.as_deref())
        }));
        blocks.extend(module.enums.iter().map(|it| {
            let title = format!("enum {}", it.name);
            let mut block = heading_of(&title, it.deprecated.as_deref(), it.doc.as_deref());
            for member in &it.members {
                line(
                    &mut block,
                    2,
                    &format!("{} = {}", member.name, member.number),
                );
                deprecation(&mut block, 6, member.deprecated.as_deref());
                docs(&mut block, 6, member.doc.as_deref());
            }
            block
        }));
        blocks.extend(module.structs.iter().map(|it| record("struct", it, module)));
        let exceptions = module.exceptions.iter();
        blocks.extend(exceptions.map(|it| record("exception", it, module)));
        blocks.extend(module.sequences.iter().map(|it| {
            let title = format!("sequence<{}> {}", local(&it.element, module), it.name);
            heading(&title, it.doc.as_deref())
        }));
        blocks.extend(module.dictionaries.iter().map(|it| {
            let (key, value) = (local(&it.key, module), local(&it.value, module));
            heading(
                &format!("dictionary<{key}, {value}> {}", it.name),
                it.doc.as_deref(),
            )
        }));
    }
    blocks.join("\n")
}

/// A struct or an exception.
fn record(kind: &str, it: &Struct, module: &Module) -> String {
    let title = format!("{kind} {}", it.name);
    let mut block = heading_of(&title, it.deprecated.as_deref(), it.doc.as_deref());
    for member in &it.members {
        line(
            &mut block,
            2,
            &format!("{} {}", local(&member.r#type, module), member.name),
        );
        deprecation(&mut block, 6, member.deprecated.as_deref());
        docs(&mut block, 6, member.doc.as_deref());
    }
    block
}

/// A type as `module` refers to it.
fn local(ty: &str, module: &Module) -> String {
    match ty.split_once('.') {
        Some((home, name)) if home == module.name => name.to_owned(),
        _ => ty.replace('.', "::"),
    }
}

fn heading(title: &str, doc: Option<&str>) -> String {
    let mut block = format!("{title}\n");
    docs(&mut block, 4, doc);
    block
}

fn heading_of(title: &str, deprecated: Option<&str>, doc: Option<&str>) -> String {
    let mut block = format!("{title}\n");
    deprecation(&mut block, 4, deprecated);
    docs(&mut block, 4, doc);
    block
}

/// Says that a declaration is deprecated.
fn deprecation(out: &mut String, indent: usize, text: Option<&str>) {
    match text {
        None => {}
        Some("") => line(out, indent, "deprecated"),
        Some(text) => line(out, indent, &format!("deprecated: {text}")),
    }
}

fn line(out: &mut String, indent: usize, text: &str) {
    let _ = writeln!(out, "{:indent$}{text}", "");
}

fn docs(out: &mut String, indent: usize, doc: Option<&str>) {
    for text in doc.into_iter().flat_map(str::lines) {
        match text.trim() {
            "" => out.push('\n'),
            _ => line(out, indent, text),
        }
    }
}

fn interface(it: &Interface, module: &Module) -> String {
    let extends = it.extends.as_ref();
    let extends = extends.map_or(String::new(), |base| {
        format!(" extends {}", local(base, module))
    });
    let mut block = heading_of(
        &format!("interface {}{extends}, index {}", it.name, it.index),
        it.deprecated.as_deref(),
        it.doc.as_deref().or(it.comment.as_deref()),
    );
    operations(&mut block, &it.operations);
    for inherited in &it.inherited {
        let title = format!(
            "inherited from {}, index {}:",
            local(&inherited.from, module),
            inherited.index
        );
        line(&mut block, 2, &title);
        operations(&mut block, &inherited.operations);
    }
    block
}

/// Writes one operation a line, with aligned indices.
fn operations(out: &mut String, operations: &[Operation]) {
    let widest = operations
        .iter()
        .map(|it| it.index)
        .max()
        .unwrap_or_default();
    let width = widest.to_string().len();
    for it in operations {
        let _ = writeln!(out, "  {:>width$}  {}", it.index, it.signature);
        let indent = width + 8;
        deprecation(out, indent, it.deprecated.as_deref());
        if it.idempotent {
            line(out, indent, "idempotent");
        }
        docs(out, indent, it.doc.as_deref().or(it.comment.as_deref()));
        for parameter in it.parameters.iter().filter(|it| it.doc.is_some()) {
            line(out, indent, &format!("{}:", parameter.name));
            docs(out, indent + 4, parameter.doc.as_deref());
        }
    }
}
