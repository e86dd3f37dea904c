//! Random models, written with random space and comments between all tokens.

use std::fmt::Write;

use proptest::prelude::*;

/// The text of a random `.idl` file without errors.
pub(crate) fn file() -> impl Strategy<Value = String> {
    let imports = prop::collection::vec(any::<bool>(), 0..3);
    let modules = prop::collection::vec(module(), 0..3);
    let trivia = prop::collection::vec(trivia(), 1..200);
    let ends = prop::sample::select(&["\n", "\r\n", "\r"][..]);
    (imports, modules, trivia, ends).prop_map(|(imports, modules, trivia, end)| {
        let mut words = Vec::new();
        for semicolon in imports {
            let import = if semicolon {
                "import other ;"
            } else {
                "import other"
            };
            add(&mut words, import);
        }
        for (number, module) in modules.iter().enumerate() {
            write_module(number, module, &mut words);
        }
        let text = spaced(&words, &trivia);
        text.replace('\n', end)
    })
}

/// A declaration, with numbers for which the writer chooses names.
#[derive(Debug, Clone)]
enum Element {
    Struct(Vec<u8>),
    Exception(Vec<u8>),
    /// Whether each member has a number, and whether a `,` ends the list.
    Enum(Vec<bool>, bool),
    Constant(u8),
    Sequence(u8),
    Dictionary(u8, u8),
    Interface {
        extends: bool,
        annotated: bool,
        operations: Vec<Operation>,
    },
    Semicolon,
}

#[derive(Debug, Clone)]
struct Operation {
    annotated: bool,
    returns: u8,
    parameters: Vec<u8>,
    ends_with_comma: bool,
    throws: u8,
}

fn module() -> impl Strategy<Value = (Vec<Element>, bool)> {
    let operation = (
        any::<bool>(),
        0..12u8,
        prop::collection::vec(0..12u8, 0..10),
        any::<bool>(),
        0..4u8,
    )
        .prop_map(
            |(annotated, returns, parameters, comma, throws)| Operation {
                throws,
                annotated,
                returns,
                ends_with_comma: comma && !parameters.is_empty(),
                parameters,
            },
        );
    let element = prop_oneof![
        prop::collection::vec(0..12u8, 1..5).prop_map(Element::Struct),
        prop::collection::vec(0..12u8, 0..3).prop_map(Element::Exception),
        (prop::collection::vec(any::<bool>(), 1..5), any::<bool>())
            .prop_map(|(members, comma)| Element::Enum(members, comma)),
        (0..5u8).prop_map(Element::Constant),
        (0..12u8).prop_map(Element::Sequence),
        (0..12u8, 0..12u8).prop_map(|(key, value)| Element::Dictionary(key, value)),
        (
            any::<bool>(),
            any::<bool>(),
            prop::collection::vec(operation, 1..5)
        )
            .prop_map(|(extends, annotated, operations)| Element::Interface {
                extends,
                annotated,
                operations
            }),
        Just(Element::Semicolon),
    ];
    (prop::collection::vec(element, 0..7), any::<bool>())
}

/// Space or a comment between two tokens.
#[derive(Debug, Clone)]
enum Trivia {
    Space(&'static str),
    Comment(String),
}

fn trivia() -> impl Strategy<Value = Trivia> {
    let words = "( ?[a-z*/.,;{}\"é]{1,6}){0,6}[a-z]?";
    let is_open = |text: &String| !text.contains("*/") && !text.contains("/*");
    let words = words.prop_filter("ends a comment", is_open);
    let line = (
        prop::sample::select(&["//", "///", "////", "#", "/// "][..]),
        words.clone(),
    )
        .prop_map(|(mark, words)| format!("{mark}{words}\n"));
    let ends = prop::sample::select(&[" ", "\n", "\n * ", "\n\t\t", "\n\n  ", "\n   * "][..]);
    let block = (
        prop::sample::select(&["/*", "/**", "/***", "/** "][..]),
        prop::collection::vec((words, ends), 0..4),
    )
        .prop_map(|(mark, lines)| {
            let mut text = format!("{mark} ");
            for (words, end) in lines {
                text.push_str(words.trim_end_matches(['/', '*']));
                text.push_str(end);
            }
            text.truncate(text.trim_end_matches(['/', '*']).len());
            text + " */"
        });
    prop_oneof![
        6 => prop::sample::select(&[" ", "\n", "\n\n\n", "\t", "  \n    "][..]).prop_map(Trivia::Space),
        2 => line.prop_map(Trivia::Comment),
        1 => block.prop_map(Trivia::Comment),
    ]
}

/// The tokens with the trivia between them; with spaces once the trivia is used up.
fn spaced(words: &[String], trivia: &[Trivia]) -> String {
    let mut text = String::new();
    let mut trivia = trivia
        .iter()
        .cycle()
        .take(2 * words.len().max(trivia.len()));
    for word in words {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut apart = !(text.ends_with(is_word) && word.starts_with(is_word));
        // At most two pieces of trivia between two tokens.
        for between in trivia.by_ref().take(2) {
            match between {
                Trivia::Space(space) => text.push_str(space),
                Trivia::Comment(comment) => text.push_str(comment),
            }
            apart = true;
        }
        if !apart {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Adds the tokens of a text, which are separated by spaces.
fn add(words: &mut Vec<String>, text: &str) {
    words.extend(
        text.split(' ')
            .filter(|word| !word.is_empty())
            .map(str::to_owned),
    );
}

fn write_module(
    number: usize,
    (elements, semicolon): &(Vec<Element>, bool),
    words: &mut Vec<String>,
) {
    add(words, &format!("module m{number} {{"));
    let (mut types, mut exceptions) = (Vec::new(), Vec::new());
    for (at, element) in elements.iter().enumerate() {
        write_element(number, at, element, (&mut types, &mut exceptions), words);
    }
    add(words, if *semicolon { "} ;" } else { "}" });
}

fn write_element(
    module: usize,
    at: usize,
    element: &Element,
    (types, exceptions): (&mut Vec<String>, &mut Vec<String>),
    words: &mut Vec<String>,
) {
    let mut text = String::new();
    match element {
        Element::Struct(members) => {
            let _ = write!(text, "struct S{at} {{ ");
            for (number, ty) in members.iter().enumerate() {
                let _ = write!(text, "{} member{number} ; ", value(*ty, types));
            }
            text.push_str("} ;");
            types.push(format!("S{at}"));
        }
        Element::Exception(members) => {
            let _ = write!(text, "exception X{at} {{ ");
            for (number, ty) in members.iter().enumerate() {
                let _ = write!(text, "{} member{number} ; ", value(*ty, types));
            }
            text.push_str("} ;");
            exceptions.push(format!("m{module} :: X{at}"));
        }
        Element::Enum(members, ends_with_comma) => {
            let _ = write!(text, "[ deprecated ] enum E{at} {{ ");
            for (number, is_written) in members.iter().enumerate() {
                let comma = if number == 0 { "" } else { ", " };
                let _ = write!(text, "{comma}E{number} ");
                if *is_written {
                    let _ = write!(text, "= {} ", 10 * number);
                }
            }
            text.push_str(if *ends_with_comma { ", } ;" } else { "} ;" });
            types.push(format!("E{at}"));
        }
        Element::Constant(kind) => {
            let constants = [
                "bool C = true",
                "int C = -5",
                "double C = 1.5e-3",
                "string C = \"a,b=c;{\"",
                "byte C = 0x1f",
            ];
            let constant = constants[usize::from(*kind)].replace('C', &format!("C{at}"));
            let _ = write!(text, "const {constant} ;");
        }
        Element::Sequence(ty) => {
            let _ = write!(text, "sequence < {} > L{at} ;", value(*ty, types));
            types.push(format!("m{module} :: L{at}"));
        }
        Element::Dictionary(key, ty) => {
            let key = ["int", "string", "byte", "bool"][usize::from(*key) % 4];
            let _ = write!(text, "dictionary < {key} , {} > D{at} ;", value(*ty, types));
            types.push(format!("D{at}"));
        }
        Element::Interface {
            extends,
            annotated,
            operations,
        } => {
            let index = 100 * module + at;
            if *annotated || *extends {
                let _ = write!(text, "[ index = {index} , comment = \"a,b;//{{\" ] ");
            } else {
                let _ = write!(text, "[ index = {index} ] ");
            }
            let _ = write!(text, "interface I{at} {{ ");
            for (number, operation) in operations.iter().enumerate() {
                write_operation(number, operation, (types, exceptions), &mut text);
            }
            text.push_str("} ;");
        }
        Element::Semicolon => text.push(';'),
    }
    add(words, &text);
}

fn write_operation(
    number: usize,
    operation: &Operation,
    (types, exceptions): (&[String], &[String]),
    text: &mut String,
) {
    if operation.annotated {
        let _ = write!(text, "[ index = {number} , idempotent ] ");
    }
    let returns = match operation.returns {
        0 => "void".to_owned(),
        ty => value(ty, types),
    };
    let _ = write!(text, "{returns} operation{number} ( ");
    for (at, ty) in operation.parameters.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{} parameter{at} ", value(*ty, types));
    }
    text.push_str(if operation.ends_with_comma {
        ", ) "
    } else {
        ") "
    });
    for (at, name) in exceptions.iter().take(operation.throws.into()).enumerate() {
        let before = if at == 0 { "throws" } else { "," };
        let _ = write!(text, "{before} {name} ");
    }
    text.push_str("; ");
}

/// A type that is declared already, or a builtin one.
fn value(number: u8, types: &[String]) -> String {
    let builtin = [
        "byte", "bool", "short", "int", "long", "float", "double", "string",
    ];
    let number = usize::from(number);
    match number.checked_sub(builtin.len()) {
        Some(at) if !types.is_empty() => types[at % types.len()].clone(),
        _ => builtin[number % builtin.len()].to_owned(),
    }
}
