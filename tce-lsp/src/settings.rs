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
    /// Reads the settings that a client sends: the section `tce`, or an object that has it.
    /// What is missing or has another type gets its default.
    pub(crate) fn read(sent: &Value) -> Self {
        let section = sent.get("tce").unwrap_or(sent);
        let index_hints = section
            .pointer("/inlayHints/indices")
            .and_then(Value::as_bool);
        Self {
            index_hints: index_hints.unwrap_or(Self::default().index_hints),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Settings;

    #[test]
    fn settings_have_defaults_and_an_optional_section() {
        let off = Settings { index_hints: false };
        let hints = json!({ "inlayHints": { "indices": false } });
        assert_eq!(Settings::read(&hints), off);
        assert_eq!(Settings::read(&json!({ "tce": hints })), off);
        for sent in [
            json!(null),
            json!(7),
            json!({ "tce": null }),
            json!({ "inlayHints": [] }),
        ] {
            assert_eq!(Settings::read(&sent), Settings::default(), "{sent}");
        }
    }
}
