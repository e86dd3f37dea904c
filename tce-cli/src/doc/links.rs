//! Addresses of pages and anchors, and links to them.

use maud::{Markup, html};
use tce_idl::model::{
    Element, ExceptionId, Interface, InterfaceId, Model, Module, ModuleId, Operation, Type,
};

/// File name of the start page.
pub(super) const START_PAGE: &str = "index.html";
/// File name of the page of all operations by their indices.
pub(super) const WIRE_PAGE: &str = "wire.html";
/// Start of the file names of module pages, which no other file name has.
pub(super) const MODULE_PAGE: &str = "module.";

/// Links into the pages of a model. Names in a model consist of letters, digits and `_`, and need
/// no escaping in anchors and file names.
pub(super) struct Links<'m>(pub(super) &'m Model);

impl Links<'_> {
    /// The modules with their ids.
    pub(super) fn modules(&self) -> impl Iterator<Item = (ModuleId, &Module)> {
        (0..).map(ModuleId).zip(&self.0.modules)
    }

    /// The interfaces with their ids.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = (InterfaceId, &Interface)> {
        (0..).map(InterfaceId).zip(&self.0.interfaces)
    }

    /// The file name of a module's page. A number tells it from the page of an earlier module whose
    /// name is the same where file names have no case.
    pub(super) fn page(&self, module: ModuleId) -> String {
        let name = &self.0.module(module).name;
        let earlier = self.modules().take_while(|(id, _)| *id != module);
        let alike = earlier.filter(|(_, it)| it.name.eq_ignore_ascii_case(name));
        match alike.count() {
            0 => format!("{MODULE_PAGE}{name}.html"),
            number => format!("{MODULE_PAGE}{name}-{}.html", number + 1),
        }
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

    /// A link to an interface, qualified if it is not in module `from`.
    pub(super) fn interface(&self, id: InterfaceId, from: ModuleId) -> Markup {
        let it = self.0.interface(id);
        html! {
            a href=(self.element(it.module, &it.name)) {
                @if it.module != from { (self.0.module(it.module).name) "::" }
                (it.name)
            }
        }
    }

    /// A type, qualified if it is not in module `from`, with a link to its declaration; `void` for
    /// `None`.
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

    /// A link to a declared type, not qualified.
    pub(super) fn own_type(&self, ty: Type) -> Markup {
        let declared = self.0.declared(ty);
        let from = declared.map_or(ModuleId(0), |(module, _)| module);
        self.ty(Some(ty), from)
    }

    /// The declaration of an operation of `interface`, with types as module `from` writes them. The
    /// name links to the operation.
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
            @for (number, id) in it.throws.iter().enumerate() {
                @if number == 0 { " throws " } @else { ", " }
                (self.exception(*id, from))
            }
        }
    }

    /// A link to an exception, qualified if it is not in module `from`.
    pub(super) fn exception(&self, id: ExceptionId, from: ModuleId) -> Markup {
        let it = self.0.exception(id);
        html! {
            a href=(self.element(it.module, &it.name)) {
                (self.0.spell_in(it.module, &it.name, from))
            }
        }
    }

    /// The value type that an element declares, if it does.
    pub(super) fn value_type(element: &Element) -> Option<Type> {
        match *element {
            Element::Struct(id) => Some(Type::Struct(id)),
            Element::Sequence(id) => Some(Type::Sequence(id)),
            Element::Dictionary(id) => Some(Type::Dictionary(id)),
            Element::Enum(id) => Some(Type::Enum(id)),
            Element::Interface(_) | Element::Exception(_) | Element::Constant(_) => None,
        }
    }
}

/// The anchor of an operation or a member. The dot keeps it apart from the anchors of elements.
pub(super) fn anchor(element: &str, inner: &str) -> String {
    format!("{element}.{inner}")
}
