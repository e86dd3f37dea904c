//! For GitHub: workflow commands, which it shows beside the changed lines.

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{SourceMap, Span};

/// All diagnostics as GitHub workflow commands, one on each line, empty for none.
///
/// ```text
/// ::error file=a.idl,line=1,endLine=1,col=9,endColumn=14,title=TCE0200 unknown-type::…
/// ```
///
/// Other places that matter are left out: a command has room for one.
#[must_use]
pub fn github(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let commands = diagnostics
        .iter()
        .map(|diagnostic| command(diagnostic, sources) + "\n");
    commands.collect()
}

fn command(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = diagnostic
        .primary
        .as_ref()
        .map(|label| place(label.span, sources))
        .unwrap_or_default();
    let title = format!("{} {}", diagnostic.code.id(), diagnostic.code.name());
    let label = diagnostic.primary.as_ref().map(|label| label.text.as_str());
    let repair = diagnostic
        .repair
        .as_ref()
        .map(|repair| format!("help: {}", repair.message));
    let mut message = diagnostic.message.clone();
    for line in label
        .filter(|text| !text.is_empty())
        .into_iter()
        .chain(repair.as_deref())
    {
        message.push('\n');
        message.push_str(line);
    }
    format!(
        "::{level} {place}title={}::{}",
        property(&title),
        data(&message)
    )
}

/// The properties that say where, with a comma behind each.
fn place(span: Span, sources: &SourceMap) -> String {
    let source = sources.get(span.file);
    let (start, end) = (source.position(span.start), source.position(span.end));
    let file = property(&source.path().to_string_lossy());
    let lines = format!("file={file},line={},endLine={},", start.line, end.line);
    // Columns mean something only within one line.
    if start.line == end.line {
        format!("{lines}col={},endColumn={},", start.column, end.column)
    } else {
        lines
    }
}

/// A message as a command takes it, which ends at the end of its line.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The value of a property as a command takes it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use crate::compile_str;

    #[test]
    fn a_command_stays_on_its_line_and_tells_where() {
        let compilation = compile_str("module m {\n struct S { strng a; };\n}");
        let text = super::github(&compilation.diagnostics, &compilation.sources);
        assert_eq!(
            text,
            "::error file=input.idl,line=2,endLine=2,col=13,endColumn=18,\
             title=TCE0200 unknown-type::there is no type `strng`%0A\
             help: did you mean `string`?\n"
        );
    }

    #[test]
    fn what_would_end_a_property_is_escaped() {
        assert_eq!(super::property("a:b,c%\r\n"), "a%3Ab%2Cc%25%0D%0A");
        assert_eq!(super::data("a:b,c%\n"), "a:b,c%25%0A");
    }
}
