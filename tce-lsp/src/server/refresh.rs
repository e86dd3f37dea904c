//! Asking the client to request again what it shows, where the result has changed although
//! its document has not.

use ls_types::{
    ClientCapabilities,
    request::{InlayHintRefreshRequest, Request as _, SemanticTokensRefresh},
};
use lsp_server::Request;
use serde_json::Value;

/// The refreshes that the client supports, and whether they are due.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    methods: Vec<&'static str>,
    is_due: bool,
    requests: usize,
}

impl Refresh {
    pub(super) fn new(client: &ClientCapabilities) -> Self {
        let workspace = client.workspace.as_ref();
        let hints = workspace.and_then(|it| it.inlay_hint.as_ref()?.refresh_support);
        let tokens = workspace.and_then(|it| it.semantic_tokens.as_ref()?.refresh_support);
        let supported = [
            (hints, InlayHintRefreshRequest::METHOD),
            (tokens, SemanticTokensRefresh::METHOD),
        ];
        let supported = supported
            .into_iter()
            .filter(|(flag, _)| *flag == Some(true));
        Self {
            methods: supported.map(|(_, method)| method).collect(),
            ..Self::default()
        }
    }

    /// Results of documents that have not changed may be outdated.
    pub(super) fn set_due(&mut self) {
        self.is_due = true;
    }

    /// The requests to send now.
    pub(super) fn take(&mut self) -> Vec<Request> {
        if !std::mem::take(&mut self.is_due) {
            return Vec::new();
        }
        self.requests += 1;
        let requests = self.methods.iter().map(|method| {
            let id = format!("tce-refresh-{}-{method}", self.requests);
            Request::new(id.into(), (*method).to_owned(), Value::Null)
        });
        requests.collect()
    }
}
