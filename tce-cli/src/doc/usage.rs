//! Who uses a type, and who extends an interface.

use std::collections::HashMap;

use tce_idl::model::{InterfaceId, Model, Type};

use super::links::{Links, anchor};

/// A place in the site: what it is called, and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) href: String,
}

/// The users of everything that can be used, in the order of their declaration.
#[derive(Default)]
pub(super) struct Users {
    of_types: HashMap<Type, Vec<Place>>,
    of_interfaces: HashMap<InterfaceId, Vec<Place>>,
}

impl Users {
    pub(super) fn of(model: &Model) -> Self {
        let mut users = Self::default();
        users.values(model);
        for (id, it) in (0..).map(InterfaceId).zip(&model.interfaces) {
            let place = |inner: String, href| Place {
                name: model.full_name(it.module, &inner),
                href,
            };
            if let Some(base) = it.base {
                let href = Links(model).element(it.module, &it.name);
                let bases = users.of_interfaces.entry(base).or_default();
                bases.push(place(it.name.clone(), href));
            }
            for operation in &it.operations {
                let user = place(
                    anchor(&it.name, &operation.name),
                    Links(model).operation(id, operation),
                );
                let parameters = operation.parameters.iter().map(|parameter| parameter.ty);
                for ty in parameters.chain(operation.returns) {
                    users.add(ty, &user);
                }
            }
        }
        users
    }

    /// Structs, sequences and dictionaries use types as well.
    fn values(&mut self, model: &Model) {
        for module in &model.modules {
            for ty in module.elements.iter().filter_map(Links::value_type) {
                let Some((home, name)) = model.declared(ty) else {
                    continue;
                };
                let user = Place {
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

    fn add(&mut self, ty: Type, user: &Place) {
        let users = self.of_types.entry(ty).or_default();
        if users.last() != Some(user) {
            users.push(user.clone());
        }
    }

    pub(super) fn of_type(&self, ty: Type) -> &[Place] {
        self.of_types.get(&ty).map_or(&[], Vec::as_slice)
    }

    pub(super) fn of_interface(&self, id: InterfaceId) -> &[Place] {
        self.of_interfaces.get(&id).map_or(&[], Vec::as_slice)
    }
}
