//! Documentation comments: the IDL's text as it is written, and sentences of the generator.

use crate::source::{SourceWriter, printable};

/// An item's documentation: lines of text.
#[derive(Default)]
pub(super) struct Docs(Vec<String>);

impl Docs {
    /// A sentence of the generator's own.
    pub(super) fn sentence(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

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

    /// This, and the declaration in the IDL if `name` in TypeScript differs from its name there.
    pub(super) fn then_declared(self, name: &str, idl_name: &str, declaration: &str) -> Self {
        if name == idl_name {
            return self;
        }
        self.then(format!("`{declaration}` in the IDL."))
    }

    /// This, and that the declaration is deprecated. The tag `@deprecated` would make
    /// linters report the generated code, which uses the declaration.
    pub(super) fn then_deprecated(self, text: Option<&str>) -> Self {
        match text {
            None => self,
            Some("") => self.then("Deprecated."),
            Some(text) => self.then(printable(&format!("Deprecated: {text}"))),
        }
    }

    /// This, and the tags of parameters, of exceptions, and of what is deprecated.
    pub(super) fn then_tags(mut self, tags: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut is_first = true;
        for (tag, text) in tags {
            if std::mem::take(&mut is_first) && !self.0.is_empty() {
                self.0.push(String::new());
            }
            let lines = Self::idl(Some(&format!("@{tag} {text}")));
            self.0.extend(lines.0);
        }
        self
    }

    /// Writes the comment; nothing if there are no lines.
    pub(super) fn write(&self, code: &mut SourceWriter) {
        // What would end the comment is written as Markdown shows it.
        let lines: Vec<_> = self.0.iter().map(|it| it.replace("*/", "*\\/")).collect();
        match lines.as_slice() {
            [] => {}
            [line] if code.fits(&format!("/** {line} */")) => code.line(&format!("/** {line} */")),
            lines => {
                code.line("/**");
                for line in lines {
                    code.line(format!(" * {line}").trim_end());
                }
                code.line(" */");
            }
        }
    }
}

/// The tag of what is deprecated, with the text of the IDL.
pub(super) fn deprecated(text: Option<&str>) -> Option<(String, String)> {
    text.map(|text| ("deprecated".to_owned(), text.to_owned()))
}
