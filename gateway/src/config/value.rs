//! What the values of properties look like as text.

use std::{fmt, path::PathBuf, time::Duration};

use tce_runtime::{
    BusyPoll,
    config::{Options, problem::quoted},
};

use crate::{
    auth::JwtAlgorithm,
    config::{Endpoint, EndpointId, HostPort, endpoint::ANY_HOST},
    log::{DEFAULT_FILTER, Format, is_filter},
};

/// Where a port alone is.
const LOOPBACK: &str = "127.0.0.1";

/// A year: timers of the system end somewhere, and nobody waits longer.
const LONGEST: f64 = 365.0 * 24.0 * 3600.0;

/// Finds an endpoint by its name; else says what is wrong with the name.
pub(crate) type Find<'a> = &'a dyn Fn(&str) -> Result<EndpointId, String>;

/// A type that a property may have.
pub(crate) trait Value: Sized {
    /// What a value is, as a person would be told to write it.
    const RIGHT: &'static str;

    /// The value of a text that is not empty; else what goes behind the
    /// property's name: what is wrong, and what would be right.
    fn read(text: &str, find: Find<'_>) -> Result<Self, String>;

    /// As it is written.
    fn show(&self, endpoints: &[Endpoint]) -> String;
}

pub(super) fn expect<T: Value>(value: Option<T>, text: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("can't be {}; write {}", quoted(text), T::RIGHT))
}

/// The words between commas.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

/// `1`, `true`, `yes` and `on`, or their opposites.
pub(crate) fn read_flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

impl Value for bool {
    const RIGHT: &'static str = "true or false";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(read_flag(text), text)
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.to_string()
    }
}

impl Value for usize {
    const RIGHT: &'static str = "a whole number from 1 up";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(text.parse().ok().filter(|number| *number > 0), text)
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.to_string()
    }
}

impl Value for Option<usize> {
    const RIGHT: &'static str = "a whole number, or 0 for no limit";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        let number: Option<usize> = text.parse().ok();
        expect(number.map(|number| Some(number).filter(|n| *n > 0)), text)
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.unwrap_or(0).to_string()
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    (0.0..=LONGEST)
        .contains(&number)
        .then(|| Duration::from_secs_f64(number))
}

/// 0 is off.
fn unless_zero(time: Duration) -> Option<Duration> {
    Some(time).filter(|time| !time.is_zero())
}

impl Value for Duration {
    const RIGHT: &'static str = "seconds above 0, as 5 or 0.5";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(seconds(text).filter(|time| !time.is_zero()), text)
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.as_secs_f64().to_string()
    }
}

impl Value for Option<Duration> {
    const RIGHT: &'static str = "seconds, as 5 or 0.5, or 0 for off";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(seconds(text).map(unless_zero), text)
    }

    fn show(&self, endpoints: &[Endpoint]) -> String {
        self.unwrap_or_default().show(endpoints)
    }
}

/// How long a thread looks for the next message before it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollTime(pub Option<Duration>);

impl Default for PollTime {
    fn default() -> Self {
        Self(Options::default().busy_poll_time)
    }
}

impl Value for PollTime {
    const RIGHT: &'static str = "seconds up to 0.01, as 0.00005, or 0 for off";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        let time = seconds(text).filter(|time| *time <= BusyPoll::LONGEST);
        expect(time.map(unless_zero).map(Self), text)
    }

    fn show(&self, endpoints: &[Endpoint]) -> String {
        self.0.show(endpoints)
    }
}

impl Value for String {
    const RIGHT: &'static str = "a text";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.clone()
    }
}

impl Value for Option<String> {
    const RIGHT: &'static str = "a text";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        Ok(Some(text.to_owned()))
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.clone().unwrap_or_default()
    }
}

impl Value for Option<PathBuf> {
    const RIGHT: &'static str = "the path of a file";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        Ok(Some(text.into()))
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.as_deref()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    }
}

impl Value for Option<EndpointId> {
    const RIGHT: &'static str = "the name of an endpoint";

    fn read(text: &str, find: Find<'_>) -> Result<Self, String> {
        let found = find(text).map(Some);
        found.map_err(|why| format!("can't be this: {why}"))
    }

    fn show(&self, endpoints: &[Endpoint]) -> String {
        self.and_then(|id| endpoints.get(id.index()))
            .map(|endpoint| endpoint.name.clone())
            .unwrap_or_default()
    }
}

impl Value for Option<HostPort> {
    const RIGHT: &'static str = "a port for this machine alone, as 9100, or a host and a port, as 0.0.0.0:9100 for everybody";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        if let Ok(port) = text.parse() {
            let host = LOOPBACK.to_owned();
            return Ok(Some(HostPort { host, port }));
        }
        // Everybody is let in only where that is written.
        let place = HostPort::read(text);
        let is_said = |place: &HostPort| place.host != ANY_HOST || text.starts_with(ANY_HOST);
        expect(place.filter(is_said).map(Some), text)
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl Value for JwtAlgorithm {
    const RIGHT: &'static str = "HS256, RS256, ES256 or EdDSA";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(text.parse().ok(), text)
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.to_string()
    }
}

impl Value for Format {
    const RIGHT: &'static str = "text or json";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(text.parse().ok(), text)
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.to_string()
    }
}

/// What is logged: a level, or a filter such as `info,tce_runtime=warn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(pub String);

impl Default for LogFilter {
    fn default() -> Self {
        Self(DEFAULT_FILTER.to_owned())
    }
}

impl Value for LogFilter {
    const RIGHT: &'static str =
        "error, warn, info, debug or trace, or a filter as info,tce_runtime=warn";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        let filter = is_filter(text).then(|| Self(text.to_owned()));
        expect(filter, text)
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.0.clone()
    }
}

/// The sites whose pages may connect, as a browser names them in `Origin`:
/// scheme, host, and a port that is not the scheme's own. None lets any in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sites(pub Vec<String>);

fn site(text: &str) -> Option<String> {
    let (scheme, host) = text.split_once("://")?;
    let stray = |c: char| matches!(c, '/' | '*') || c.is_whitespace();
    let right = !scheme.is_empty() && !host.is_empty() && !host.contains(stray);
    right.then(|| text.to_owned())
}

impl Value for Sites {
    const RIGHT: &'static str =
        "sites with commas between, as https://chat.example.org,http://localhost:8080";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        let sites: Option<Vec<_>> = split(text).map(site).collect();
        expect(sites.map(Self), text)
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.0.join(",")
    }
}

/// A text that is nobody's business: it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Value for Option<Secret> {
    const RIGHT: &'static str = "a text, which is never shown";

    fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
        Ok(Some(Secret(text.to_owned())))
    }

    fn show(&self, _: &[Endpoint]) -> String {
        self.as_ref().map_or("", |_| "(not shown)").to_owned()
    }
}
