//! The options of a communicator, with what is made of them once.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{ClientConfig, ServerConfig};

use super::{Options, TlsError};

/// What all connections of a communicator share.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) options: Options,
    client_tls: Mutex<Option<Arc<ClientConfig>>>,
}

impl Settings {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            client_tls: Mutex::new(None),
        }
    }

    /// The client's side of TLS, read from its files when first needed.
    pub(crate) fn client_tls(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut cached = self
            .client_tls
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*cached {
            return Ok(Arc::clone(config));
        }
        let config = self.options.tls.client()?;
        *cached = Some(Arc::clone(&config));
        Ok(config)
    }

    pub(crate) fn server_tls(&self) -> Result<Arc<ServerConfig>, TlsError> {
        self.options.tls.server()
    }
}
