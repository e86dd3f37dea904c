//! Mistakes in JSON with their places.

/// The most characters of a line that are shown before and after a mistake.
const MAX_BEFORE: usize = 60;
const MAX_AFTER: usize = 20;

/// What is wrong with JSON, and where: the text of its line, whose number is given, with a
/// caret below the place.
#[must_use]
pub fn syntax_error(error: &serde_json::Error, number: usize, line: &str) -> String {
    // serde_json appends the place, which the message begins with.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let reason = text.strip_suffix(&place).unwrap_or(&text);
    let line = line.trim_end_matches(['\r', '\n']);
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    // The end of the input is behind its last line. Columns count bytes up to the wrong one.
    let before = match error.line() == number {
        true => char_boundary(line, error.column().saturating_sub(1)),
        false => line.len(),
    };
    let column = line[..before].chars().count();
    let first = column.saturating_sub(MAX_BEFORE);
    let shown = line.chars().skip(first).take(MAX_BEFORE + MAX_AFTER);
    let shown: String = shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!(
        "line {number}, column {}: {reason}\n  {shown}\n  {:>width$}",
        column + 1,
        '^',
        width = column - first + 1
    )
}

/// The last character boundary up to a position.
fn char_boundary(text: &str, position: usize) -> usize {
    let mut up_to = (0..=position.min(text.len())).rev();
    up_to.find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_long_line_is_shown_around_the_mistake() {
        let line = format!("[{}x{}]", "1, ".repeat(100), ", 1".repeat(100));
        let error = serde_json::from_str::<Value>(&line).unwrap_err();
        let error = syntax_error(&error, 1, &line);
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines[0], "line 1, column 302: expected value");
        assert_eq!(lines[1].len(), 2 + MAX_BEFORE + MAX_AFTER);
        let caret = lines[2].find('^').unwrap();
        assert_eq!(&lines[1][caret..=caret], "x");
    }
}
