//! What the compilers of the original TCE reject or read otherwise.
//!
//! Their lexer reads a keyword wherever a word begins with one, and knows no comment
//! but `//` up to and including a line feed. Their grammar has a `;` after elements
//! of a module, members and operations, and nowhere else.

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::{Findings, Level, LintContext, Rule};
use crate::source::{FileId, SourceFile, Span};
use crate::symbols::SymbolKind;
use crate::syntax::ast::{Annotation, AnnotationValue, Element, Identifier};
use crate::syntax::{self, Token};

pub(super) const LEGACY_SYNTAX: Rule = Rule {
    code: Code::LegacySyntax,
    level: Level::Warn,
    why: "The compilers of the original TCE report a syntax error, so that programs in other \
          languages can't be generated from the file. They know no `;` after an import or a \
          module or alone, no comments but `//`, and no names that begin with a keyword. Where all \
          programs are compiled by this compiler, allow the rule in tce.toml.",
    bad: include_str!("../examples/legacy_syntax.bad.idl"),
    good: include_str!("../examples/legacy_syntax.good.idl"),
    check: check_legacy_syntax,
};

/// The words that end a name in the lexer of legacy compilers, which has no other
/// keywords: `void` and the builtin types are names there.
const KEYWORDS: &[&str] = &[
    "sequence",
    "dictionary",
    "struct",
    "interface",
    "import",
    "extends",
    "module",
];

/// A word that no type can have as its name.
const RESERVED: &str = "exception";

pub(super) const LEGACY_DECLARATIONS: Rule = Rule {
    code: Code::LegacyDeclarations,
    level: Level::Allow,
    why: "Enums, exceptions, constants, `throws` and annotations without a value are extensions: \
          the compilers of the original TCE report a syntax error. Programs that they compile need \
          a file without these; on the wire an enum is an `int`, and an exception an ordinary \
          error. This rule is off by default.",
    bad: include_str!("../examples/legacy_declarations.bad.idl"),
    good: include_str!("../examples/legacy_declarations.good.idl"),
    check: check_legacy_declarations,
};

fn check_legacy_declarations(context: &LintContext<'_>, found: &mut Findings<'_>) {
    let mut report = |what: &str, span: Span, help: &str| {
        let message = format!("legacy compilers know no {what}");
        let diagnostic = Diagnostic::new(Code::LegacyDeclarations, message);
        found.push(diagnostic.at(span, "").help(help));
    };
    for element in context.modules().flat_map(|module| &module.elements) {
        let name = element.name().span;
        match element {
            Element::Enum(_) => report("enum", name, "use an `int`"),
            Element::Exception(_) => report("exception", name, "a plain error needs none"),
            Element::Constant(_) => report("constant", name, "write the value in a comment"),
            Element::Interface(_)
            | Element::Struct(_)
            | Element::Sequence(_)
            | Element::Dictionary(_) => {}
        }
        for annotation in annotations(element) {
            if matches!(annotation.value, AnnotationValue::Flag) {
                let help = "write a value: `idempotent=true`, `deprecated=\"text\"`";
                report("annotation without a value", annotation.key.span, help);
            }
        }
        if let Element::Interface(it) = element {
            for thrown in it.operations.iter().filter_map(|it| it.throws.first()) {
                report(
                    "`throws`",
                    thrown.span,
                    "remove it: the caller gets a plain error",
                );
            }
        }
    }
}

/// The annotations of an element and of what it contains.
fn annotations(element: &Element) -> Vec<&Annotation> {
    match element {
        Element::Struct(it) | Element::Exception(it) => {
            let members = it.members.iter().flat_map(|it| &it.annotations);
            it.annotations.iter().chain(members).collect()
        }
        Element::Enum(it) => {
            let members = it.members.iter().flat_map(|it| &it.annotations);
            it.annotations.iter().chain(members).collect()
        }
        Element::Interface(it) => {
            let operations = it.operations.iter().flat_map(|it| &it.annotations);
            it.annotations.iter().chain(operations).collect()
        }
        Element::Constant(_) | Element::Sequence(_) | Element::Dictionary(_) => Vec::new(),
    }
}

fn check_legacy_syntax(context: &LintContext<'_>, found: &mut Findings<'_>) {
    for file in context.files() {
        check_tokens(file.id, context.sources.get(file.id), found);
        for name in &file.imports {
            check_name(name, found);
        }
    }
    for (kind, name) in context.names() {
        check_name(name, found);
        let is_type = matches!(
            kind,
            SymbolKind::Struct | SymbolKind::Sequence | SymbolKind::Dictionary
        );
        if is_type && name.text == RESERVED {
            let message = format!("legacy compilers accept no type called `{RESERVED}`");
            report(name.span, message, "choose another name", found);
        }
    }
    let elements = context.modules().flat_map(|module| &module.elements);
    for interface in elements.filter_map(|element| match element {
        Element::Interface(interface) => Some(interface),
        _ => None,
    }) {
        let of_operations = interface.operations.iter().flat_map(|it| &it.annotations);
        for annotation in interface.annotations.iter().chain(of_operations) {
            check_name(&annotation.key, found);
        }
    }
}

fn check_name(name: &Identifier, found: &mut Findings<'_>) {
    let keyword = KEYWORDS.iter().find(|it| name.text.starts_with(**it));
    if let Some(keyword) = keyword {
        let message = format!(
            "legacy compilers read the start of `{}` as the keyword `{keyword}`",
            name.text
        );
        report(name.span, message, "choose another name", found);
    }
}

/// Checks the comments and the `;` of a file.
fn check_tokens(id: FileId, source: &SourceFile, found: &mut Findings<'_>) {
    let mut before = ["", ""];
    let mut depth = 0_usize;
    for token in syntax::tokens(id, source) {
        let text = source
            .text()
            .get(token.span.start as usize..token.span.end as usize);
        let text = text.unwrap_or_default();
        if token.is_comment {
            check_comment(source, token, text, found);
            continue;
        }
        match text {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            ";" => check_semicolon(source, token.span, before, depth, found),
            _ => {}
        }
        before = [before[1], text];
    }
}

fn check_semicolon(
    source: &SourceFile,
    span: Span,
    before: [&str; 2],
    depth: usize,
    found: &mut Findings<'_>,
) {
    let place = match before {
        ["import", _] => "after an import",
        [_, "}"] if depth == 0 => "after a module",
        [_, "{" | ";" | "]"] => "alone",
        _ => return,
    };
    let message = format!("legacy compilers know no `;` {place}");
    let diagnostic = Diagnostic::new(Code::LegacySyntax, message).at(span, "");
    // Without it, the words around it may become one.
    let rest = &source.text()[span.end as usize..];
    let is_space = rest.starts_with(|c: char| c.is_whitespace()) || rest.is_empty();
    found.push(diagnostic.fix("remove it", span, if is_space { "" } else { "\n" }));
}

fn check_comment(source: &SourceFile, token: Token, text: &str, found: &mut Findings<'_>) {
    let Token { span, .. } = token;
    let mark = |length| Span {
        end: span.start + length,
        ..span
    };
    let rest = &source.text()[span.end as usize..];
    let message = |what: &str| format!("legacy compilers know no comment {what}");
    if text.starts_with('#') {
        let diagnostic = Diagnostic::new(Code::LegacySyntax, message("with `#`"));
        // `//` before a `/` would be documentation.
        let replacement = if text.starts_with("#/") { "// " } else { "//" };
        found.push(
            diagnostic
                .at(mark(1), "")
                .fix("write `//`", mark(1), replacement),
        );
    } else if text.starts_with("/*") {
        report(
            mark(2),
            message("in `/* … */`"),
            "write `//` before each line",
            found,
        );
    } else if rest.trim_start_matches([' ', '\t']).is_empty() {
        let message = message("at the end of the file without a line end");
        report(mark(2), message, "add a line end", found);
    } else if rest.starts_with('\r') && !rest.starts_with("\r\n") {
        let message = "legacy compilers don't end a comment at CR alone".to_owned();
        report(mark(2), message, "end the line with LF", found);
    }
}

fn report(span: Span, message: String, help: &str, found: &mut Findings<'_>) {
    found.push(
        Diagnostic::new(Code::LegacySyntax, message)
            .at(span, "")
            .help(help),
    );
}
