//! A model as text: like IDL, with resolved types and explicit indices.

use std::fmt::Write;

use tce_idl::model::{Element, Interface, Member, Model, Operation, Type};

pub(crate) fn model(model: &Model) -> String {
    let mut out = String::new();
    for module in &model.modules {
        doc(&mut out, "", module.doc.as_deref());
        let _ = writeln!(
            out,
            "module {} from {}",
            module.name,
            module.files.join(", ")
        );
        for element in &module.elements {
            self::element(&mut out, model, *element);
        }
    }
    out
}

fn doc(out: &mut String, indent: &str, doc: Option<&str>) {
    for line in doc.into_iter().flat_map(str::lines) {
        let _ = writeln!(out, "{indent}/// {line}");
    }
}

fn element(out: &mut String, model: &Model, element: Element) {
    match element {
        Element::Struct(id) => {
            let it = model.struct_(id);
            doc(out, "  ", it.doc.as_deref());
            let deprecated = deprecated(it.deprecated.as_deref());
            let _ = writeln!(out, "  struct {}{deprecated}", it.name);
            members(out, model, &it.members);
        }
        Element::Exception(id) => {
            let it = model.exception(id);
            doc(out, "  ", it.doc.as_deref());
            let deprecated = deprecated(it.deprecated.as_deref());
            let _ = writeln!(out, "  exception {}{deprecated}", it.name);
            members(out, model, &it.members);
        }
        Element::Enum(id) => {
            let it = model.enum_(id);
            doc(out, "  ", it.doc.as_deref());
            let deprecated = deprecated(it.deprecated.as_deref());
            let _ = writeln!(out, "  enum {}{deprecated}", it.name);
            for member in &it.members {
                doc(out, "    ", member.doc.as_deref());
                let deprecated = self::deprecated(member.deprecated.as_deref());
                let _ = writeln!(out, "    {} = {}{deprecated}", member.name, member.number);
            }
        }
        Element::Constant(id) => {
            let it = model.constant(id);
            doc(out, "  ", it.doc.as_deref());
            let (name, value) = (&it.name, &it.value);
            let _ = writeln!(out, "  const {} {name} = {value:?}", ty(model, it.ty));
        }
        Element::Sequence(id) => {
            let it = model.sequence(id);
            doc(out, "  ", it.doc.as_deref());
            let _ = writeln!(out, "  sequence {} of {}", it.name, ty(model, it.element));
        }
        Element::Dictionary(id) => {
            let it = model.dictionary(id);
            doc(out, "  ", it.doc.as_deref());
            let _ = writeln!(
                out,
                "  dictionary {} of {} to {}",
                it.name,
                ty(model, it.key),
                ty(model, it.value)
            );
        }
        Element::Interface(id) => interface(out, model, model.interface(id)),
    }
}

fn members(out: &mut String, model: &Model, members: &[Member]) {
    for member in members {
        doc(out, "    ", member.doc.as_deref());
        let deprecated = deprecated(member.deprecated.as_deref());
        let _ = writeln!(
            out,
            "    {} {}{deprecated}",
            ty(model, member.ty),
            member.name
        );
    }
}

fn deprecated(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(" deprecated {text:?}"))
}

fn interface(out: &mut String, model: &Model, it: &Interface) {
    doc(out, "  ", it.doc.as_deref());
    let _ = write!(out, "  interface {} = {}", it.name, it.index);
    if let Some(base) = it.base {
        let base = model.interface(base);
        let _ = write!(
            out,
            " extends {}::{}",
            model.module(base.module).name,
            base.name
        );
    }
    comment(out, it.comment.as_deref());
    out.push_str(&deprecated(it.deprecated.as_deref()));
    if !it.skeleton_default {
        let _ = write!(out, " without skeletons");
    }
    for (language, wanted) in &it.skeletons {
        let _ = write!(out, " skeleton_{language}={wanted}");
    }
    if let Some(group) = &it.tasks {
        let _ = write!(out, " tasks={group:?}");
    }
    out.push('\n');
    for operation in &it.operations {
        self::operation(out, model, operation);
    }
}

fn comment(out: &mut String, comment: Option<&str>) {
    if let Some(comment) = comment {
        let _ = write!(out, " comment {comment:?}");
    }
}

fn operation(out: &mut String, model: &Model, it: &Operation) {
    doc(out, "    ", it.doc.as_deref());
    let parameters = it
        .parameters
        .iter()
        .map(|parameter| format!("{} {}", ty(model, parameter.ty), parameter.name));
    let parameters: Vec<_> = parameters.collect();
    let returns = it.returns.map_or("void".to_owned(), |it| ty(model, it));
    let _ = write!(
        out,
        "    {returns} {}({}) = {}",
        it.name,
        parameters.join(", "),
        it.index
    );
    comment(out, it.comment.as_deref());
    out.push_str(&deprecated(it.deprecated.as_deref()));
    if it.idempotent {
        out.push_str(" idempotent");
    }
    for id in &it.throws {
        let _ = write!(out, " throws {}", model.exception_name(*id));
    }
    out.push('\n');
    for parameter in it.parameters.iter().filter(|it| it.doc.is_some()) {
        let _ = writeln!(out, "      {}", parameter.name);
        doc(out, "      ", parameter.doc.as_deref());
    }
}

fn ty(model: &Model, ty: Type) -> String {
    let (module, name) = match ty {
        Type::Enum(id) => (model.enum_(id).module, &model.enum_(id).name),
        Type::Struct(id) => (model.struct_(id).module, &model.struct_(id).name),
        Type::Sequence(id) => (model.sequence(id).module, &model.sequence(id).name),
        Type::Dictionary(id) => (model.dictionary(id).module, &model.dictionary(id).name),
        builtin => return format!("{builtin:?}").to_lowercase(),
    };
    format!("{}::{name}", model.module(module).name)
}
