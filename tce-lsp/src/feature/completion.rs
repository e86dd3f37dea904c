//! What may stand at the cursor.

mod place;
mod scan;

use ls_types::{
    CompletionItem, CompletionItemKind, CompletionParams, CompletionResponse, Documentation,
    InsertTextFormat, MarkupContent, MarkupKind,
};
use tce_idl::{
    loader::Loader,
    names::{Kind, SymbolId},
};

use super::hover;
use crate::{
    analysis::Analysis,
    world::{Spot, World},
};
use place::{Place, Wanted};

/// The builtin types that values have.
const VALUES: [&str; 8] = [
    "bool", "byte", "double", "float", "int", "long", "short", "string",
];

/// The builtin types that a dictionary's key can have.
const KEYS: [&str; 6] = ["bool", "byte", "int", "long", "short", "string"];

/// What a module is made of, as snippets: `$1` is where the cursor goes first.
const ELEMENTS: [(&str, &str); 4] = [
    ("struct", "struct ${1:Name} {\n    $0\n};"),
    ("interface", "interface ${1:Name} {\n    $0\n};"),
    ("sequence", "sequence<${1:type}> ${2:Names};"),
    (
        "dictionary",
        "dictionary<${1:string}, ${2:type}> ${3:Names};",
    ),
];

/// What a file is made of.
const TOP: [(&str, &str); 2] = [
    ("import", "import ${1:name}"),
    ("module", "module ${1:name} {\n    $0\n}"),
];

/// The annotations of an interface, and those of an operation.
const ANNOTATIONS: [&str; 3] = ["index", "comment", "skeleton_rust"];

pub(crate) fn completion(
    world: &mut World,
    params: &CompletionParams,
) -> Option<CompletionResponse> {
    let spot = world.spot(&params.text_document_position)?;
    let text = spot.analysis.sources().get(spot.file).text();
    let before = text.get(..spot.offset as usize)?;
    let place = place::find(before);
    let items = match place.wanted {
        Wanted::Nothing => Vec::new(),
        Wanted::TopLevel => TOP.map(snippet).to_vec(),
        Wanted::Element => ELEMENTS.map(snippet).to_vec(),
        Wanted::Import => imports(world, &spot),
        Wanted::Annotation => ANNOTATIONS.map(annotation).to_vec(),
        Wanted::Flag => ["true", "false"].map(keyword).to_vec(),
        Wanted::Extends => vec![keyword("extends")],
        Wanted::Base => named(&spot.analysis, &place, |kind| kind == Kind::Interface),
        Wanted::Key => KEYS.map(keyword).to_vec(),
        Wanted::Value => values(&spot.analysis, &place),
        Wanted::Returned => {
            let mut items = values(&spot.analysis, &place);
            if place.qualifier.is_none() {
                items.push(keyword("void"));
            }
            items
        }
    };
    Some(CompletionResponse::Array(items))
}

/// The types of values.
fn values(analysis: &Analysis, place: &Place<'_>) -> Vec<CompletionItem> {
    let mut items = named(analysis, place, Kind::is_value);
    if place.qualifier.is_none() {
        items.extend(VALUES.map(keyword));
    }
    items
}

/// The elements of wanted kinds: after `module::` those of that module, else
/// those of this module and, by their full names, of the others.
fn named(
    analysis: &Analysis,
    place: &Place<'_>,
    is_wanted: impl Fn(Kind) -> bool,
) -> Vec<CompletionItem> {
    let names = &analysis.names;
    let elements = names.symbols().filter(|(_, it)| is_wanted(it.kind));
    let items = elements.filter_map(|(id, symbol)| {
        let module = names.get(symbol.parent?).name.as_str();
        match place.qualifier {
            Some(qualifier) => (qualifier == module).then(|| element(analysis, id, None)),
            None if place.module == Some(module) => Some(element(analysis, id, None)),
            None => Some(element(analysis, id, Some(module))),
        }
    });
    items.collect()
}

fn element(analysis: &Analysis, id: SymbolId, module: Option<&str>) -> CompletionItem {
    let symbol = analysis.names.get(id);
    let kind = match symbol.kind {
        Kind::Interface => CompletionItemKind::INTERFACE,
        Kind::Struct => CompletionItemKind::STRUCT,
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
        // By its bare name, too: whoever types it need not know its module.
        filter_text: Some(symbol.name.clone()),
        // Types of this module come first.
        sort_text: Some(format!("{}{}", u8::from(module.is_some()), symbol.name)),
        ..CompletionItem::default()
    }
}

/// The files that can be imported.
fn imports(world: &World, spot: &Spot) -> Vec<CompletionItem> {
    let source = spot.analysis.sources().get(spot.file);
    let own = source.path().file_stem();
    let beside = source.path().parent().into_iter();
    let include = &spot.analysis.project.options.include_dirs;
    let folders = beside.chain(include.iter().map(std::path::PathBuf::as_path));
    let files = folders.flat_map(|folder| world.files.list(folder));
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
