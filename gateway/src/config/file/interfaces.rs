//! `InterfaceDef`: the interfaces that routes may name.

use std::collections::HashMap;

use tce_runtime::config::problem::quoted;

use super::xml::{Attribute, Element, Sink};
use crate::config::Interface;

/// The built-in interface's index, which every program of ours serves itself.
const BUILTIN: u16 = u16::MAX;

/// The interfaces of a file by their names.
#[derive(Debug, Default)]
pub(super) struct Interfaces<'a> {
    /// The index, where it is one, and where the definition is.
    by_name: HashMap<&'a str, (Option<u16>, usize)>,
    by_index: HashMap<u16, usize>,
}

impl<'a> Interfaces<'a> {
    /// Adds those of an `InterfaceDef`.
    pub(super) fn read(&mut self, section: Element<'a>, sink: &mut Sink<'_, '_>) {
        for element in section.children(&["if"], sink) {
            element.know_attributes(&["id", "name"], sink);
            let name = element.demand("name", "test.Server", sink);
            let ifidx = element
                .demand("id", "0", sink)
                .and_then(|id| self.index(id, sink));
            if let Some(name) = name {
                self.insert(name, ifidx, sink);
            }
        }
    }

    fn index(&mut self, id: Attribute<'_>, sink: &mut Sink<'_, '_>) -> Option<u16> {
        let text = quoted(id.text);
        let Some(ifidx) = id.text.parse().ok().filter(|ifidx| *ifidx != BUILTIN) else {
            let why = if id.text == "65535" {
                " (65535 is the built-in interface's)"
            } else {
                ""
            };
            sink.error(
                id.at,
                format!("`id` can't be {text}{why}; write a number from 0 to 65534, as the IDL's index file has it"),
            );
            return None;
        };
        if let Some(first) = self.by_index.insert(ifidx, id.at) {
            let line = sink.line(first);
            sink.error(
                id.at,
                format!("interface id {text} is given twice; line {line} has it"),
            );
        }
        Some(ifidx)
    }

    fn insert(&mut self, name: Attribute<'a>, ifidx: Option<u16>, sink: &mut Sink<'_, '_>) {
        if let Some((_, first)) = self.by_name.get(name.text) {
            let (name_text, line) = (quoted(name.text), sink.line(*first));
            sink.error(
                name.at,
                format!("interface {name_text} is defined twice; line {line} has it"),
            );
            return;
        }
        self.by_name.insert(name.text, (ifidx, name.at));
    }

    /// The index of the interface that an attribute names; `None` where it is
    /// not defined, or not rightly so, which is reported.
    pub(super) fn find(&self, name: Attribute<'_>, sink: &mut Sink<'_, '_>) -> Option<u16> {
        if let Some((ifidx, _)) = self.by_name.get(name.text) {
            return *ifidx;
        }
        let mut right = sink.suggest(name.text, self.by_name.keys().copied());
        if right.is_empty() {
            right = "; define it in InterfaceDef".to_owned();
        }
        let name_text = quoted(name.text);
        sink.error(
            name.at,
            format!("interface {name_text} is not defined{right}"),
        );
        None
    }

    pub(super) fn finish(self) -> Vec<Interface> {
        let mut interfaces: Vec<_> = self
            .by_name
            .into_iter()
            .filter_map(|(name, (ifidx, _))| {
                Some(Interface {
                    ifidx: ifidx?,
                    name: name.to_owned(),
                })
            })
            .collect();
        interfaces.sort_by_key(|interface| interface.ifidx);
        interfaces
    }
}
