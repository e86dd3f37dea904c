//! Where everything is: pages, anchors, and links to them.

use maud::{Markup, html};
use tce_idl::model::{Element, InterfaceId, Model, ModuleId, Operation, Type};

/// How the names of module pages begin, apart from those of other pages.
pub(super) const MODULE_PAGE: &str = "module.";

/// Links into the pages of a model. Names are letters, digits and `_`: they
/// are anchors and file names as they are.
pub(super) struct Links<'m>(pub(super) &'m Model);

impl Links<'_> {
    /// The page of a module.
    pub(super) fn page(&self, module: ModuleId) -> String {
        format!("{MODULE_PAGE}{}.html", self.0.module(module).name)
    }

    /// The address of an element.
    pub(super) fn element(&self, module: ModuleId, name: &str) -> String {
        format!("{}#{name}", self.page(module))
    }

    /// The address of an operation.
    pub(super) fn operation(&self, interface: InterfaceId, operation: &Operation) -> String {
        let it = self.0.interface(interface);
        self.element(it.module, &anchor(&it.name, &operation.name))
    }

    /// An interface, spelt for a reader in module `from`.
    pub(super) fn interface(&self, id: InterfaceId, from: ModuleId) -> Markup {
        let it = self.0.interface(id);
        html! {
            a href=(self.element(it.module, &it.name)) {
                @if it.module != from { (self.0.module(it.module).name) "::" }
                (it.name)
            }
        }
    }

    /// A type, spelt for a reader in module `from`; `void` for none.
    pub(super) fn ty(&self, ty: Option<Type>, from: ModuleId) -> Markup {
        let spelt = self.0.spell(ty, from);
        let declared = ty.and_then(|ty| self.0.declared(ty));
        html! {
            @match declared {
                Some((module, name)) => a href=(self.element(module, name)) { (spelt) },
                None => span.builtin { (spelt) },
            }
        }
    }

    /// A declared type, spelt as its own module does.
    pub(super) fn own_type(&self, ty: Type) -> Markup {
        let declared = self.0.declared(ty);
        let from = declared.map_or(ModuleId(0), |(module, _)| module);
        self.ty(Some(ty), from)
    }

    /// How an interface of module `from` would declare an operation of
    /// `interface`; its name leads to where it is.
    pub(super) fn signature(
        &self,
        interface: InterfaceId,
        it: &Operation,
        from: ModuleId,
    ) -> Markup {
        html! {
            (self.ty(it.returns, from)) " "
            a.name href=(self.operation(interface, it)) { (it.name) } "("
            @for (number, parameter) in it.parameters.iter().enumerate() {
                @if number > 0 { ", " }
                (self.ty(Some(parameter.ty), from)) " " (parameter.name)
            }
            ")"
        }
    }

    /// The type that an element declares, if it is one of values.
    pub(super) fn value_type(element: &Element) -> Option<Type> {
        match *element {
            Element::Struct(id) => Some(Type::Struct(id)),
            Element::Sequence(id) => Some(Type::Sequence(id)),
            Element::Dictionary(id) => Some(Type::Dictionary(id)),
            Element::Interface(_) => None,
        }
    }
}

/// Where something within an element is on its page: no element has a dot in its name.
pub(super) fn anchor(element: &str, inner: &str) -> String {
    format!("{element}.{inner}")
}
