//! Variables, and what jobs tell about themselves: events, meters and labels.

use serde::{Deserialize, Serialize};

/// A variable of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: Box<str>,
    /// Its value.
    pub value: Box<str>,
}

impl Variable {
    /// A variable.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// Events, meters and labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// Switches.
    pub events: Vec<Event>,
    /// Integers within bounds.
    pub meters: Vec<Meter>,
    /// Texts.
    pub labels: Vec<Label>,
}

/// A switch, known by its number, its name, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub number: Option<u32>,
    /// Its name.
    pub name: Option<Box<str>>,
    /// Whether it is set after begin and requeue.
    pub initial: bool,
    /// Whether it is set.
    pub value: bool,
}

impl Event {
    /// Whether the event goes by this name or number.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
            || (self.number.is_some() && self.number == name.parse().ok())
    }
}

/// An integer within bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// Its name.
    pub name: Box<str>,
    /// The least value, which it has after begin and requeue.
    pub min: i32,
    /// The greatest value.
    pub max: i32,
    /// From which value on it is shown in another colour; by default the greatest one.
    pub threshold: i32,
    /// Its value.
    pub value: i32,
}

/// A text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Its name.
    pub name: Box<str>,
    /// The text of the definition.
    pub default: Box<str>,
    /// The text of the job; `None` until it sets one.
    pub value: Option<Box<str>>,
}

impl Signals {
    /// The value of an event (1 if set) or meter.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<i64> {
        let event = self.events.iter().find(|event| event.is_named(name));
        let event = event.map(|event| i64::from(event.value));
        event.or_else(|| {
            let meter = self.meters.iter().find(|meter| &*meter.name == name);
            meter.map(|meter| i64::from(meter.value))
        })
    }

    /// Sets events and meters back to their initial values.
    pub fn reset(&mut self) {
        for event in &mut self.events {
            event.value = event.initial;
        }
        for meter in &mut self.meters {
            meter.value = meter.min;
        }
    }
}
