//! Docstrings: the IDL's documentation as it is written, and sentences of the generator.

use crate::source::{SourceWriter, printable};

/// An item's documentation: lines of text.
#[derive(Default)]
pub(super) struct Docs(Vec<String>);

impl Docs {
    /// The text of the IDL; no lines if there is none.
    pub(super) fn idl(text: Option<&str>) -> Self {
        let lines = text.unwrap_or_default().lines().map(printable);
        let mut lines: Vec<_> = lines.map(|line| line.trim_end().to_owned()).collect();
        let is_blank = |line: &String| line.is_empty();
        lines.truncate(lines.len() - lines.iter().rev().take_while(|it| is_blank(it)).count());
        lines.drain(..lines.iter().take_while(|it| is_blank(it)).count());
        Self(lines)
    }

    /// This, and a sentence as a further paragraph.
    pub(super) fn then(mut self, sentence: impl Into<String>) -> Self {
        if !self.0.is_empty() {
            self.0.push(String::new());
        }
        self.0.push(sentence.into());
        self
    }

    /// This, and the declaration in the IDL if `name` in Python differs from its name there.
    pub(super) fn then_declared(self, name: &str, idl_name: &str, declaration: &str) -> Self {
        if name == idl_name {
            return self;
        }
        self.then(format!("`{declaration}` in the IDL."))
    }

    /// This, and that the declaration is deprecated.
    pub(super) fn then_deprecated(self, text: Option<&str>) -> Self {
        match text {
            None => self,
            Some("") => self.then("Deprecated."),
            Some(text) => self.then(printable(&format!("Deprecated: {text}"))),
        }
    }

    /// This, and the documentation of parameters by their names.
    pub(super) fn then_parameters<'a>(
        mut self,
        parameters: impl Iterator<Item = (&'a String, Option<&'a str>)>,
    ) -> Self {
        let mut is_first = true;
        for (name, doc) in parameters {
            let doc = Self::idl(doc);
            let mut lines = doc.0.into_iter();
            let Some(first) = lines.next() else { continue };
            if std::mem::take(&mut is_first) && !self.0.is_empty() {
                self.0.push(String::new());
            }
            self.0.push(format!("`{name}`: {first}"));
            self.0.extend(lines.map(|line| format!("    {line}")));
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the docstring; nothing if there are no lines.
    pub(super) fn write(&self, code: &mut SourceWriter) {
        let lines: Vec<_> = self.0.iter().map(|line| escaped(line)).collect();
        match lines.as_slice() {
            [] => {}
            [line] if !line.ends_with('"') && code.fits(&quoted(line)) => code.line(&quoted(line)),
            [first, rest @ ..] => {
                // A quotation mark directly before those that end the docstring would be one of them.
                code.line(&format!("\"\"\"{first}"));
                rest.iter().for_each(|line| code.line(line));
                code.line("\"\"\"");
            }
        }
    }
}

fn quoted(line: &str) -> String {
    format!("\"\"\"{line}\"\"\"")
}

fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"");
    // A docstring that begins with a quotation mark would begin with four.
    match line.strip_prefix('"') {
        Some(rest) => format!("\\\"{rest}"),
        None => line,
    }
}
