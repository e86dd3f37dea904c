//! Where types are used, and which interfaces extend which.

use std::collections::HashMap;

use tce_idl::model::{ExceptionId, InterfaceId, Model, Type};

use super::links::{Links, anchor};

/// A link to a declaration that uses another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserLink {
    pub(super) name: String,
    pub(super) href: String,
}

/// For each type the declarations that use it, for each interface those that extend it, in the
/// order of declaration.
#[derive(Default)]
pub(super) struct UsageIndex {
    of_types: HashMap<Type, Vec<UserLink>>,
    of_interfaces: HashMap<InterfaceId, Vec<UserLink>>,
    of_exceptions: HashMap<ExceptionId, Vec<UserLink>>,
}

impl UsageIndex {
    pub(super) fn new(model: &Model) -> Self {
        let mut index = Self::default();
        index.add_value_types(model);
        for (id, it) in Links(model).interfaces() {
            let link = |inner: String, href| UserLink {
                name: model.full_name(it.module, &inner),
                href,
            };
            if let Some(base) = it.base {
                let href = Links(model).element(it.module, &it.name);
                let bases = index.of_interfaces.entry(base).or_default();
                bases.push(link(it.name.clone(), href));
            }
            for operation in &it.operations {
                let user = link(
                    anchor(&it.name, &operation.name),
                    Links(model).operation(id, operation),
                );
                let parameters = operation.parameters.iter().map(|parameter| parameter.ty);
                for ty in parameters.chain(operation.returns) {
                    index.add(ty, &user);
                }
                for id in &operation.throws {
                    let users = index.of_exceptions.entry(*id).or_default();
                    users.push(user.clone());
                }
            }
        }
        index
    }

    /// Adds the types that structs, exceptions, sequences and dictionaries use.
    fn add_value_types(&mut self, model: &Model) {
        for it in &model.exceptions {
            let user = UserLink {
                name: model.full_name(it.module, &it.name),
                href: Links(model).element(it.module, &it.name),
            };
            it.members
                .iter()
                .for_each(|member| self.add(member.ty, &user));
        }
        for module in &model.modules {
            for ty in module.elements.iter().filter_map(Links::value_type) {
                let Some((home, name)) = model.declared(ty) else {
                    continue;
                };
                let user = UserLink {
                    name: model.full_name(home, name),
                    href: Links(model).element(home, name),
                };
                let inner = match ty {
                    Type::Struct(id) => {
                        let members = model.struct_(id).members.iter();
                        members.map(|member| member.ty).collect()
                    }
                    Type::Sequence(id) => vec![model.sequence(id).element],
                    Type::Dictionary(id) => {
                        let it = model.dictionary(id);
                        vec![it.key, it.value]
                    }
                    _ => Vec::new(),
                };
                inner.into_iter().for_each(|ty| self.add(ty, &user));
            }
        }
    }

    fn add(&mut self, ty: Type, user: &UserLink) {
        let users = self.of_types.entry(ty).or_default();
        if users.last() != Some(user) {
            users.push(user.clone());
        }
    }

    pub(super) fn of_type(&self, ty: Type) -> &[UserLink] {
        self.of_types.get(&ty).map_or(&[], Vec::as_slice)
    }

    pub(super) fn of_exception(&self, id: ExceptionId) -> &[UserLink] {
        self.of_exceptions.get(&id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn of_interface(&self, id: InterfaceId) -> &[UserLink] {
        self.of_interfaces.get(&id).map_or(&[], Vec::as_slice)
    }
}
