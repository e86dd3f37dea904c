//! Completion: what can be written at the cursor.

mod cursor;

use ls_types::{
    CompletionItem, CompletionItemKind, CompletionParams, CompletionResponse, Documentation,
    InsertTextFormat, MarkupContent, MarkupKind,
};
use tce_idl::{
    loader::Loader,
    symbols::{SymbolId, SymbolKind},
};

use super::hover;
use crate::{
    analysis::Analysis,
    workspace::{Cursor, Workspace},
};
use cursor::{CursorContext, Expected};

/// The builtin types of values.
const VALUES: [&str; 8] = [
    "bool", "byte", "double", "float", "int", "long", "short", "string",
];

/// The builtin types of dictionary keys.
const KEYS: [&str; 6] = ["bool", "byte", "int", "long", "short", "string"];

/// The elements of a module, as snippets: the cursor starts at `$1`.
const ELEMENTS: [(&str, &str); 7] = [
    ("struct", "struct ${1:Name} {\n    $0\n};"),
    ("enum", "enum ${1:Name} {\n    $0\n};"),
    ("exception", "exception ${1:Name} {\n    $0\n};"),
    ("const", "const ${1:int} ${2:NAME} = ${3:0};"),
    ("interface", "interface ${1:Name} {\n    $0\n};"),
    ("sequence", "sequence<${1:type}> ${2:SymbolTable};"),
    (
        "dictionary",
        "dictionary<${1:string}, ${2:type}> ${3:SymbolTable};",
    ),
];

/// The parts of a file, as snippets.
const TOP: [(&str, &str); 2] = [
    ("import", "import ${1:name}"),
    ("module", "module ${1:name} {\n    $0\n}"),
];

/// The annotations of an interface, and those of an operation.
const ANNOTATIONS: [&str; 4] = ["index", "comment", "tasks", "skeleton_rust"];
/// The annotations without a value.
const FLAGS: [&str; 2] = ["deprecated", "idempotent"];

pub(crate) fn completion(
    workspace: &mut Workspace,
    params: &CompletionParams,
) -> Option<CompletionResponse> {
    let cursor = workspace.cursor(&params.text_document_position)?;
    let text = cursor.analysis.sources().get(cursor.file).text();
    let before = text.get(..cursor.offset as usize)?;
    let context = cursor::context(before);
    let items = match context.expected {
        Expected::Nothing => Vec::new(),
        Expected::TopLevel => TOP.map(snippet).to_vec(),
        Expected::Element => ELEMENTS.map(snippet).to_vec(),
        Expected::Import => imports(workspace, &cursor),
        Expected::Annotation => {
            let mut items = ANNOTATIONS.map(annotation).to_vec();
            items.extend(FLAGS.map(keyword));
            items
        }
        Expected::Flag => ["true", "false"].map(keyword).to_vec(),
        Expected::Extends => vec![keyword("extends")],
        Expected::Throws => vec![keyword("throws")],
        Expected::Exception => named(&cursor.analysis, &context, |kind| {
            kind == SymbolKind::Exception
        }),
        Expected::Builtin => VALUES.map(keyword).to_vec(),
        Expected::Base => named(&cursor.analysis, &context, |kind| {
            kind == SymbolKind::Interface
        }),
        Expected::Key => {
            let mut items = named(&cursor.analysis, &context, |kind| kind == SymbolKind::Enum);
            if context.qualifier.is_none() {
                items.extend(KEYS.map(keyword));
            }
            items
        }
        Expected::Value => values(&cursor.analysis, &context),
        Expected::Returned => {
            let mut items = values(&cursor.analysis, &context);
            if context.qualifier.is_none() {
                items.push(keyword("void"));
            }
            items
        }
    };
    Some(CompletionResponse::Array(items))
}

/// The types of values.
fn values(analysis: &Analysis, context: &CursorContext<'_>) -> Vec<CompletionItem> {
    let mut items = named(analysis, context, SymbolKind::is_value);
    if context.qualifier.is_none() {
        items.extend(VALUES.map(keyword));
    }
    items
}

/// The elements of some kinds: after `module::` those of that module, otherwise
/// those of this module and, with full names, of the others.
fn named(
    analysis: &Analysis,
    context: &CursorContext<'_>,
    is_wanted: impl Fn(SymbolKind) -> bool,
) -> Vec<CompletionItem> {
    let names = &analysis.names;
    let elements = names.symbols().filter(|(_, it)| is_wanted(it.kind));
    let items = elements.filter_map(|(id, symbol)| {
        let module = names.get(symbol.parent?).name.as_str();
        match context.qualifier {
            Some(qualifier) => (qualifier == module).then(|| element(analysis, id, None)),
            None if context.module == Some(module) => Some(element(analysis, id, None)),
            None => Some(element(analysis, id, Some(module))),
        }
    });
    items.collect()
}

fn element(analysis: &Analysis, id: SymbolId, module: Option<&str>) -> CompletionItem {
    let symbol = analysis.names.get(id);
    let kind = match symbol.kind {
        SymbolKind::Interface => CompletionItemKind::INTERFACE,
        SymbolKind::Struct => CompletionItemKind::STRUCT,
        SymbolKind::Enum => CompletionItemKind::ENUM,
        _ => CompletionItemKind::CLASS,
    };
    CompletionItem {
        label: match module {
            Some(module) => format!("{module}::{}", symbol.name),
            None => symbol.name.clone(),
        },
        kind: Some(kind),
        detail: Some(symbol.kind.noun().to_owned()),
        documentation: Some(Documentation::MarkupContent(MarkupContent {
            kind: MarkupKind::Markdown,
            value: hover::describe(analysis, id),
        })),
        // Also matches the bare name, so that the user need not type the module.
        filter_text: Some(symbol.name.clone()),
        // Types of this module come first.
        sort_text: Some(format!("{}{}", u8::from(module.is_some()), symbol.name)),
        ..CompletionItem::default()
    }
}

/// The files that can be imported.
fn imports(workspace: &Workspace, cursor: &Cursor) -> Vec<CompletionItem> {
    let source = cursor.analysis.sources().get(cursor.file);
    let own = source.path().file_stem();
    let beside = source.path().parent().into_iter();
    let include = &cursor.analysis.project.options.include_dirs;
    let folders = beside.chain(include.iter().map(std::path::PathBuf::as_path));
    let files = folders.flat_map(|folder| workspace.documents.list(folder));
    let mut names: Vec<String> = files
        .filter_map(|file| file.strip_suffix(".idl").map(str::to_owned))
        .filter(|name| own.is_none_or(|own| own != name.as_str()))
        .collect();
    names.sort();
    names.dedup();
    let items = names.into_iter().map(|label| CompletionItem {
        label,
        kind: Some(CompletionItemKind::FILE),
        ..CompletionItem::default()
    });
    items.collect()
}

fn keyword(word: &str) -> CompletionItem {
    CompletionItem {
        label: word.to_owned(),
        kind: Some(CompletionItemKind::KEYWORD),
        sort_text: Some(format!("2{word}")),
        ..CompletionItem::default()
    }
}

fn annotation(key: &str) -> CompletionItem {
    CompletionItem {
        kind: Some(CompletionItemKind::PROPERTY),
        insert_text: Some(format!("{key}=")),
        ..keyword(key)
    }
}

fn snippet((word, text): (&str, &str)) -> CompletionItem {
    CompletionItem {
        insert_text: Some(text.to_owned()),
        insert_text_format: Some(InsertTextFormat::SNIPPET),
        ..keyword(word)
    }
}
