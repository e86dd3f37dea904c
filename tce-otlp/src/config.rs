//! Where spans are exported to, by the environment variables of OpenTelemetry.

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};

/// What is appended to the URL of a collector.
const TRACES: &str = "/v1/traces";

/// Where spans are exported to, and of which service they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    pub(crate) url: Uri,
    pub(crate) service: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why a configuration is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpConfigError {
    /// The URL is malformed, or not of the scheme `http`.
    #[error(
        "`{0}` is not valid: write http://host:port, for example http://localhost:4318; for TLS, export to a collector on this machine"
    )]
    Url(String),
    /// `OTEL_EXPORTER_OTLP_HEADERS` is malformed.
    #[error("the headers of OTLP are not valid: write key=value pairs, separated by commas")]
    Headers,
}

impl OtlpConfig {
    /// Exports to a collector at `endpoint` (`http://localhost:4318`), as spans of the
    /// service of this name.
    ///
    /// # Errors
    /// The URL is malformed, or not of the scheme `http`.
    pub fn new(endpoint: &str, service: &str) -> Result<Self, OtlpConfigError> {
        Self::at(
            &format!("{}{TRACES}", endpoint.trim_end_matches('/')),
            service,
        )
        .map_err(|_| OtlpConfigError::Url(endpoint.to_owned()))
    }

    fn at(url: &str, service: &str) -> Result<Self, OtlpConfigError> {
        let invalid = || OtlpConfigError::Url(url.to_owned());
        let url: Uri = url.parse().map_err(|_| invalid())?;
        let is_http = url.scheme_str() == Some("http");
        let has_host = url.host().is_some_and(|host| !host.is_empty());
        // The URL is logged: a password belongs in a header.
        let has_user = url.authority().is_some_and(|it| it.as_str().contains('@'));
        if !is_http || !has_host || has_user {
            return Err(invalid());
        }
        Ok(Self {
            url,
            service: service.to_owned(),
            headers: Vec::new(),
        })
    }

    /// As the environment says: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, and `OTEL_SERVICE_NAME`
    /// in place of `service`. `None` without an endpoint, and with `OTEL_SDK_DISABLED=true`.
    ///
    /// # Errors
    /// A variable is malformed.
    pub fn from_env(service: &str) -> Result<Option<Self>, OtlpConfigError> {
        Self::from_env_or(None, service)
    }

    /// As [`OtlpConfig::from_env`], with an endpoint in place of those of the environment.
    ///
    /// # Errors
    /// The endpoint or a variable is malformed.
    pub fn from_env_or(
        endpoint: Option<&str>,
        service: &str,
    ) -> Result<Option<Self>, OtlpConfigError> {
        Self::from_variables(|name| std::env::var(name).ok(), endpoint, service)
    }

    fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        endpoint: Option<&str>,
        service: &str,
    ) -> Result<Option<Self>, OtlpConfigError> {
        let variable = |name| variable(name).filter(|value| !value.trim().is_empty());
        let is_disabled = variable("OTEL_SDK_DISABLED");
        if is_disabled.is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let service = variable("OTEL_SERVICE_NAME").unwrap_or_else(|| service.to_owned());
        let of_traces = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let of_all = variable("OTEL_EXPORTER_OTLP_ENDPOINT");
        let mut config = match (endpoint, of_traces, of_all) {
            (Some(endpoint), ..) => Self::new(endpoint, &service)?,
            (None, Some(url), _) => Self::at(url.trim(), &service)?,
            (None, None, Some(endpoint)) => Self::new(endpoint.trim(), &service)?,
            (None, None, None) => return Ok(None),
        };
        if let Some(headers) = variable("OTEL_EXPORTER_OTLP_HEADERS") {
            config.headers = parse_headers(&headers).ok_or(OtlpConfigError::Headers)?;
        }
        Ok(Some(config))
    }
}

fn parse_headers(text: &str) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key.trim().parse().ok()?, value.trim().parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<OtlpConfig>, OtlpConfigError> {
        let find = |name: &str| {
            let mut variables = variables.iter();
            let found = variables.find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        OtlpConfig::from_variables(find, None, "orders")
    }

    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

    #[test]
    fn the_environment_names_the_collector() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[(ENDPOINT, "")]), Ok(None));
        let url = "http://collector:4318";
        assert_eq!(
            of(&[(ENDPOINT, url), ("OTEL_SDK_DISABLED", "true")]),
            Ok(None)
        );
        let config = of(&[(ENDPOINT, "http://collector:4318/")])
            .unwrap()
            .unwrap();
        assert_eq!(config.url, "http://collector:4318/v1/traces");
        assert_eq!(config.service, "orders");
        let config = of(&[
            (ENDPOINT, url),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://other:1/custom",
            ),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret, tenant = 7"),
            ("OTEL_SERVICE_NAME", "billing"),
        ]);
        let config = config.unwrap().unwrap();
        assert_eq!(config.url, "http://other:1/custom");
        assert_eq!(config.service, "billing");
        assert_eq!(config.headers.len(), 2);
    }

    #[test]
    fn mistakes_are_told() {
        for url in [
            "collector:4318",
            "https://collector:4318",
            "http://",
            "http:// x",
            "http://user:password@c",
        ] {
            let error = of(&[(ENDPOINT, url)]).unwrap_err().to_string();
            assert!(error.contains(url.trim()), "{error}");
        }
        let headers = [
            (ENDPOINT, "http://c"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ];
        let error = of(&headers).unwrap_err();
        assert_eq!(error, OtlpConfigError::Headers);
        assert!(!error.to_string().contains("secret"));
    }
}
