//! What an index may look like, in an annotation or an index file.

/// The index that a text stands for, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Err("there is no number".to_owned());
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is no whole number"));
    }
    text.parse().map_err(|_| match text.starts_with('-') {
        true => format!("index {text} is negative"),
        false => format!("index {text} is too large for the 16 bits that it has on the wire"),
    })
}
