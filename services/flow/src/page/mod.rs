//! What monitoring reads over HTTP: `/healthz`, `/readyz`, `/metrics`.

mod http;
mod site;

pub use http::AdminServer;
