//! Comments that go over several lines.

/// A comment whose lines after the first stand below it, at `indent` columns.
/// A `*` before each line is lined up. Other lines keep their places to each
/// other. Either way, documentation reads the same afterwards.
pub(super) fn placed(comment: &str, indent: usize) -> String {
    let mut lines = comment.lines().map(str::trim_end);
    let mut placed = lines.next().unwrap_or_default().to_owned();
    let rest: Vec<&str> = lines.collect();
    let is_framed = rest
        .iter()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('*'));
    let shared = shared_indent(&rest);
    for line in &rest {
        placed.push('\n');
        let (margin, line) = match (line.trim(), is_framed) {
            ("*/", _) => (" ", "*/"),
            ("", true) => (" ", "*"),
            ("", false) => continue,
            (_, true) => (" ", line.trim_start()),
            (_, false) => ("   ", line.get(shared..).unwrap_or(line)),
        };
        placed.extend(std::iter::repeat_n(' ', indent));
        placed.push_str(margin);
        placed.push_str(line);
    }
    placed
}

/// How many bytes of space all lines with words begin with.
fn shared_indent(lines: &[&str]) -> usize {
    let with_words = lines
        .iter()
        .filter(|line| !matches!(line.trim(), "" | "*/"));
    let width = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
    with_words.map(width).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::placed;

    #[test]
    fn a_frame_is_lined_up() {
        assert_eq!(
            placed("/**\n\t* a\n\n*  b\n      */", 4),
            "/**\n     * a\n     *\n     *  b\n     */"
        );
    }

    #[test]
    fn lines_without_a_frame_keep_their_places_to_each_other() {
        assert_eq!(
            placed("/* a\n  b\n\n    c */", 0),
            "/* a\n   b\n\n     c */"
        );
        assert_eq!(placed("/*\nb\n*/", 0), "/*\n   b\n */");
    }

    #[test]
    fn one_line_stays() {
        assert_eq!(placed("/*  a  */", 8), "/*  a  */");
    }
}
