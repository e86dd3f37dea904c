//! URIs of clients that don't percent-encode every character that must be.

use std::fmt::Write;

use serde_json::Value;

/// Encodes what is not allowed in the URIs of a message: spaces, letters beyond ASCII, `%`
/// without two digits. The URIs are the members `uri` and `…Uri`, at any depth.
pub(crate) fn encode_all(message: &mut Value) {
    match message {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(uri) if is_uri(key) && !is_encoded(uri) => *uri = encoded(uri),
                    value => encode_all(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(encode_all),
        _ => {}
    }
}

fn is_uri(key: &str) -> bool {
    key == "uri" || key.ends_with("Uri")
}

fn is_encoded(uri: &str) -> bool {
    (0..uri.len()).all(|at| is_allowed(uri.as_bytes(), at))
}

fn encoded(uri: &str) -> String {
    let mut encoded = String::with_capacity(uri.len());
    for (at, byte) in uri.bytes().enumerate() {
        if is_allowed(uri.as_bytes(), at) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Whether the byte at `at` may stand there. `[` and `]` are allowed in hosts only, which files
/// don't have.
fn is_allowed(uri: &[u8], at: usize) -> bool {
    match uri[at] {
        b'%' => uri
            .get(at + 1..at + 3)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        byte => byte.is_ascii_alphanumeric() || b"-._~/:@!$&'()*+,;=?#".contains(&byte),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::encode_all;

    #[test]
    fn only_uris_change_and_only_where_they_must() {
        let mut message = json!({
            "rootUri": "file:///a%20b/%c3%A9",
            "folders": [{ "uri": "file:///é [x]/100%.idl?q#f" }],
            "textDocument": { "uri": null, "text": "é %" },
            "uris": { "uri": { "uri": "a b" } },
        });
        encode_all(&mut message);
        let expected = json!({
            "rootUri": "file:///a%20b/%c3%A9",
            "folders": [{ "uri": "file:///%C3%A9%20%5Bx%5D/100%25.idl?q#f" }],
            "textDocument": { "uri": null, "text": "é %" },
            "uris": { "uri": { "uri": "a%20b" } },
        });
        assert_eq!(message, expected);
    }
}
