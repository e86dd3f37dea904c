//! `EndPoints`: the names of endpoints, and what they stand for.

use std::collections::HashMap;

use tce_runtime::config::problem::quoted;

use super::{
    endpoint::{Family, Fields},
    variables::Variables,
    xml::{Attribute, Element, Sink},
};
use crate::config::{Endpoint, EndpointId, EndpointKind};

/// An endpoint where it is named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) id: EndpointId,
    pub(super) name: &'a str,
    pub(super) at: usize,
}

/// An endpoint as far as its definition is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defined {
    /// Where it is defined.
    pub(super) at: usize,
    /// None where its type is unknown, which is reported.
    pub(super) family: Option<Family>,
    /// Whether it says where its server is: a listening one need not.
    pub(super) has_host: bool,
}

/// The endpoints of a file.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    defined: Vec<Defined>,
    names: Vec<String>,
    /// None for what is not right.
    kinds: Vec<Option<EndpointKind>>,
    by_name: HashMap<String, EndpointId>,
}

impl Endpoints {
    /// Adds those of an `EndPoints`.
    pub(super) fn read<'a>(
        &mut self,
        section: Element<'a>,
        variables: &Variables<'a>,
        sink: &mut Sink<'_, '_>,
    ) {
        for element in section.children(&["ep"], sink) {
            let fields = Fields::read(element, variables, sink);
            let Some(name) = fields.name(sink) else {
                continue;
            };
            if let Some(first) = self.by_name.get(&name) {
                let line = sink.line(self.defined(*first).at);
                let name = quoted(&name);
                sink.error(
                    element.at(),
                    format!("endpoint {name} is defined twice; line {line} has it"),
                );
                continue;
            }
            let family = fields.family(sink);
            let id = EndpointId(u16::try_from(self.defined.len()).unwrap_or(u16::MAX));
            self.defined.push(Defined {
                at: element.at(),
                family,
                has_host: fields.has("host"),
            });
            let kind = family.and_then(|family| fields.kind(family, &name, sink));
            self.kinds.push(kind);
            self.by_name.insert(name.clone(), id);
            self.names.push(name);
        }
    }

    pub(super) fn family(&self, id: EndpointId) -> Option<Family> {
        self.defined(id).family
    }

    pub(super) fn defined(&self, id: EndpointId) -> Defined {
        self.defined[id.index()]
    }

    pub(super) fn name(&self, id: EndpointId) -> &str {
        &self.names[id.index()]
    }

    /// The endpoint's definition, if nothing in it is wrong.
    pub(super) fn kind(&self, id: EndpointId) -> Option<&EndpointKind> {
        self.kinds[id.index()].as_ref()
    }

    /// The endpoint of that name; else why there is none.
    pub(super) fn find(&self, name: &str, sink: &Sink<'_, '_>) -> Result<EndpointId, String> {
        if let Some(id) = self.by_name.get(name) {
            return Ok(*id);
        }
        let mut right = sink.suggest(name, self.by_name.keys().map(String::as_str));
        if right.is_empty() {
            right = "; define it in EndPoints".to_owned();
        }
        Err(format!("endpoint {} is not defined{right}", quoted(name)))
    }

    /// The endpoint that an attribute names; that there is none is reported.
    pub(super) fn named<'a>(
        &self,
        name: Attribute<'a>,
        sink: &mut Sink<'_, '_>,
    ) -> Option<Named<'a>> {
        match self.find(name.text, sink) {
            Ok(id) => Some(Named {
                id,
                name: name.text,
                at: name.at,
            }),
            Err(message) => {
                sink.error(name.at, message);
                None
            }
        }
    }

    pub(super) fn finish(self) -> Vec<Endpoint> {
        let both = self.names.into_iter().zip(self.kinds);
        both.filter_map(|(name, kind)| Some(Endpoint { name, kind: kind? }))
            .collect()
    }
}
