//! The names that servers use: interfaces and endpoints.

use std::collections::HashMap;

use tce_runtime::config::problem::{Location, quoted};

use super::{
    endpoint::{EndpointAttributes, Family, Variables},
    xml::{Reporter, XmlAttribute, XmlElement},
};
use crate::config::{
    endpoint::{EndpointId, EndpointKind, ServiceEndpoint},
    overrides::Override,
    services::ServiceInterface,
    warnings::WarningScope,
};

/// The names that servers use, and the overrides of their properties.
pub(super) struct Definitions<'a> {
    pub(super) interfaces: InterfaceDefinitions<'a>,
    pub(super) endpoints: Endpoints,
    /// Overrides of the properties of every server.
    pub(super) overrides: &'a [Override],
}

/// The index of the built-in interface, which every TCE program serves.
const BUILTIN: u16 = u16::MAX;

/// The interfaces of a file, by name.
#[derive(Debug, Default)]
pub(super) struct InterfaceDefinitions<'a> {
    /// The index, if it is valid, and the offset of the definition.
    by_name: HashMap<&'a str, (Option<u16>, usize)>,
    by_index: HashMap<u16, usize>,
}

impl<'a> InterfaceDefinitions<'a> {
    /// Adds the interfaces of an `InterfaceDef`.
    pub(super) fn read(&mut self, section: XmlElement<'a>, reporter: &mut Reporter<'_, '_>) {
        for element in section.children(&["if"], reporter) {
            element.warn_unknown_attributes(&["id", "name"], reporter);
            let name = element.require("name", "test.Server", reporter);
            let ifidx = element
                .require("id", "0", reporter)
                .and_then(|id| self.index(id, reporter));
            if let Some(name) = name {
                self.insert(name, ifidx, reporter);
            }
        }
    }

    fn index(&mut self, id: XmlAttribute<'_>, reporter: &mut Reporter<'_, '_>) -> Option<u16> {
        let text = quoted(id.text);
        let Some(ifidx) = id.text.parse().ok().filter(|ifidx| *ifidx != BUILTIN) else {
            let why = if id.text == "65535" {
                " (reserved for the built-in interface)"
            } else {
                ""
            };
            reporter.error(
                id.at,
                format!("`id` can't be {text}{why}; write the interface's index in the IDL, a number from 0 to 65534"),
            );
            return None;
        };
        if let Some(first) = self.by_index.insert(ifidx, id.at) {
            let line = reporter.line(first);
            reporter.error(
                id.at,
                format!("interface id {text} is used twice; first on line {line}"),
            );
        }
        Some(ifidx)
    }

    fn insert(
        &mut self,
        name: XmlAttribute<'a>,
        ifidx: Option<u16>,
        reporter: &mut Reporter<'_, '_>,
    ) {
        if let Some((_, first)) = self.by_name.get(name.text) {
            let (name_text, line) = (quoted(name.text), reporter.line(*first));
            reporter.error(
                name.at,
                format!("interface {name_text} is defined twice; first on line {line}"),
            );
            return;
        }
        self.by_name.insert(name.text, (ifidx, name.at));
    }

    /// The index of the interface that an attribute names; `None` after
    /// reporting that it is not defined, or that its definition is wrong.
    pub(super) fn find(
        &self,
        name: XmlAttribute<'_>,
        reporter: &mut Reporter<'_, '_>,
    ) -> Option<u16> {
        if let Some((ifidx, _)) = self.by_name.get(name.text) {
            return *ifidx;
        }
        let hint = self.undefined_hint(name.text, reporter).unwrap_or_default();
        let name_text = quoted(name.text);
        reporter.error(
            name.at,
            format!("interface {name_text} is not defined{hint}"),
        );
        None
    }

    /// What to do about an interface that is not defined; `None` if it is.
    pub(super) fn undefined_hint(&self, name: &str, reporter: &Reporter<'_, '_>) -> Option<String> {
        if self.by_name.contains_key(name) {
            return None;
        }
        let hint = reporter.suggest(name, self.by_name.keys().copied());
        Some(match hint.is_empty() {
            true => "; define it in InterfaceDef".to_owned(),
            false => hint,
        })
    }

    pub(super) fn finish(self) -> Vec<ServiceInterface> {
        let mut interfaces: Vec<_> = self
            .by_name
            .into_iter()
            .filter_map(|(name, (ifidx, _))| {
                Some(ServiceInterface {
                    ifidx: ifidx?,
                    name: name.to_owned(),
                })
            })
            .collect();
        interfaces.sort_by_key(|interface| interface.ifidx);
        interfaces
    }
}

/// A reference to an endpoint by its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndpointRef<'a> {
    pub(super) id: EndpointId,
    pub(super) name: &'a str,
    pub(super) at: usize,
}

/// What is known of an endpoint though its definition may have mistakes.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndpointDefinition {
    /// The offset of the definition.
    pub(super) at: usize,
    /// `None` after reporting an unknown type.
    pub(super) family: Option<Family>,
    /// Whether it names a host: required of a server's socket, optional for
    /// listening.
    pub(super) has_host: bool,
}

/// The endpoints of a file.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    defined: Vec<EndpointDefinition>,
    names: Vec<String>,
    /// `None` for a definition with reported mistakes.
    kinds: Vec<Option<EndpointKind>>,
    by_name: HashMap<String, EndpointId>,
}

impl Endpoints {
    /// Adds the endpoints of an `EndPoints`.
    pub(super) fn read<'a>(
        &mut self,
        section: XmlElement<'a>,
        variables: &Variables<'a>,
        reporter: &mut Reporter<'_, '_>,
    ) {
        for element in section.children(&["ep"], reporter) {
            let id = EndpointId(u16::try_from(self.defined.len()).unwrap_or(u16::MAX));
            reporter.scoped(WarningScope::Endpoint(id), |reporter| {
                self.define(id, element, variables, reporter);
            });
        }
    }

    fn define<'a>(
        &mut self,
        id: EndpointId,
        element: XmlElement<'a>,
        variables: &Variables<'a>,
        reporter: &mut Reporter<'_, '_>,
    ) {
        let fields = EndpointAttributes::read(element, variables, reporter);
        let Some(name) = fields.name(reporter) else {
            return;
        };
        if let Some(first) = self.by_name.get(&name) {
            let line = reporter.line(self.defined(*first).at);
            let name = quoted(&name);
            reporter.error(
                element.at(),
                format!("endpoint {name} is defined twice; first on line {line}"),
            );
            return;
        }
        let family = fields.family(reporter);
        self.defined.push(EndpointDefinition {
            at: element.at(),
            family,
            has_host: fields.has("host"),
        });
        let kind = family.and_then(|family| fields.kind(family, &name, reporter));
        self.kinds.push(kind);
        self.by_name.insert(name.clone(), id);
        self.names.push(name);
    }

    pub(super) fn family(&self, id: EndpointId) -> Option<Family> {
        self.defined(id).family
    }

    pub(super) fn defined(&self, id: EndpointId) -> EndpointDefinition {
        self.defined[id.index()]
    }

    pub(super) fn name(&self, id: EndpointId) -> &str {
        &self.names[id.index()]
    }

    /// The endpoint, if its definition has no mistakes.
    pub(super) fn kind(&self, id: EndpointId) -> Option<&EndpointKind> {
        self.kinds[id.index()].as_ref()
    }

    /// The endpoint of that name, or the text of an error.
    pub(super) fn find(
        &self,
        name: &str,
        reporter: &Reporter<'_, '_>,
    ) -> Result<EndpointId, String> {
        if let Some(id) = self.by_name.get(name) {
            return Ok(*id);
        }
        let mut hint = reporter.suggest(name, self.by_name.keys().map(String::as_str));
        if hint.is_empty() {
            hint = "; define it in EndPoints".to_owned();
        }
        Err(format!("endpoint {} is not defined{hint}", quoted(name)))
    }

    /// The endpoint that an attribute names; reports an error if there is none.
    pub(super) fn resolve<'a>(
        &self,
        name: XmlAttribute<'a>,
        reporter: &mut Reporter<'_, '_>,
    ) -> Option<EndpointRef<'a>> {
        match self.find(name.text, reporter) {
            Ok(id) => Some(EndpointRef {
                id,
                name: name.text,
                at: name.at,
            }),
            Err(message) => {
                reporter.error(name.at, message);
                None
            }
        }
    }

    pub(super) fn locations(&self, reporter: &Reporter<'_, '_>) -> Vec<Location> {
        let defined = self.defined.iter();
        defined
            .map(|endpoint| reporter.location(endpoint.at))
            .collect()
    }

    pub(super) fn finish(self) -> Vec<ServiceEndpoint> {
        let both = self.names.into_iter().zip(self.kinds);
        both.filter_map(|(name, kind)| Some(ServiceEndpoint { name, kind: kind? }))
            .collect()
    }
}
