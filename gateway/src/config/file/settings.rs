//! The properties of a server, from the file and from overrides.

use std::collections::HashMap;

use tce_runtime::config::problem::quoted;

use super::{
    definitions::Definitions,
    xml::{Reporter, XmlAttribute, XmlElement},
};
use crate::config::{
    overrides::{Override, OverrideSource, ValueOrigin},
    properties::{FILE_PROPERTIES, PROPERTIES, Properties},
};

/// A property by its name: an index into `FILE_PROPERTIES` or `PROPERTIES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PropertyIndex {
    OfFile(usize),
    Property(usize),
}

/// The properties of a server, and the origin of each.
#[derive(Debug)]
pub(super) struct ServerSettings<'a> {
    pub(super) properties: Properties,
    /// In the order of `PROPERTIES`.
    pub(super) origins: Vec<ValueOrigin>,
    /// `listen` and `loopback`, if they are set.
    of_file: [Option<XmlAttribute<'a>>; 2],
    /// The offset of the server.
    at: usize,
}

impl<'a> ServerSettings<'a> {
    pub(super) fn read(
        server: XmlElement<'a>,
        sections: &[XmlElement<'a>],
        definitions: &Definitions<'_>,
        reporter: &mut Reporter<'_, '_>,
    ) -> Self {
        let mut settings = Self {
            properties: Properties::default(),
            origins: vec![ValueOrigin::Default; PROPERTIES.len()],
            of_file: [None; 2],
            at: server.at(),
        };
        let mut seen = HashMap::new();
        for section in sections {
            for element in section.children(&["property"], reporter) {
                element.warn_unknown_attributes(&["name", "value"], reporter);
                let Some(name) = element.require("name", "listen", reporter) else {
                    continue;
                };
                let Some(row) = find_row(name, reporter) else {
                    continue;
                };
                if let Some(first) = seen.insert(row, name.at) {
                    let (text, line) = (quoted(name.text), reporter.line(first));
                    reporter.error(
                        name.at,
                        format!("property {text} is set twice; first on line {line}"),
                    );
                }
                // Without a value it keeps its default.
                if let Some(value) = element.attribute("value") {
                    settings.take(row, value, definitions, reporter);
                }
            }
        }
        for over in definitions.overrides {
            settings.override_with(over, definitions, reporter);
        }
        settings
    }

    pub(super) fn listen(&self) -> Option<XmlAttribute<'a>> {
        self.of_file[0]
    }

    pub(super) fn loopback(&self) -> Option<XmlAttribute<'a>> {
        self.of_file[1]
    }

    fn take(
        &mut self,
        row: PropertyIndex,
        value: XmlAttribute<'a>,
        definitions: &Definitions<'_>,
        reporter: &mut Reporter<'_, '_>,
    ) {
        match row {
            PropertyIndex::OfFile(index) => self.of_file[index] = Some(value),
            PropertyIndex::Property(row) => {
                let origin = ValueOrigin::File(reporter.location(value.at));
                if let Err(wrong) = self.set(row, value.text, origin, definitions, reporter) {
                    reporter.error(value.at, wrong);
                }
            }
        }
    }

    fn override_with(
        &mut self,
        over: &Override,
        definitions: &Definitions<'_>,
        reporter: &mut Reporter<'_, '_>,
    ) {
        let found = PROPERTIES.iter().position(|row| row.name == over.name);
        let Some(row) = found else {
            report_unknown(over, reporter);
            return;
        };
        let origin = ValueOrigin::Override(over.source);
        if let Err(wrong) = self.set(row, over.value.trim(), origin, definitions, reporter) {
            reporter
                .report
                .error_of(&over.source.name_of(&over.name), wrong);
        }
    }

    fn set(
        &mut self,
        row: usize,
        text: &str,
        origin: ValueOrigin,
        definitions: &Definitions<'_>,
        reporter: &Reporter<'_, '_>,
    ) -> Result<(), String> {
        let find = |name: &str| definitions.endpoints.find(name, reporter);
        let property = &PROPERTIES[row];
        (property.set)(&mut self.properties, text, &find)
            .map_err(|wrong| format!("`{}` {wrong}", property.name))?;
        self.origins[row] = if text.is_empty() {
            ValueOrigin::Default
        } else {
            origin
        };
        Ok(())
    }

    /// Reports an error in a property, located where it is set.
    pub(super) fn error(&self, name: &str, message: &str, reporter: &mut Reporter<'_, '_>) {
        match self.origin(name) {
            ValueOrigin::Default => reporter.error(self.at, message),
            ValueOrigin::File(location) => reporter.report.error(location, message),
            ValueOrigin::Override(source) => {
                reporter.report.error_of(&source.name_of(name), message);
            }
        }
    }

    /// Reports a warning about a property, located where it is set.
    pub(super) fn warn(&self, name: &str, message: &str, reporter: &mut Reporter<'_, '_>) {
        match self.origin(name) {
            ValueOrigin::Default => reporter.warn(self.at, message),
            ValueOrigin::File(location) => reporter.report.warn(location, message),
            ValueOrigin::Override(source) => {
                reporter.report.warn_of(&source.name_of(name), message);
            }
        }
    }

    fn origin(&self, name: &str) -> ValueOrigin {
        let row = PROPERTIES.iter().position(|row| row.name == name);
        row.map_or(ValueOrigin::Default, |row| self.origins[row])
    }

    /// Whether the property is set, by the file or an override.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.origin(name) != ValueOrigin::Default
    }
}

fn find_row(name: XmlAttribute<'_>, reporter: &mut Reporter<'_, '_>) -> Option<PropertyIndex> {
    let is_it = |known: &str| known.eq_ignore_ascii_case(name.text);
    let mut of_file = FILE_PROPERTIES.iter();
    let of_file = of_file
        .position(|row| is_it(row.name))
        .map(PropertyIndex::OfFile);
    let found = of_file.or_else(|| {
        let index = PROPERTIES.iter().position(|row| is_it(row.name));
        index.map(PropertyIndex::Property)
    });
    if found.is_none() {
        let names = FILE_PROPERTIES.iter().map(|row| row.name);
        let names = names.chain(PROPERTIES.iter().map(|row| row.name));
        let suggestion = reporter.suggest(name.text, names);
        let name_text = quoted(name.text);
        reporter.warn(name.at, format!("unknown property {name_text}{suggestion}"));
    }
    found
}

/// An unknown flag is an error. An unknown variable is only a warning, since it
/// may belong to another program: Kubernetes sets `TCE_GATEWAY_SERVICE_HOST` for a
/// service called `tce-gateway`.
fn report_unknown(over: &Override, reporter: &mut Reporter<'_, '_>) {
    let name = quoted(&over.name);
    let message = if FILE_PROPERTIES.iter().any(|row| row.name == over.name) {
        format!("{name} can only be set in the file")
    } else {
        let names = PROPERTIES.iter().map(|row| row.name);
        let suggestion = reporter.suggest(&over.name, names);
        format!("unknown property {name}{suggestion}")
    };
    let origin = over.source.name_of(&over.name);
    match over.source {
        OverrideSource::Flag => reporter.report.error_of(&origin, message),
        OverrideSource::Environment => reporter.report.warn_of(&origin, message),
    }
}
