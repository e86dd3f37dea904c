//! Definitions that arrive in pieces.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::def::MAX_TEXT;

/// The most connections that upload at once.
const MAX_UPLOADS: usize = 64;

/// The texts that connections have uploaded so far, by the peer's address.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<BTreeMap<String, String>>);

impl Uploads {
    /// Adds a piece to the text of a connection. A text that becomes too long is dropped.
    pub(super) fn add(&self, peer: &str, part: &str) -> Result<(), String> {
        let mut uploads = self.0.lock();
        if !uploads.contains_key(peer) && uploads.len() >= MAX_UPLOADS {
            return Err(format!(
                "{MAX_UPLOADS} others upload definitions; try again"
            ));
        }
        let text = uploads.entry(peer.to_owned()).or_default();
        if text.len() + part.len() > MAX_TEXT {
            uploads.remove(peer);
            return Err(format!("the definition has more than {MAX_TEXT} bytes"));
        }
        text.push_str(part);
        Ok(())
    }

    /// The text of a connection; empty if it has uploaded nothing. The next piece begins anew.
    pub(super) fn take(&self, peer: &str) -> String {
        self.0.lock().remove(peer).unwrap_or_default()
    }

    pub(super) fn forget(&self, peer: &str) {
        self.0.lock().remove(peer);
    }
}
