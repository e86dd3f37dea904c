//! Lines of code in the layout of rustfmt, for the kinds of lines that this back end writes.
//!
//! The rules hold for names of up to some 30 characters. With longer ones, rustfmt breaks
//! some lines once more.

use std::ops::Range;

/// The longest line, in characters.
const MAX_WIDTH: usize = 100;

/// The longest arguments and the longest method chain on one line, in characters.
const MAX_CALL: usize = 60;

/// The longest argument that shares a line with others, in characters.
const MAX_SHORT: usize = 10;

/// Spaces of a level of indentation.
const TAB: usize = 4;

/// Writes a line of code, broken into several if rustfmt breaks it.
pub(super) fn push_line(out: &mut String, level: usize, line: &str) {
    let is_short = width(line) <= MAX_CALL || is_declaration(line);
    if line.contains('\n') {
        literal(out, level, line);
    } else if is_short && fits(level, line) {
        push(out, level, line);
    } else if ["fn ", "pub fn ", "pub(super) fn "]
        .iter()
        .any(|it| line.starts_with(it))
    {
        signature(out, level, line);
    } else if line.starts_with("impl") {
        implementation(out, level, line);
    } else if line.starts_with("pub ") && !is_constant(line) {
        declaration(out, level, line);
    } else if let Some((pattern, value)) = line.split_once(" => ") {
        arm(out, level, pattern, value);
    } else if let Some((name, value)) = line.split_once(" = ") {
        assignment(out, level, name, value);
    } else if let Some((name, value)) = line.split_once(": ") {
        field(out, level, name, value);
    } else {
        expression(out, level, "", line);
    }
}

/// Writes the first line of a call whose last argument is a closure with a block, which
/// stays on this line if it is short. Returns whether each argument has a line of its own
/// instead.
pub(super) fn push_open_call(out: &mut String, level: usize, line: &str) -> bool {
    let closure = line.find('|').unwrap_or(line.len());
    let (call, closure) = line.split_at(closure);
    let (callee, arguments) = call.split_once('(').unwrap_or_default();
    if closure.is_empty() || fits(level, line) && width(arguments) + width(closure) <= MAX_CALL {
        push(out, level, line);
        return false;
    }
    push(out, level, &format!("{callee}("));
    for argument in split(arguments, ',') {
        push(out, level + 1, &format!("{argument},"));
    }
    if fits(level + 1, closure) {
        push(out, level + 1, closure);
    } else {
        wide_closure(out, level + 1, closure);
    }
    true
}

/// `|a, (b, c), d| {`, with a line for each parameter.
fn wide_closure(out: &mut String, level: usize, line: &str) {
    let parameters = split(line, ',');
    for (at, parameter) in parameters.iter().enumerate() {
        let align = if at == 0 { "" } else { " " };
        let comma = if at + 1 == parameters.len() { "" } else { "," };
        pattern(out, level, align, &format!("{parameter}{comma}"));
    }
}

/// A parameter of a closure, after `align` on its line.
fn pattern(out: &mut String, level: usize, align: &str, line: &str) {
    let whole = format!("{align}{line}");
    let elements = line.strip_prefix('(').and_then(|it| it.strip_suffix("),"));
    // rustfmt measures as if parameters were indented by one more level.
    let Some(elements) = elements.filter(|_| !fits(level + 1, &whole)) else {
        return push(out, level, &whole);
    };
    push(out, level, &format!("{align}("));
    for element in split(elements, ',') {
        pattern(out, level + 1, "", &format!("{element},"));
    }
    push(out, level, "),");
}

/// `Some("…")` with a literal of several lines.
fn literal(out: &mut String, level: usize, line: &str) {
    let parts = line
        .split_once('(')
        .and_then(|(head, rest)| Some((head, rest.rsplit_once(')')?)));
    let Some((head, (text, tail))) = parts else {
        return push(out, level, line);
    };
    push(out, level, &format!("{head}("));
    push(out, level + 1, &format!("{text},"));
    push(out, level, &format!("){tail}"));
}

fn is_constant(line: &str) -> bool {
    line.starts_with("pub const ")
}

/// Whether a line is no expression, so that calls in it are types.
fn is_declaration(line: &str) -> bool {
    if is_constant(line) {
        return false;
    }
    line.ends_with('{')
        || ["pub ", "fn ", "use "]
            .iter()
            .any(|it| line.starts_with(it))
}

/// `fn name<T: Bound>(parameters) -> Result;`
fn signature(out: &mut String, level: usize, line: &str) {
    let Some((start, end)) = parentheses(line, line.find("fn ").unwrap_or_default()) else {
        return push(out, level, line);
    };
    let head = &line[..=start];
    match head.trim_end_matches("(").split_once('<') {
        // rustfmt reserves the characters of `) {`.
        Some((name, bounds)) if !fits(level, &format!("{head}) {{")) => {
            push(out, level, &format!("{name}<"));
            push(
                out,
                level + 1,
                &format!("{},", bounds.trim_end_matches('>')),
            );
            push(out, level, ">(");
        }
        _ => push(out, level, head),
    }
    for parameter in split(&line[start + 1..end], ',') {
        push(out, level + 1, &format!("{parameter},"));
    }
    let tail = &line[end..];
    let (bound, others) = tail.split_once(" + ").unwrap_or((tail, ""));
    match bound.strip_suffix('>').and_then(|it| it.split_once('<')) {
        // rustfmt ignores the width of further bounds, and of the last `>` of this one.
        Some((head, output)) if !fits(level, &format!("{head}<{output}")) => {
            push(out, level, &format!("{head}<"));
            push(out, level + 1, &format!("{output},"));
            push(out, level, &format!("> + {others}"));
        }
        Some(_) if !fits(level, bound) => {
            push(out, level, bound);
            push(out, level, &format!("+ {others}"));
        }
        _ => push(out, level, tail),
    }
}

/// `impl<T: Bound> Trait for Type {` or `impl<T: Bound> Type<T> {`
fn implementation(out: &mut String, level: usize, line: &str) {
    let parts = line.strip_suffix(" {").and_then(|line| {
        let after_bounds = line.find("> ").map(|at| at + 1);
        Some(line.split_at(line.find(" for ").or(after_bounds)?))
    });
    let Some((head, of)) = parts else {
        return push(out, level, line);
    };
    push(out, level, head);
    push(out, level + 1, of.trim_start());
    push(out, level, "{");
}

/// `pub type Name = Type<A, B>;` or `pub name: Type,`
fn declaration(out: &mut String, level: usize, line: &str) {
    let parts = [" = ", ": "].iter().find_map(|sign| {
        let (name, of) = line.split_once(sign)?;
        Some((format!("{name}{}", sign.trim_end()), of))
    });
    let Some((name, of)) = parts else {
        return push(out, level, line);
    };
    let generic = of.strip_suffix(">;").and_then(|it| it.split_once('<'));
    match generic.filter(|_| !fits(level + 1, of)) {
        Some((generic, arguments)) => {
            push(out, level, &format!("{name} {generic}<"));
            for argument in split(arguments, ',') {
                push(out, level + 1, &format!("{argument},"));
            }
            push(out, level, ">;");
        }
        None => {
            push(out, level, &name);
            push(out, level + 1, of);
        }
    }
}

/// `1 => value,`
fn arm(out: &mut String, level: usize, pattern: &str, value: &str) {
    if arguments(value).is_some_and(|list| width(&value[list]) > MAX_CALL) {
        return expression(out, level, &format!("{pattern} => "), value);
    }
    if fits(level, &format!("{pattern} => {value}")) {
        return push(out, level, &format!("{pattern} => {value}"));
    }
    push(out, level, &format!("{pattern} => {{"));
    push_line(out, level + 1, value.trim_end_matches(','));
    push(out, level, "}");
}

/// `pub const NAME: Type = value;` or `let name = value;`
fn assignment(out: &mut String, level: usize, name: &str, value: &str) {
    let is_wide = width(value) > MAX_CALL
        && arguments(value).is_some_and(|list| width(&value[list]) > MAX_CALL);
    if is_wide {
        return match value.split_once('(') {
            Some((callee, _)) if fits(level, &format!("{name} = {callee}(")) => {
                expression(out, level, &format!("{name} = "), value);
            }
            _ => {
                push(out, level, &format!("{name} ="));
                expression(out, level + 1, "", value);
            }
        };
    }
    let whole = format!("{name} = {value}");
    if fits(level, &whole) {
        push(out, level, &whole);
    } else if fits(level + 1, value) {
        push(out, level, &format!("{name} ="));
        push(out, level + 1, value);
    } else if let Some(value) = value.strip_suffix(".await;")
        && fits(level + 1, &format!("{value};"))
    {
        push(out, level, &format!("{name} ="));
        push(out, level + 1, value);
        push(out, level + 2, ".await;");
    } else if let [first, others @ ..] = &split(value, '+')[..]
        && !others.is_empty()
    {
        push(out, level, &format!("{name} = {first}"));
        for operand in others {
            push(out, level + 1, &format!("+ {operand}"));
        }
    } else {
        expression(out, level, &format!("{name} = "), value);
    }
}

/// `name: value,` of a struct.
fn field(out: &mut String, level: usize, name: &str, value: &str) {
    let whole = format!("{name}: {value}");
    let head = whole.find('(').map_or("", |at| &whole[..=at]);
    if fits(level, &whole) {
        push(out, level, &whole);
    } else if fits(level, &format!("{head})")) {
        expression(out, level, &format!("{name}: "), value);
    } else {
        push(out, level, &format!("{name}:"));
        push(out, level + 1, value);
    }
}

/// A call or a tuple, after `before` on its line.
fn expression(out: &mut String, level: usize, before: &str, value: &str) {
    let whole = format!("{before}{value}");
    let Some(list) = arguments(value) else {
        return push(out, level, &whole);
    };
    let (head, tail) = (&value[..list.start], &value[list.end..]);
    let list = &value[list];
    let is_wide = width(list) > MAX_CALL;
    let chain = width(value.trim_end_matches([';', ',']));
    // rustfmt writes a short receiver and the first member as one.
    let is_chain = head.starts_with("self.") && head.matches('.').count() > 1;
    if !is_wide && fits(level, &whole) && !(is_chain && chain > MAX_CALL) {
        return push(out, level, &whole);
    }
    if let Some(at) = head.rfind('.').filter(|at| !is_wide && *at > TAB) {
        push(out, level, &format!("{before}{}", &head[..at]));
        return push(out, level + 1, &value[at..]);
    }
    push(out, level, &format!("{before}{head}"));
    let arguments = split(list, ',');
    if arguments.iter().all(|argument| is_short(argument)) {
        fill(out, level + 1, &arguments);
    } else {
        for argument in arguments {
            expression(out, level + 1, "", &format!("{argument},"));
        }
    }
    match tail.split_once('.') {
        Some((close, member)) => {
            push(out, level, close);
            push(out, level, &format!(".{member}"));
        }
        None => push(out, level, tail),
    }
}

/// Whether an argument shares a line with others where they are too many for one.
fn is_short(argument: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '#' | '&');
    width(argument) <= MAX_SHORT && argument.chars().all(is_plain)
}

/// As many arguments on each line as fit.
fn fill(out: &mut String, level: usize, arguments: &[&str]) {
    let mut line = String::new();
    for argument in arguments {
        if !line.is_empty() && !fits(level, &format!("{line} {argument}, ")) {
            push(out, level, &std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend([argument, ","]);
    }
    push(out, level, &line);
}

/// Where the arguments of the last call in an expression are, or the elements of a tuple.
fn arguments(value: &str) -> Option<Range<usize>> {
    let mut last = None;
    let mut from = 0;
    while let Some((start, end)) = parentheses(value, from) {
        last = Some(start + 1..end);
        from = end + 1;
    }
    last.filter(|list| !list.is_empty())
}

/// Where the first `(` from a position on and its `)` are.
fn parentheses(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut start = None;
    let mut depth = 0_usize;
    let mut nesting = Nesting::default();
    for (at, c) in text[from..].char_indices() {
        match c {
            _ if nesting.is_text(c) => {}
            '(' => {
                start.get_or_insert(from + at);
                depth += 1;
            }
            ')' if depth == 1 => return Some((start?, from + at)),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The parts of a text between separators that no bracket encloses.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut nesting = Nesting::default();
    for (at, c) in text.char_indices() {
        if !nesting.is_text(c) && nesting.is_outside(c) && c == separator {
            parts.push(text[start..at].trim());
            start = at + 1;
        }
    }
    let last = text[start..].trim();
    parts.extend((!last.is_empty()).then_some(last));
    parts
}

/// What encloses a position in a line.
#[derive(Default)]
struct Nesting {
    depth: usize,
    before: char,
    is_quoted: bool,
}

impl Nesting {
    /// Whether a character is part of a string literal.
    fn is_text(&mut self, c: char) -> bool {
        let is_escaped = self.is_quoted && self.before == '\\';
        let was_quoted = self.is_quoted;
        if c == '"' && !is_escaped {
            self.is_quoted = !self.is_quoted;
        }
        self.before = if is_escaped { ' ' } else { c };
        was_quoted || self.is_quoted
    }

    /// Whether a character of the code is in no bracket.
    fn is_outside(&mut self, c: char) -> bool {
        match c {
            '(' | '[' | '<' => self.depth += 1,
            ')' | ']' | '>' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth == 0
    }
}

fn fits(level: usize, line: &str) -> bool {
    level * TAB + width(line) <= MAX_WIDTH
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn push(out: &mut String, level: usize, line: &str) {
    out.extend(std::iter::repeat_n("    ", level));
    out.extend([line, "\n"]);
}
