//! The properties of a server: the file's, and what goes over them.

use std::collections::HashMap;

use tce_runtime::config::problem::quoted;

use super::{
    names::Definitions,
    xml::{Attribute, Element, Sink},
};
use crate::config::{Origin, Override, PROPERTIES, Properties, Source, properties::SHAPE};

/// What a name in the file stands for: a place in `SHAPE` or in `PROPERTIES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Row {
    Shape(usize),
    Property(usize),
}

/// The properties of a server, and where each was said.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    pub(super) properties: Properties,
    /// In the order of `PROPERTIES`.
    pub(super) origins: Vec<Origin>,
    /// `listen` and `loopback`, where they are said.
    shape: [Option<Attribute<'a>>; 2],
    /// Where the server is.
    at: usize,
}

impl<'a> Settings<'a> {
    pub(super) fn read(
        server: Element<'a>,
        sections: &[Element<'a>],
        definitions: &Definitions<'_>,
        sink: &mut Sink<'_, '_>,
    ) -> Self {
        let mut settings = Self {
            properties: Properties::default(),
            origins: vec![Origin::Default; PROPERTIES.len()],
            shape: [None; 2],
            at: server.at(),
        };
        let mut seen = HashMap::new();
        for section in sections {
            for element in section.children(&["property"], sink) {
                element.know_attributes(&["name", "value"], sink);
                let Some(name) = element.demand("name", "listen", sink) else {
                    continue;
                };
                let Some(row) = find_row(name, sink) else {
                    continue;
                };
                if let Some(first) = seen.insert(row, name.at) {
                    let (text, line) = (quoted(name.text), sink.line(first));
                    sink.error(
                        name.at,
                        format!("property {text} is given twice; line {line} has it"),
                    );
                }
                // One without a value has its default.
                if let Some(value) = element.attribute("value") {
                    settings.take(row, value, definitions, sink);
                }
            }
        }
        for said in definitions.overrides {
            settings.go_over(said, definitions, sink);
        }
        settings
    }

    pub(super) fn listen(&self) -> Option<Attribute<'a>> {
        self.shape[0]
    }

    pub(super) fn loopback(&self) -> Option<Attribute<'a>> {
        self.shape[1]
    }

    fn take(
        &mut self,
        row: Row,
        value: Attribute<'a>,
        definitions: &Definitions<'_>,
        sink: &mut Sink<'_, '_>,
    ) {
        match row {
            Row::Shape(place) => self.shape[place] = Some(value),
            Row::Property(row) => {
                let origin = Origin::File(sink.place(value.at));
                if let Err(wrong) = self.set(row, value.text, origin, definitions, sink) {
                    sink.error(value.at, wrong);
                }
            }
        }
    }

    fn go_over(&mut self, said: &Override, definitions: &Definitions<'_>, sink: &mut Sink<'_, '_>) {
        let found = PROPERTIES.iter().position(|row| row.name == said.name);
        let Some(row) = found else {
            refuse_unknown(said, sink);
            return;
        };
        let origin = Origin::Over(said.source);
        if let Err(wrong) = self.set(row, said.value.trim(), origin, definitions, sink) {
            sink.report.error_of(&said.source.says(&said.name), wrong);
        }
    }

    fn set(
        &mut self,
        row: usize,
        text: &str,
        origin: Origin,
        definitions: &Definitions<'_>,
        sink: &Sink<'_, '_>,
    ) -> Result<(), String> {
        let find = |name: &str| definitions.endpoints.find(name, sink);
        let property = &PROPERTIES[row];
        (property.set)(&mut self.properties, text, &find)
            .map_err(|wrong| format!("`{}` {wrong}", property.name))?;
        self.origins[row] = if text.is_empty() {
            Origin::Default
        } else {
            origin
        };
        Ok(())
    }

    /// Reports a mistake in a property where it is said.
    pub(super) fn error(&self, name: &str, message: &str, sink: &mut Sink<'_, '_>) {
        match self.origin(name) {
            Origin::Default => sink.error(self.at, message),
            Origin::File(place) => sink.report.error(place, message),
            Origin::Over(source) => sink.report.error_of(&source.says(name), message),
        }
    }

    /// Warns of a property where it is said.
    pub(super) fn warn(&self, name: &str, message: &str, sink: &mut Sink<'_, '_>) {
        match self.origin(name) {
            Origin::Default => sink.warn(self.at, message),
            Origin::File(place) => sink.report.warn(place, message),
            Origin::Over(source) => sink.report.warn_of(&source.says(name), message),
        }
    }

    fn origin(&self, name: &str) -> Origin {
        let row = PROPERTIES.iter().position(|row| row.name == name);
        row.map_or(Origin::Default, |row| self.origins[row])
    }

    /// Whether the property is said anywhere.
    pub(super) fn says(&self, name: &str) -> bool {
        self.origin(name) != Origin::Default
    }
}

fn find_row(name: Attribute<'_>, sink: &mut Sink<'_, '_>) -> Option<Row> {
    let is_it = |known: &str| known.eq_ignore_ascii_case(name.text);
    let shape = SHAPE.iter().position(|row| is_it(row.name)).map(Row::Shape);
    let found = shape.or_else(|| {
        let place = PROPERTIES.iter().position(|row| is_it(row.name));
        place.map(Row::Property)
    });
    if found.is_none() {
        let names = SHAPE.iter().map(|row| row.name);
        let names = names.chain(PROPERTIES.iter().map(|row| row.name));
        let suggestion = sink.suggest(name.text, names);
        let name_text = quoted(name.text);
        sink.warn(
            name.at,
            format!("property {name_text} means nothing here{suggestion}"),
        );
    }
    found
}

/// A flag was meant; a variable of the environment may be another's, as those
/// that Kubernetes sets for a service called `tce-gateway`.
fn refuse_unknown(said: &Override, sink: &mut Sink<'_, '_>) {
    let why = if SHAPE.iter().any(|row| row.name == said.name) {
        "is said in the file alone".to_owned()
    } else {
        let suggestion = sink.suggest(&said.name, PROPERTIES.iter().map(|row| row.name));
        format!("is no property{suggestion}")
    };
    let (origin, message) = (
        said.source.says(&said.name),
        format!("{} {why}", quoted(&said.name)),
    );
    match said.source {
        Source::Flag => sink.report.error_of(&origin, message),
        Source::Environment => sink.report.warn_of(&origin, message),
    }
}
