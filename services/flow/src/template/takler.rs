//! Scripts of Takler: the part of Jinja that they use.
//!
//! `{{ VAR }}`, `{{ VAR | default("x") }}`, `{% include "f" %}`, `{% raw %}`, `{# #}`, each with `-`
//! to cut the white space beside it. The rest of Jinja is an error, and so is an unknown variable.

use super::Script;
use super::source::{Loader, MAX_DEPTH, MAX_SIZE, Place, TemplateError, is_missing};
use super::variables::Variables;

pub(super) fn job(
    script: &Script,
    variables: &Variables,
    loader: &dyn Loader,
) -> Result<Vec<u8>, TemplateError> {
    let folder = script
        .path
        .rsplit_once('/')
        .map_or(".", |(folder, _)| folder);
    let include = variables.get("TAKLER_INCLUDE").unwrap_or_default();
    let mut folders = vec![folder];
    folders.extend(include.split(':').filter(|folder| !folder.is_empty()));
    let mut renderer = Renderer {
        variables,
        loader: Some(loader),
        folders,
        open: Vec::new(),
        read: 0,
        out: Vec::new(),
    };
    renderer.file(&script.path, &script.text)?;
    renderer.out.push(b'\n');
    Ok(renderer.out)
}

/// The command of a variable: a text without includes.
pub(super) fn command(
    name: &str,
    text: &str,
    variables: &Variables,
) -> Result<Vec<u8>, TemplateError> {
    let mut renderer = Renderer {
        variables,
        loader: None,
        folders: Vec::new(),
        open: Vec::new(),
        read: 0,
        out: Vec::new(),
    };
    renderer.file(name, text.as_bytes())?;
    Ok(renderer.out)
}

struct Renderer<'a> {
    variables: &'a Variables,
    /// Reads includes, where there may be some.
    loader: Option<&'a dyn Loader>,
    /// Where included files are looked for, in order.
    folders: Vec<&'a str>,
    /// The files that are being read, from the script to the innermost include.
    open: Vec<String>,
    /// How many bytes were read.
    read: usize,
    out: Vec<u8>,
}

/// A file as far as it is read.
struct Cursor<'t> {
    file: &'t str,
    text: &'t [u8],
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t [u8] {
        &self.text[self.at..]
    }

    /// The line of a position.
    fn place(&self, at: usize) -> Place {
        let before = &self.text[..at];
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        Place::new(self.file, u32::try_from(lines + 1).unwrap_or(u32::MAX))
    }

    fn error(&self, at: usize, text: impl std::fmt::Display) -> TemplateError {
        TemplateError::edit(self.place(at), text)
    }

    fn skip_white_space(&mut self) {
        let rest = self.rest();
        self.at = self.text.len() - rest.trim_ascii_start().len();
    }

    /// What is inside of the mark that starts here, and moves behind its end.
    fn tag(&mut self, end: &[u8; 2]) -> Result<&'t [u8], TemplateError> {
        let start = self.at;
        let inside = &self.text[start + 2..];
        let length = find(inside, end).ok_or_else(|| {
            let opening = String::from_utf8_lossy(&self.text[start..start + 2]);
            let end = String::from_utf8_lossy(end);
            self.error(start, format_args!("{opening} without {end}"))
        })?;
        self.at = start + 2 + length + 2;
        let mut inside = &inside[..length];
        inside = inside.strip_prefix(b"-").unwrap_or(inside);
        if let Some(cut) = inside.strip_suffix(b"-") {
            inside = cut;
            self.skip_white_space();
        }
        Ok(inside.trim_ascii())
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

impl Renderer<'_> {
    fn file(&mut self, path: &str, text: &[u8]) -> Result<(), TemplateError> {
        // A file that adds nothing counts, too, so that the number of includes is bounded.
        self.read += text.len() + 64;
        if self.read > MAX_SIZE {
            let text = format!("the script and its includes exceed {MAX_SIZE} bytes");
            return Err(TemplateError::edit(Place::new(path, 1), text));
        }
        self.open.push(path.to_owned());
        // As in Jinja, the last end of line is no part of the text.
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let mut cursor = Cursor {
            file: path,
            text,
            at: 0,
        };
        while let Some(length) = next_mark(cursor.rest()) {
            let start = cursor.at + length;
            let mut before = &text[cursor.at..start];
            if text.get(start + 2) == Some(&b'-') {
                before = before.trim_ascii_end();
            }
            self.append(before, &cursor)?;
            cursor.at = start;
            match text[start + 1] {
                b'{' => self.variable(&mut cursor)?,
                b'%' => self.statement(&mut cursor)?,
                _ => {
                    cursor.tag(b"#}")?;
                }
            }
        }
        self.append(cursor.rest(), &cursor)?;
        self.open.pop();
        Ok(())
    }

    fn append(&mut self, text: &[u8], cursor: &Cursor<'_>) -> Result<(), TemplateError> {
        self.out.extend_from_slice(text);
        if self.out.len() > MAX_SIZE {
            let text = format!("the job exceeds {MAX_SIZE} bytes");
            return Err(cursor.error(cursor.at, text));
        }
        Ok(())
    }

    fn variable(&mut self, cursor: &mut Cursor<'_>) -> Result<(), TemplateError> {
        let start = cursor.at;
        let inside = cursor.tag(b"}}")?;
        let inside = String::from_utf8_lossy(inside);
        let (name, filter) = match inside.split_once('|') {
            Some((name, filter)) => (name.trim(), Some(filter.trim())),
            None => (&*inside, None),
        };
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            let text = format!("{{{{ {inside} }}}} is not supported; use {{{{ NAME }}}}");
            return Err(cursor.error(start, text));
        }
        let default = filter.map(|filter| {
            default_value(filter).ok_or_else(|| {
                let text = format!("the filter {filter} is not supported; use default(\"…\")");
                cursor.error(start, text)
            })
        });
        let default = default.transpose()?;
        let value = self.variables.get(name).or(default.as_deref());
        let missing = || cursor.error(start, format_args!("there is no variable {name}"));
        let value = value.ok_or_else(missing)?;
        self.append(value.as_bytes(), cursor)
    }

    fn statement(&mut self, cursor: &mut Cursor<'_>) -> Result<(), TemplateError> {
        let start = cursor.at;
        let inside = cursor.tag(b"%}")?;
        let inside = String::from_utf8_lossy(inside).into_owned();
        let (word, argument) = inside
            .split_once(char::is_whitespace)
            .unwrap_or((&inside, ""));
        match (word, string(argument.trim())) {
            ("raw", None) if argument.is_empty() => self.raw(start, cursor),
            ("include", Some(name)) => self.include(&name, &cursor.place(start)),
            _ => {
                let text = format!("{{% {inside} %}} is not supported; there are include and raw");
                Err(cursor.error(start, text))
            }
        }
    }

    fn raw(&mut self, start: usize, cursor: &mut Cursor<'_>) -> Result<(), TemplateError> {
        let text = cursor.text;
        let first = cursor.at;
        while let Some(length) = find(cursor.rest(), b"{%") {
            let end = cursor.at + length;
            cursor.at = end;
            if cursor.tag(b"%}")? == b"endraw" {
                let mut raw = &text[first..end];
                if text.get(end + 2) == Some(&b'-') {
                    raw = raw.trim_ascii_end();
                }
                return self.append(raw, cursor);
            }
            cursor.at = end + 2;
        }
        Err(cursor.error(start, "{% raw %} without {% endraw %}"))
    }

    fn include(&mut self, name: &str, place: &Place) -> Result<(), TemplateError> {
        let edit = |text: String| TemplateError::edit(place.clone(), text);
        let Some(loader) = self.loader else {
            return Err(edit("a command can not include files".into()));
        };
        if self.open.len() > MAX_DEPTH {
            let text = format!("includes are more than {MAX_DEPTH} levels deep");
            return Err(edit(text));
        }
        let mut tried = Vec::new();
        for folder in &self.folders {
            let path = format!("{folder}/{name}");
            match loader.read(&path) {
                Ok(_) if self.open.contains(&path) => {
                    let chain = self.open.join(" includes ");
                    return Err(edit(format!("circular include: {chain} includes {path}")));
                }
                Ok(text) => return self.file(&path, &text),
                Err(error) if is_missing(&error) => tried.push(path),
                Err(error) => return Err(TemplateError::unreadable(place.clone(), &path, &error)),
            }
        }
        let tried = tried.join(", ");
        Err(edit(format!("no file to include; tried {tried}")))
    }
}

/// Where the next `{{`, `{%` or `{#` is.
fn next_mark(text: &[u8]) -> Option<usize> {
    text.windows(2)
        .position(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
}

/// The value of `default("x")`.
fn default_value(filter: &str) -> Option<String> {
    let rest = filter
        .strip_prefix("default")
        .or(filter.strip_prefix('d'))?;
    let argument = rest
        .trim_start()
        .strip_prefix('(')?
        .strip_suffix(')')?
        .trim();
    if argument.parse::<i64>().is_ok() {
        return Some(argument.to_owned());
    }
    string(argument)
}

/// The value of a quoted string.
fn string(text: &str) -> Option<String> {
    let quote = text
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))?;
    let mut value = String::new();
    let mut rest = text[1..].chars();
    loop {
        match rest.next()? {
            '\\' => match rest.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            end if end == quote => return rest.as_str().is_empty().then_some(value),
            other => value.push(other),
        }
    }
}
