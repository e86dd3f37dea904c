//! Scripts of ecFlow: directives in lines that begin with the mark, then variables.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Script;
use super::source::{Loader, MAX_DEPTH, MAX_SIZE, Place, TemplateError};
use super::substitute::{SubstituteError, Substitution};
use super::variables::Variables;

/// How many files a script may include.
const MAX_INCLUDES: u32 = 10_000;

/// What is between a directive and its `%end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Comment,
    Manual,
    /// Lines of the job whose marks are no variables.
    Literal,
}

impl Block {
    fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"comment" => Some(Self::Comment),
            b"manual" => Some(Self::Manual),
            b"nopp" => Some(Self::Literal),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::Manual => "manual",
            Self::Literal => "nopp",
        }
    }
}

/// A line with its includes in their places.
struct Line {
    text: Vec<u8>,
    /// The index of its file.
    file: usize,
    number: u32,
    /// The mark that is in force.
    micro: u8,
    kind: LineKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LineKind {
    Text,
    Inside(Block),
    /// Begins or ends a block, or changes the mark.
    Directive,
}

/// The mark of the directives and variables: `%`, unless ECF_MICRO is another character.
pub(super) fn micro(variables: &Variables, place: &str) -> Result<u8, TemplateError> {
    match variables.get("ECF_MICRO").map(str::as_bytes) {
        None => Ok(b'%'),
        Some([micro]) => Ok(*micro),
        Some(_) => {
            let text = "ECF_MICRO has to be one ASCII character";
            Err(TemplateError::edit(Place::new(place, 1), text))
        }
    }
}

pub(super) fn job(
    script: &Script,
    variables: &Variables,
    loader: &dyn Loader,
) -> Result<Vec<u8>, TemplateError> {
    let lines = Preprocessor::run(script, variables, loader)?;
    let mut substitution = Substitution::new(b'%', variables);
    let mut job = Vec::new();
    for line in &lines.lines {
        match line.kind {
            LineKind::Text => {
                substitution.micro = line.micro;
                let result = substitute(line, &substitution, &mut job);
                result.map_err(|error| TemplateError::edit(lines.place(line), error))?;
            }
            LineKind::Inside(Block::Literal) => job.extend_from_slice(&line.text),
            LineKind::Inside(_) | LineKind::Directive => continue,
        }
        job.push(b'\n');
    }
    Ok(job)
}

pub(super) fn preprocessed(
    script: &Script,
    variables: &Variables,
    loader: &dyn Loader,
) -> Result<Vec<u8>, TemplateError> {
    let lines = Preprocessor::run(script, variables, loader)?;
    let mut text = Vec::new();
    if let Some(used) = used_variables(&lines, variables)? {
        text.extend_from_slice(b"%comment - ecf user variables\n");
        for (name, value) in used {
            text.extend_from_slice(format!("{name} = {value}\n").as_bytes());
        }
        text.extend_from_slice(b"%end - ecf user variables\n");
    }
    for line in &lines.lines {
        text.extend_from_slice(&line.text);
        text.push(b'\n');
    }
    Ok(text)
}

/// Appends a line with the values of its variables. A last mark without a partner is an error but
/// in two cases, as in ecFlow: behind a `#`, and if the line begins with a mark and has blanks.
fn substitute(
    line: &Line,
    substitution: &Substitution<'_>,
    out: &mut Vec<u8>,
) -> Result<(), SubstituteError> {
    let begins_with_mark = line.text.first() == Some(&line.micro);
    if line.text.contains(&b'#') || (begins_with_mark && line.text.contains(&b' ')) {
        substitution.append_lenient(&line.text, out)
    } else {
        substitution.append(&line.text, out)
    }
}

/// The user's variables, and those with defaults, that the lines name; `None` if they name none at
/// all.
fn used_variables(
    lines: &Lines,
    variables: &Variables,
) -> Result<Option<BTreeMap<String, String>>, TemplateError> {
    let mut used = BTreeMap::new();
    let mut has_names = false;
    for line in &lines.lines {
        let substitution = Substitution::new(line.micro, variables);
        match line.kind {
            LineKind::Text => {
                let result = substitute(line, &substitution, &mut Vec::new());
                result.map_err(|error| TemplateError::edit(lines.place(line), error))?;
            }
            LineKind::Inside(Block::Comment | Block::Manual) => {}
            LineKind::Inside(Block::Literal) | LineKind::Directive => continue,
        }
        let mut names: Vec<_> = substitution
            .names(&line.text)
            .map(Cow::into_owned)
            .collect();
        has_names |= !names.is_empty();
        while let Some(name) = names.pop() {
            let (own, default) = match name.split_once(':') {
                Some((own, default)) => (own, Some(default)),
                None => (&*name, None),
            };
            let value = variables.get(own).or(default);
            let is_shown = default.is_some() || variables.is_own(own);
            if let Some(value) = value.filter(|_| is_shown && !used.contains_key(&name)) {
                let inner = substitution.names(value.as_bytes());
                names.extend(inner.map(Cow::into_owned));
                used.insert(name.clone(), value.to_owned());
            }
        }
    }
    Ok(has_names.then_some(used))
}

pub(super) fn manual(
    script: &Script,
    variables: &Variables,
    loader: &dyn Loader,
) -> Result<Vec<u8>, TemplateError> {
    let lines = Preprocessor::run(script, variables, loader)?;
    let mut substitution = Substitution::new(b'%', variables);
    let mut text = Vec::new();
    let is_manual = |line: &&Line| line.kind == LineKind::Inside(Block::Manual);
    for line in lines.lines.iter().filter(is_manual) {
        substitution.micro = line.micro;
        // A manual is prose: what is no variable in it stays.
        let start = text.len();
        if substitution.append_lenient(&line.text, &mut text).is_err() {
            text.truncate(start);
            text.extend_from_slice(&line.text);
        }
        text.push(b'\n');
    }
    Ok(text)
}

/// All lines of a script, and the names of the files that they are from.
struct Lines {
    lines: Vec<Line>,
    files: Vec<String>,
}

impl Lines {
    fn place(&self, line: &Line) -> Place {
        Place::new(&self.files[line.file], line.number)
    }
}

/// The lines of a text; an empty one has none.
fn split_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.strip_suffix(b"\n").unwrap_or(text);
    let count = if text.is_empty() { 0 } else { usize::MAX };
    lines.split(|byte| *byte == b'\n').take(count)
}

struct Preprocessor<'a> {
    variables: &'a Variables,
    loader: &'a dyn Loader,
    micro: u8,
    lines: Lines,
    /// The files that are being read, from the script to the innermost include.
    open: Vec<String>,
    /// What `%includeonce` has included.
    once: BTreeSet<String>,
    size: usize,
    includes: u32,
}

impl<'a> Preprocessor<'a> {
    fn run(
        script: &Script,
        variables: &'a Variables,
        loader: &'a dyn Loader,
    ) -> Result<Lines, TemplateError> {
        let mut preprocessor = Self {
            variables,
            loader,
            micro: micro(variables, &script.path)?,
            lines: Lines {
                lines: Vec::new(),
                files: Vec::new(),
            },
            open: Vec::new(),
            once: BTreeSet::new(),
            size: 0,
            includes: 0,
        };
        preprocessor.file(&script.path, &script.text)?;
        Ok(preprocessor.lines)
    }

    fn file(&mut self, path: &str, text: &[u8]) -> Result<(), TemplateError> {
        self.size += text.len();
        if self.size > MAX_SIZE {
            let text = format!("the script and its includes exceed {MAX_SIZE} bytes");
            return Err(TemplateError::edit(Place::new(path, 1), text));
        }
        self.open.push(path.to_owned());
        self.lines.files.push(path.to_owned());
        let file = self.lines.files.len() - 1;
        let mut block: Option<(Block, u32)> = None;
        for (number, line) in (1..).zip(split_lines(text)) {
            self.line(file, number, line, &mut block)?;
        }
        if let Some((block, start)) = block {
            let text = format!("%{} without %end", block.word());
            return Err(TemplateError::edit(Place::new(path, start), text));
        }
        self.open.pop();
        Ok(())
    }

    fn line(
        &mut self,
        file: usize,
        number: u32,
        text: &[u8],
        block: &mut Option<(Block, u32)>,
    ) -> Result<(), TemplateError> {
        let place = Place::new(&self.lines.files[file], number);
        let directive = self.directive(text);
        let mut kind = match *block {
            Some((block, _)) => LineKind::Inside(block),
            None => LineKind::Text,
        };
        let micro = self.micro;
        match (directive, *block) {
            (Some((b"end", _)), Some(_)) => {
                *block = None;
                kind = LineKind::Directive;
            }
            // Nothing but its end means anything inside of `%nopp`.
            (_, Some((Block::Literal, _))) | (None, Some(_)) => {}
            (Some((b"end", _)), None) => {
                let text = "%end without %comment, %manual or %nopp";
                return Err(TemplateError::edit(place, text));
            }
            (Some((word @ (b"include" | b"includeonce" | b"includenopp"), rest)), block) => {
                let within = block.map(|(block, _)| block);
                return self.include(file, number, word, rest, within);
            }
            (Some((b"ecfmicro", rest)), None) => {
                self.micro = match rest.trim_ascii() {
                    [micro] => *micro,
                    _ => {
                        let text = "%ecfmicro needs one ASCII character";
                        return Err(TemplateError::edit(place, text));
                    }
                };
                kind = LineKind::Directive;
            }
            (Some((word, _)), outer) => match (Block::from_word(word), outer) {
                (Some(inner), None) => {
                    *block = Some((inner, number));
                    kind = LineKind::Directive;
                }
                (Some(inner), Some((outer, _))) => {
                    let (inner, outer) = (inner.word(), outer.word());
                    let text = format!("%{inner} inside of %{outer}");
                    return Err(TemplateError::edit(place, text));
                }
                (None, Some(_)) => {}
                (None, None) => {
                    let word = String::from_utf8_lossy(word);
                    let text = format!("there is no directive %{word}");
                    return Err(TemplateError::edit(place, text));
                }
            },
            (None, None) => {}
        }
        self.push(file, number, text, kind, micro);
        Ok(())
    }

    fn push(&mut self, file: usize, number: u32, text: &[u8], kind: LineKind, micro: u8) {
        self.lines.lines.push(Line {
            text: text.to_vec(),
            file,
            number,
            micro,
            kind,
        });
    }

    /// The word behind the mark that a line begins with, and the rest. A line that begins with a
    /// variable has no directive.
    fn directive<'t>(&self, text: &'t [u8]) -> Option<(&'t [u8], &'t [u8])> {
        let rest = text.strip_prefix(&[self.micro])?;
        let end = rest.iter().position(|byte| !byte.is_ascii_alphabetic());
        let (word, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let is_known = Block::from_word(word).is_some()
            || matches!(
                word,
                b"end" | b"include" | b"includeonce" | b"includenopp" | b"ecfmicro"
            );
        let marks = text.iter().filter(|byte| **byte == self.micro).count();
        let is_directive = if is_known {
            !matches!(rest.first(), Some(byte) if *byte == self.micro || *byte == b':')
        } else {
            word.starts_with(b"include") || (marks % 2 == 1 && !text.contains(&b' '))
        };
        is_directive.then_some((word, rest))
    }

    fn include(
        &mut self,
        file: usize,
        number: u32,
        word: &[u8],
        rest: &[u8],
        within: Option<Block>,
    ) -> Result<(), TemplateError> {
        let place = Place::new(&self.lines.files[file], number);
        self.includes += 1;
        if self.includes > MAX_INCLUDES {
            let text = format!("more than {MAX_INCLUDES} includes");
            return Err(TemplateError::edit(place, text));
        }
        let (path, text) = self.find_include(rest, &place)?;
        if word == b"includeonce" && !self.once.insert(path.clone()) {
            return Ok(());
        }
        if self.open.contains(&path) {
            let chain = self.open.join(" includes ");
            let text = format!("circular include: {chain} includes {path}");
            return Err(TemplateError::edit(place, text));
        }
        if self.open.len() > MAX_DEPTH {
            let text = format!("includes are more than {MAX_DEPTH} levels deep");
            return Err(TemplateError::edit(place, text));
        }
        let first = self.lines.lines.len();
        let mark = char::from(self.micro);
        if word == b"includenopp" {
            let start = format!("{mark}nopp");
            self.push(
                file,
                number,
                start.as_bytes(),
                LineKind::Directive,
                self.micro,
            );
            self.literal(&path, &text)?;
            let end = format!("{mark}end");
            self.push(
                file,
                number,
                end.as_bytes(),
                LineKind::Directive,
                self.micro,
            );
        } else {
            self.file(&path, &text)?;
        }
        if let Some(block) = within {
            for line in &mut self.lines.lines[first..] {
                line.kind = LineKind::Inside(block);
            }
        }
        Ok(())
    }

    fn literal(&mut self, path: &str, text: &[u8]) -> Result<(), TemplateError> {
        self.size += text.len();
        if self.size > MAX_SIZE {
            let text = format!("the script and its includes exceed {MAX_SIZE} bytes");
            return Err(TemplateError::edit(Place::new(path, 1), text));
        }
        self.lines.files.push(path.to_owned());
        let file = self.lines.files.len() - 1;
        for (number, line) in (1..).zip(split_lines(text)) {
            let kind = LineKind::Inside(Block::Literal);
            self.push(file, number, line, kind, self.micro);
        }
        Ok(())
    }

    /// The file that an include names: `<f>` below ECF_INCLUDE or ECF_HOME, `"f"` beside the
    /// scripts of the family, others as they are.
    fn find_include(&self, rest: &[u8], place: &Place) -> Result<(String, Vec<u8>), TemplateError> {
        let edit = |text: String| TemplateError::edit(place.clone(), text);
        let rest = String::from_utf8_lossy(rest);
        let rest = self.value(rest.trim(), place)?;
        let home = self.variables.get("ECF_HOME").unwrap_or(".");
        let mut places = Vec::new();
        if let Some(name) = rest.strip_prefix('<') {
            let name = name.split('>').next().unwrap_or_default();
            if let Some(folders) = self.variables.get("ECF_INCLUDE") {
                let folders = self.value(folders, place)?;
                let folders = folders.split(':').filter(|folder| !folder.is_empty());
                places.extend(folders.map(|folder| format!("{folder}/{name}")));
            }
            places.push(format!("{}/{name}", self.value(home, place)?));
        } else if let Some(name) = rest.strip_prefix('"') {
            let name = name.split('"').next().unwrap_or_default();
            let path = self.variables.path();
            let family = path.rsplit_once('/').map_or("", |(family, _)| family);
            places.push(format!("{}{family}/{name}", self.value(home, place)?));
        } else {
            let name = rest.split_whitespace().next();
            let name = name.ok_or_else(|| edit("an include needs the name of a file".into()))?;
            places.push(name.to_owned());
        }
        for path in &places {
            match self.loader.read(path) {
                Ok(text) => return Ok((path.clone(), text)),
                Err(error) if super::source::is_missing(&error) => {}
                Err(error) => return Err(TemplateError::unreadable(place.clone(), path, &error)),
            }
        }
        let tried = places.join(", ");
        Err(edit(format!("no file to include; tried {tried}")))
    }

    fn value(&self, text: &str, place: &Place) -> Result<String, TemplateError> {
        let mut value = Vec::new();
        Substitution::new(self.micro, self.variables)
            .append(text.as_bytes(), &mut value)
            .map_err(|error| TemplateError::edit(place.clone(), error))?;
        Ok(String::from_utf8_lossy(&value).into_owned())
    }
}
