//! A description of a model.

use super::{
    Dictionary, Inherited, Interface, Member, Module, Operation, Parameter, Sequence, Struct,
};
use crate::model::{self, Element, InterfaceId, Model, ModuleId, Type};

pub(super) fn modules(model: &Model) -> Vec<Module> {
    let modules = model.modules.iter().map(|it| module(model, it));
    modules.collect()
}

fn module(model: &Model, it: &model::Module) -> Module {
    let mut module = Module {
        name: it.name.clone(),
        doc: it.doc.clone(),
        files: it.files.clone(),
        interfaces: Vec::new(),
        structs: Vec::new(),
        sequences: Vec::new(),
        dictionaries: Vec::new(),
    };
    for element in &it.elements {
        match *element {
            Element::Interface(id) => module.interfaces.push(interface(model, id)),
            Element::Struct(id) => module.structs.push(structure(model, model.struct_(id))),
            Element::Sequence(id) => {
                let it = model.sequence(id);
                module.sequences.push(Sequence {
                    name: it.name.clone(),
                    doc: it.doc.clone(),
                    element: ty(model, it.element),
                });
            }
            Element::Dictionary(id) => {
                let it = model.dictionary(id);
                module.dictionaries.push(Dictionary {
                    name: it.name.clone(),
                    doc: it.doc.clone(),
                    key: ty(model, it.key),
                    value: ty(model, it.value),
                });
            }
        }
    }
    module
}

/// A type as descriptions spell it.
fn ty(model: &Model, ty: Type) -> String {
    match model.declared(ty) {
        Some((module, name)) => model.full_name(module, name),
        // Builtin types are spelt the same everywhere.
        None => model.spell(Some(ty), ModuleId(0)),
    }
}

fn structure(model: &Model, it: &model::Struct) -> Struct {
    let members = it.members.iter().map(|member| Member {
        name: member.name.clone(),
        r#type: ty(model, member.ty),
        doc: member.doc.clone(),
    });
    Struct {
        name: it.name.clone(),
        doc: it.doc.clone(),
        members: members.collect(),
    }
}

fn interface(model: &Model, id: InterfaceId) -> Interface {
    let it = model.interface(id);
    let full_name = |it: &model::Interface| model.full_name(it.module, &it.name);
    let bases = model.lineage(id).skip(1).map(|id| {
        let base = model.interface(id);
        Inherited {
            from: full_name(base),
            index: base.index,
            operations: operations(model, base, it.module),
        }
    });
    Interface {
        name: it.name.clone(),
        index: it.index,
        doc: it.doc.clone(),
        comment: it.comment.clone(),
        extends: it.base.map(|base| full_name(model.interface(base))),
        operations: operations(model, it, it.module),
        inherited: bases.collect(),
    }
}

/// The operations of an interface, spelt for a reader in module `from`.
fn operations(model: &Model, interface: &model::Interface, from: ModuleId) -> Vec<Operation> {
    let operations = interface.operations.iter().map(|it| Operation {
        name: it.name.clone(),
        index: it.index,
        doc: it.doc.clone(),
        comment: it.comment.clone(),
        returns: it
            .returns
            .map_or("void".to_owned(), |returns| ty(model, returns)),
        parameters: it
            .parameters
            .iter()
            .map(|parameter| Parameter {
                name: parameter.name.clone(),
                r#type: ty(model, parameter.ty),
            })
            .collect(),
        signature: model.signature(it, from),
    });
    operations.collect()
}
