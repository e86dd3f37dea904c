//! The property `rate`: how often a user may call the operations of an interface.

use std::{num::NonZeroU32, time::Duration};

use tce_runtime::config::problem::quoted;

use super::{
    endpoint::ServiceEndpoint,
    value::{Find, PropertyValue},
};

/// How often each user may call an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceRate {
    /// `module.Interface`
    pub interface: String,
    /// The calls in a period.
    pub calls: NonZeroU32,
    /// The period.
    pub period: RatePeriod,
    /// The calls that may come at once.
    pub burst: NonZeroU32,
}

/// The period of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatePeriod {
    /// `s`
    Second,
    /// `min`
    Minute,
}

impl RatePeriod {
    /// Its length.
    #[must_use]
    pub fn duration(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_secs(60),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
        }
    }
}

/// The rates of all interfaces that have one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InterfaceRates(pub Vec<InterfaceRate>);

/// The word before the calls that may come at once.
const BURST: &str = "burst";

impl InterfaceRate {
    /// Parses `test.Server: 100/s, burst 200`.
    fn parse(text: &str) -> Option<Self> {
        let (interface, rate) = text.split_once(':')?;
        let (rate, burst) = match rate.split_once(',') {
            Some((rate, burst)) => (rate, Some(burst.trim().strip_prefix(BURST)?)),
            None => (rate, None),
        };
        let (calls, period) = rate.split_once('/')?;
        let calls = calls.trim().parse().ok()?;
        let period = match period.trim() {
            "s" => RatePeriod::Second,
            "min" => RatePeriod::Minute,
            _ => return None,
        };
        let interface = interface.trim();
        Some(Self {
            interface: Some(interface.to_owned()).filter(|name| !name.is_empty())?,
            calls,
            period,
            burst: match burst {
                Some(burst) => burst.trim().parse().ok()?,
                None => calls,
            },
        })
    }

    /// The rate, for messages: `100/s`.
    pub(crate) fn limit(&self) -> String {
        format!("{}/{}", self.calls, self.period.name())
    }
}

impl PropertyValue for InterfaceRates {
    const EXPECTED: &'static str =
        "rates of interfaces, for example test.Server: 100/s, burst 200; chat.Room: 30/min";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let rows = text.split(';').map(str::trim).filter(|row| !row.is_empty());
        let mut rates: Vec<InterfaceRate> = Vec::new();
        for row in rows {
            let Some(rate) = InterfaceRate::parse(row) else {
                let row = quoted(row);
                return Err(format!("can't be {row}; write {}", Self::EXPECTED));
            };
            if rates.iter().any(|other| other.interface == rate.interface) {
                let name = quoted(&rate.interface);
                return Err(format!("names {name} twice; remove one rate"));
            }
            rates.push(rate);
        }
        Ok(Self(rates))
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        let rows = self.0.iter().map(|rate| {
            let (interface, limit, burst) = (&rate.interface, rate.limit(), rate.burst);
            format!("{interface}: {limit}, {BURST} {burst}")
        });
        rows.collect::<Vec<_>>().join("; ")
    }
}
