//! The types of properties, and their values as text.

use std::{fmt, ops::RangeInclusive, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use hyper::Uri;
use jsonwebtoken::Algorithm;
use tce_otlp::OtlpConfig;
use tce_runtime::{
    BusyPoll,
    config::{Options, WebOrigin, problem::quoted},
};

use super::endpoint::{ANY_HOST, EndpointId, HostPort, ServiceEndpoint};
use crate::log::{DEFAULT_FILTER, LogFormat, is_filter};

/// The host of an admin page that is configured by its port alone.
const LOOPBACK: &str = "127.0.0.1";

/// A year, in seconds: within the range of the system's timers.
const MAX_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

/// Finds an endpoint by its name, or returns what is wrong with the name.
pub(crate) type Find<'a> = &'a dyn Fn(&str) -> Result<EndpointId, String>;

/// A type that a property may have.
pub(crate) trait PropertyValue: Sized {
    /// The valid values, as messages and the documentation name them.
    const EXPECTED: &'static str;

    /// Parses a text that is not empty. The error continues a sentence that
    /// begins with the property's name: what is wrong, and what is valid.
    fn parse(text: &str, find: Find<'_>) -> Result<Self, String>;

    /// The text that would be parsed to this value.
    fn show(&self, endpoints: &[ServiceEndpoint]) -> String;
}

pub(super) fn expect<T: PropertyValue>(value: Option<T>, text: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("can't be {}; write {}", quoted(text), T::EXPECTED))
}

/// The words of a comma-separated list.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

/// Parses `1`, `true`, `yes`, `on` and their opposites.
pub(crate) fn parse_flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

impl PropertyValue for bool {
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(parse_flag(text), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.to_string()
    }
}

/// The largest whole number of a property: far beyond what any machine serves,
/// and within the range of everything that is computed from it.
const MAX_NUMBER: usize = 1 << 40;

impl PropertyValue for usize {
    const EXPECTED: &'static str = "a whole number, at least 1";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let number = text.parse().ok();
        expect(
            number.filter(|number| (1..=MAX_NUMBER).contains(number)),
            text,
        )
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.to_string()
    }
}

impl PropertyValue for Option<usize> {
    const EXPECTED: &'static str = "a whole number, or 0 for no limit";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let number: Option<usize> = text.parse().ok().filter(|number| *number <= MAX_NUMBER);
        expect(number.map(|number| Some(number).filter(|n| *n > 0)), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.unwrap_or(0).to_string()
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    (0.0..=MAX_SECONDS)
        .contains(&number)
        .then(|| Duration::from_secs_f64(number))
}

/// 0 switches a time limit off.
fn unless_zero(time: Duration) -> Option<Duration> {
    Some(time).filter(|time| !time.is_zero())
}

impl PropertyValue for Duration {
    const EXPECTED: &'static str = "seconds above 0, for example 5 or 0.5";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(seconds(text).filter(|time| !time.is_zero()), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.as_secs_f64().to_string()
    }
}

impl PropertyValue for Option<Duration> {
    const EXPECTED: &'static str = "seconds, for example 5 or 0.5, or 0 to switch it off";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(seconds(text).map(unless_zero), text)
    }

    fn show(&self, endpoints: &[ServiceEndpoint]) -> String {
        self.unwrap_or_default().show(endpoints)
    }
}

/// How long a thread polls for the next message before it sleeps; `None` to
/// sleep at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollTime(pub Option<Duration>);

impl Default for PollTime {
    fn default() -> Self {
        Self(Options::default().busy_poll_time)
    }
}

impl PropertyValue for PollTime {
    const EXPECTED: &'static str = "seconds up to 0.01, for example 0.00005, or 0 to switch it off";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let time = seconds(text).filter(|time| *time <= BusyPoll::LONGEST);
        expect(time.map(unless_zero).map(Self), text)
    }

    fn show(&self, endpoints: &[ServiceEndpoint]) -> String {
        self.0.show(endpoints)
    }
}

/// How many threads serve connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// That many.
    Count(usize),
    /// One for each core that the process may use.
    Auto,
}

/// The largest number of threads: the low bits of a call's sequence, which repeats
/// after 2^32 of them, name its thread.
const MAX_THREADS: usize = 256;
const AUTO: &str = "auto";

impl Threads {
    /// The number of threads.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Auto => {
                std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS))
            }
        }
    }
}

impl PropertyValue for Threads {
    const EXPECTED: &'static str = "a whole number from 1 to 256, or auto for one for each core";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        if text.eq_ignore_ascii_case(AUTO) {
            return Ok(Self::Auto);
        }
        let count = text.parse().ok();
        let count = count.filter(|count| (1..=MAX_THREADS).contains(count));
        expect(count.map(Self::Count), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Auto => AUTO.to_owned(),
        }
    }
}

/// Over which time a shutdown sends the clients elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainTime {
    /// This time; 0 closes all connections at once.
    Fixed(Duration),
    /// As long as the number of clients requires, if some of them know `goAway`.
    Auto,
}

impl PropertyValue for DrainTime {
    const EXPECTED: &'static str = "seconds, for example 5 or 0.5, 0 to switch it off, or auto for as many as the clients need";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        match text.eq_ignore_ascii_case(AUTO) {
            true => Ok(Self::Auto),
            false => expect(seconds(text).map(Self::Fixed), text),
        }
    }

    fn show(&self, endpoints: &[ServiceEndpoint]) -> String {
        match self {
            Self::Fixed(time) => time.show(endpoints),
            Self::Auto => AUTO.to_owned(),
        }
    }
}

/// The idle time before TCP keepalive probes; `None` for no probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepaliveTime(pub Option<Duration>);

/// What Linux accepts for `TCP_KEEPIDLE`, in seconds.
const KEEPALIVE_SECONDS: RangeInclusive<f64> = 1.0..=32_767.0;

impl PropertyValue for KeepaliveTime {
    const EXPECTED: &'static str = "seconds from 1 to 32767, or 0 to switch it off";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let is_valid =
            |time: &Duration| time.is_zero() || KEEPALIVE_SECONDS.contains(&time.as_secs_f64());
        let time = seconds(text).filter(is_valid);
        expect(time.map(unless_zero).map(Self), text)
    }

    fn show(&self, endpoints: &[ServiceEndpoint]) -> String {
        self.0.show(endpoints)
    }
}

impl PropertyValue for String {
    const EXPECTED: &'static str = "a text";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.clone()
    }
}

impl PropertyValue for Option<String> {
    const EXPECTED: &'static str = "a text";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        Ok(Some(text.to_owned()))
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.clone().unwrap_or_default()
    }
}

impl PropertyValue for Option<PathBuf> {
    const EXPECTED: &'static str = "the path of a file";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        Ok(Some(text.into()))
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.as_deref()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    }
}

/// Where a JSON Web Key Set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetSource {
    /// A file.
    File(PathBuf),
    /// An http:// or https:// URL.
    Url(Uri),
}

impl fmt::Display for KeySetSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(uri) => uri.fmt(f),
        }
    }
}

impl PropertyValue for Option<KeySetSource> {
    const EXPECTED: &'static str = "the path of a file, or an http:// or https:// URL";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Some(KeySetSource::File(text.into())));
        };
        let uri: Option<Uri> = text.parse().ok();
        let uri = uri.filter(|uri| {
            // Passwords would be shown with the properties.
            let has_password = uri.authority().is_some_and(|it| it.as_str().contains('@'));
            let has_host = uri.host().is_some_and(|host| !host.is_empty());
            matches!(scheme, "http" | "https") && has_host && !has_password
        });
        expect(uri.map(|uri| Some(KeySetSource::Url(uri))), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl PropertyValue for Option<EndpointId> {
    const EXPECTED: &'static str = "the name of an endpoint";

    fn parse(text: &str, find: Find<'_>) -> Result<Self, String> {
        let found = find(text).map(Some);
        found.map_err(|why| format!("is not valid: {why}"))
    }

    fn show(&self, endpoints: &[ServiceEndpoint]) -> String {
        self.and_then(|id| endpoints.get(id.index()))
            .map(|endpoint| endpoint.name.clone())
            .unwrap_or_default()
    }
}

/// Where the events of users go: `mq_events`, or `mq_events/chat.MessageServer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTarget {
    /// The queue or topic.
    pub endpoint: EndpointId,
    /// The interface whose first two operations are called; `None` for
    /// `gateway.IUserEventListener`.
    pub interface: Option<String>,
}

impl PropertyValue for Option<EventTarget> {
    const EXPECTED: &'static str = "the name of an endpoint, or that and an interface, for example mq_events/chat.MessageServer";

    fn parse(text: &str, find: Find<'_>) -> Result<Self, String> {
        let (name, interface) = match text.split_once('/') {
            Some((name, interface)) => (name, Some(interface.trim())),
            None => (text, None),
        };
        let invalid = |why: String| format!("is not valid: {why}");
        if interface == Some("") {
            return Err(invalid(format!(
                "there is no interface after the `/`; write {}",
                Self::EXPECTED
            )));
        }
        Ok(Some(EventTarget {
            endpoint: find(name.trim()).map_err(invalid)?,
            interface: interface.map(str::to_owned),
        }))
    }

    fn show(&self, endpoints: &[ServiceEndpoint]) -> String {
        let Some(target) = self else {
            return String::new();
        };
        let endpoint = Some(target.endpoint).show(endpoints);
        match &target.interface {
            Some(interface) => format!("{endpoint}/{interface}"),
            None => endpoint,
        }
    }
}

impl PropertyValue for Option<HostPort> {
    const EXPECTED: &'static str = "a port on localhost, for example 9100, or a host and a port, for example [::1]:9100, or 0.0.0.0:9100 for all addresses";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        if let Ok(port) = text.parse() {
            let host = LOOPBACK.to_owned();
            return Ok(Some(HostPort { host, port }));
        }
        // `:9100` must not open the page to all addresses: that takes an
        // explicit 0.0.0.0.
        let address = HostPort::parse(text);
        let is_explicit =
            |address: &HostPort| address.host != ANY_HOST || text.starts_with(ANY_HOST);
        expect(address.filter(is_explicit).map(Some), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// The URL of an OpenTelemetry collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorUrl(pub String);

impl PropertyValue for Option<CollectorUrl> {
    const EXPECTED: &'static str =
        "a URL without a path, for example http://localhost:4318; not https://";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let is_valid = OtlpConfig::new(text, "").is_ok();
        expect(is_valid.then(|| Some(CollectorUrl(text.to_owned()))), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        let url = self.as_ref().map(|url| url.0.clone());
        url.unwrap_or_default()
    }
}

/// Host names, for example `gateway.example.org`; without ports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostNames(pub Vec<String>);

impl PropertyValue for HostNames {
    const EXPECTED: &'static str =
        "comma-separated host names without ports, for example gateway,gateway.example.org";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let host = |name: &str| name.chars().all(is_valid).then(|| name.to_owned());
        let hosts: Option<Vec<_>> = split(text).map(host).collect();
        expect(hosts.map(Self), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.0.join(",")
    }
}

/// The names of the signature algorithms.
const JWT_ALGORITHMS: [(&str, Algorithm); 4] = [
    ("HS256", Algorithm::HS256),
    ("RS256", Algorithm::RS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
];

/// The signature algorithm of tokens: `HS256`, `RS256`, `ES256` or `EdDSA`
/// (Ed25519).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwtAlgorithm(pub(crate) Algorithm);

impl JwtAlgorithm {
    /// HMAC with a secret that the issuer and the gateway share.
    pub const HS256: Self = Self(Algorithm::HS256);

    pub(crate) fn name(self) -> &'static str {
        let found = JWT_ALGORITHMS.iter().find(|(_, known)| *known == self.0);
        found.map_or("?", |(name, _)| name)
    }
}

/// The text names no supported signature algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown signature algorithm `{0}`; write HS256, RS256, ES256 or EdDSA")]
pub struct UnknownAlgorithm(String);

impl FromStr for JwtAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = JWT_ALGORITHMS.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, algorithm)| Self(*algorithm))
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

impl fmt::Display for JwtAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PropertyValue for JwtAlgorithm {
    const EXPECTED: &'static str = "HS256, RS256, ES256 or EdDSA";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(text.parse().ok(), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.to_string()
    }
}

impl PropertyValue for LogFormat {
    const EXPECTED: &'static str = "text or json";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        expect(text.parse().ok(), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.to_string()
    }
}

/// A level, or a filter such as `info,tce_runtime=warn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(pub String);

impl Default for LogFilter {
    fn default() -> Self {
        Self(DEFAULT_FILTER.to_owned())
    }
}

impl PropertyValue for LogFilter {
    const EXPECTED: &'static str =
        "error, warn, info, debug or trace, or a filter such as info,tce_runtime=warn";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let filter = is_filter(text).then(|| Self(text.to_owned()));
        expect(filter, text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.0.clone()
    }
}

/// The sites whose pages may connect: scheme, host, and the port unless it is the
/// scheme's default. An empty list allows all sites.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sites(pub Vec<String>);

fn site(text: &str) -> Option<String> {
    WebOrigin::parse(text).map(|_| text.to_owned())
}

impl PropertyValue for Sites {
    const EXPECTED: &'static str =
        "comma-separated sites, for example https://chat.example.org,http://localhost:8080";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let sites: Option<Vec<_>> = split(text).map(site).collect();
        expect(sites.map(Self), text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.0.join(",")
    }
}

/// Which clients may ask for the IDL of the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescribeRight {
    /// None.
    Off,
    /// All that may call.
    All,
    /// Those with one of these roles.
    Roles(Arc<[String]>),
}

impl PropertyValue for DescribeRight {
    const EXPECTED: &'static str = "off, all, or comma-separated roles, for example developer";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let words: Vec<_> = split(text).map(str::to_owned).collect();
        let right = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => None,
            ["off"] => Some(Self::Off),
            ["all"] => Some(Self::All),
            ref roles if roles.contains(&"off") || roles.contains(&"all") => None,
            _ => Some(Self::Roles(words.into())),
        };
        expect(right, text)
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::All => "all".to_owned(),
            Self::Roles(roles) => roles.join(","),
        }
    }
}

/// A text that is not shown, in logs and `--print-config`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl PropertyValue for Option<Secret> {
    const EXPECTED: &'static str = "a text; never shown";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        Ok(Some(Secret(text.to_owned())))
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.as_ref().map_or("", |_| "(not shown)").to_owned()
    }
}

/// Declares enums whose values are words.
macro_rules! choices {
    ($($(#[doc = $doc:literal])+ $name:ident ($expected:literal) {
        $($(#[doc = $choice_doc:literal])+ $choice:ident = $word:literal,)+
    })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $choice_doc])+ $choice,)+
        }

        impl PropertyValue for $name {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
                let choices = [$(($word, Self::$choice)),+];
                let choice = choices.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
                expect(choice.map(|(_, choice)| choice), text)
            }

            fn show(&self, _: &[ServiceEndpoint]) -> String {
                match self {
                    $(Self::$choice => $word,)+
                }
                .to_owned()
            }
        }
    )+};
}

choices! {
    /// The authenticator, which turns a connection's `__token__` into a user id.
    Auth ("none, token, jwt or interface") {
        /// None, unless the program adds one of its own.
        None = "none",
        /// The token is the user id: for closed networks.
        Token = "token",
        /// A signed JSON Web Token, one claim of which is the user id.
        Jwt = "jwt",
        /// A servant of `gateway.IAuthenticator` behind `auth_endpoint`.
        Interface = "interface",
    }
    /// The effect of a second login of the same user.
    SecondLogin ("replace, refuse or several") {
        /// It closes the first connection.
        Replace = "replace",
        /// It is refused while the first connection is open.
        Refuse = "refuse",
        /// Both connections stay open, unless they are of the same device.
        Several = "several",
    }
    /// The broker of MQ endpoints.
    Broker ("broker or memory") {
        /// The broker that each endpoint names.
        Broker = "broker",
        /// A broker within the process: for tests, and for servants in the same
        /// program.
        Memory = "memory",
    }
    /// Which gateways know of each other's users.
    PresenceStore ("memory or redis") {
        /// None: each knows its own.
        Memory = "memory",
        /// Those with the same Redis server and prefix.
        Redis = "redis",
    }
}
