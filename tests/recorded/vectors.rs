//! The recorded frames.

use std::path::PathBuf;

use serde_json::Value;

/// One frame with its decoded fields.
pub(crate) struct Recorded(Value);

/// All frames of a file.
pub(crate) fn all(name: &str) -> Vec<Recorded> {
    // Relative to the crate's parent: the gateway's tests include this file, too.
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.extend(["..", "tests", "vectors", &format!("{name}.json")]);
    let text = std::fs::read_to_string(path).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(frames) = file["frames"].take() else {
        panic!("the file has no frames");
    };
    assert!(!frames.is_empty());
    frames.into_iter().map(Recorded).collect()
}

/// A number, converted to its type.
pub(crate) fn number<T: TryFrom<i64>>(value: &Value) -> T {
    let number = value.as_i64().unwrap();
    T::try_from(number).unwrap_or_else(|_| panic!("{number} does not fit"))
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

impl Recorded {
    pub(crate) fn number<T: TryFrom<i64>>(&self, field: &str) -> T {
        number(&self.0[field])
    }

    pub(crate) fn operation(&self) -> &str {
        self.0["operation"].as_str().unwrap()
    }

    pub(crate) fn values(&self) -> &[Value] {
        self.0["values"].as_array().unwrap()
    }

    /// The bytes, joined if they were sent as several `WebSocket` messages.
    pub(crate) fn frame(&self) -> Vec<u8> {
        match &self.0["websocket_messages"] {
            Value::Array(messages) => {
                assert_eq!(messages.len(), 2, "a header and a payload");
                let texts = messages.iter().map(|message| message.as_str().unwrap());
                texts.flat_map(bytes).collect()
            }
            _ => bytes(self.0["frame"].as_str().unwrap()),
        }
    }

    pub(crate) fn params(&self) -> Vec<u8> {
        bytes(self.0["params"].as_str().unwrap())
    }

    /// The pairs, in the order of the file, which is that of the wire.
    pub(crate) fn extra(&self) -> Vec<(&str, &str)> {
        let pairs = self.0["extra"].as_object().unwrap().iter();
        pairs
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
            .collect()
    }
}
