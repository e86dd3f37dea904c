//! What the user sets in the editor.

use serde_json::Value;

/// The settings of the section `tce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `inlayHints.indices`: whether indices that are not written are shown as inlay hints.
    pub(crate) index_hints: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { index_hints: true }
    }
}

impl Settings {
    /// Takes over the settings that a client sends: the section `tce`, or an object that has it.
    /// What is missing or has another type stays as it is: some clients send no settings after
    /// those of `initialize`.
    pub(crate) fn update(&mut self, sent: &Value) {
        let section = sent.get("tce").unwrap_or(sent);
        let index_hints = section.pointer("/inlayHints/indices");
        if let Some(index_hints) = index_hints.and_then(Value::as_bool) {
            self.index_hints = index_hints;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Settings;

    #[test]
    fn settings_change_if_they_are_sent() {
        let mut settings = Settings::default();
        let hints = |on: bool| json!({ "inlayHints": { "indices": on } });
        settings.update(&hints(false));
        assert!(!settings.index_hints);
        for sent in [
            json!(null),
            json!(7),
            json!({ "tce": null }),
            json!({ "inlayHints": [] }),
        ] {
            settings.update(&sent);
            assert!(!settings.index_hints, "{sent}");
        }
        settings.update(&json!({ "tce": hints(true) }));
        assert!(settings.index_hints);
    }
}
