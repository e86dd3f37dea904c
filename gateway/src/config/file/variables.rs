//! `VariantDef`: values with names, and the places where they are put in.

use std::{borrow::Cow, collections::HashMap};

use tce_runtime::config::problem::quoted;

use super::xml::{Attribute, Element, Sink};

/// The variables of a file by their names.
#[derive(Debug, Default)]
pub(super) struct Variables<'a>(HashMap<&'a str, (&'a str, usize)>);

impl<'a> Variables<'a> {
    /// Adds those of a `VariantDef`.
    pub(super) fn read(&mut self, section: Element<'a>, sink: &mut Sink<'_, '_>) {
        for element in section.children(&["var"], sink) {
            element.know_attributes(&["name", "value"], sink);
            let Some(name) = element.demand("name", "mq-host", sink) else {
                continue;
            };
            // An empty value is one: a host that is empty is any of ours.
            let value = element.attribute("value").map_or("", |value| value.text);
            if let Some((_, first)) = self.0.get(name.text) {
                let (name_text, line) = (quoted(name.text), sink.line(*first));
                sink.error(
                    name.at,
                    format!("variable {name_text} is defined twice; line {line} has it"),
                );
                continue;
            }
            self.0.insert(name.text, (value, element.at()));
        }
    }

    /// The attribute's text with the values of its variables put in. What is in
    /// braces and can't be a variable's name, as the options of an address,
    /// stays. None where there is no such variable, which is reported.
    pub(super) fn expand(
        &self,
        attribute: Attribute<'a>,
        sink: &mut Sink<'_, '_>,
    ) -> Option<Cow<'a, str>> {
        if !attribute.text.contains('{') {
            return Some(attribute.text.into());
        }
        let mut expanded = String::with_capacity(attribute.text.len());
        let mut rest = attribute.text;
        let mut all = true;
        while let Some((before, behind)) = rest.split_once('{') {
            expanded.push_str(before);
            rest = behind;
            let inner = behind
                .find(['{', '}'])
                .filter(|end| behind[*end..].starts_with('}'));
            let Some(name) = inner.map(|end| &behind[..end]).filter(|name| is_name(name)) else {
                expanded.push('{');
                continue;
            };
            match self.0.get(name.trim()) {
                Some((value, _)) => expanded.push_str(value),
                None => {
                    self.tell_unknown(name.trim(), attribute.at, sink);
                    all = false;
                }
            }
            rest = &behind[name.len() + 1..];
        }
        expanded.push_str(rest);
        all.then(|| expanded.into())
    }

    fn tell_unknown(&self, name: &str, at: usize, sink: &mut Sink<'_, '_>) {
        let mut right = sink.suggest(name, self.0.keys().copied());
        if right.is_empty() {
            right = "; define it in VariantDef".to_owned();
        }
        let name = quoted(name);
        sink.error(at, format!("variable {name} is not defined{right}"));
    }
}

/// An option of an address has a colon, which no variable's name has.
fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains([':', ',', ';', '"', '\''])
}
