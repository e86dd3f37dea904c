//! Names that an IDL declares and generated code also uses: the code of each
//! compiles, whatever the name stands for.

use std::collections::BTreeSet;
use std::path::Path;

use heck::ToSnakeCase;
use proc_macro2::{TokenStream, TokenTree};
use tce_codegen::{Options, generate};
use tce_idl::symbols::is_name;
use tce_idl::{compile_str, render};

use crate::features::features;
use crate::package::Package;

/// Names of std's prelude and of macros and primitive types, beside those that
/// the recorded code uses already.
const PRELUDE: &[&str] = &[
    "AsMut",
    "AsRef",
    "Box",
    "Clone",
    "Copy",
    "Default",
    "Drop",
    "Eq",
    "Err",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Hash",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Self",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToOwned",
    "ToString",
    "TryFrom",
    "TryInto",
    "Unpin",
    "Vec",
    "alloc",
    "as_mut",
    "as_ref",
    "assert",
    "char",
    "concat",
    "core",
    "crate",
    "deref",
    "drop",
    "eq",
    "fmt",
    "include",
    "println",
    "self",
    "std",
    "str",
    "super",
    "usize",
];

#[test]
fn no_name_of_an_idl_breaks_generated_code() {
    let names = names();
    for expected in ["Debug", "Result", "Self", "T", "Vec", "rt", "servant", "u8"] {
        assert!(names.contains(expected), "{expected} is not in {names:?}");
    }
    let code = library(&names);
    for edition in ["2021", "2024"] {
        let package = Package::new(&format!("names-{edition}"), edition, "tce-runtime", "");
        for (path, contents) in &code {
            package.write(&format!("src/{path}"), contents);
        }
        package.cargo(&["check", "--quiet"]);
    }
}

/// Every identifier that the recorded code names without a path and that does
/// not come from its IDL, and the prelude's: all that an IDL can declare.
fn names() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = PRELUDE.iter().map(|name| (*name).to_owned()).collect();
    for feature in features("rust", &Options::default()) {
        let words: BTreeSet<String> = feature
            .idl
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .map(plain)
            .collect();
        let mut bare = BTreeSet::new();
        for file in &feature.files {
            collect(file.contents.parse().unwrap(), &mut bare);
        }
        bare.retain(|name| !is_derived(&plain(name), &words));
        names.extend(bare);
    }
    names.retain(|name| is_name(name));
    names
}

/// A name without the differences between Rust's cases.
fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

/// Whether a name is a word of an IDL, or has one as a part (`ServerPrx`).
fn is_derived(name: &str, words: &BTreeSet<String>) -> bool {
    let has = |word: &String| word.len() > 2 && name.contains(word.as_str());
    words.contains(name) || words.iter().any(has)
}

/// Adds the identifiers of code that no `::` or `.` precedes.
fn collect(code: TokenStream, names: &mut BTreeSet<String>) {
    let mut is_bare = true;
    for token in code {
        let is_separator =
            matches!(&token, TokenTree::Punct(punct) if matches!(punct.as_char(), ':' | '.'));
        match token {
            TokenTree::Group(group) => collect(group.stream(), names),
            TokenTree::Ident(ident) if is_bare => {
                names.insert(ident.to_string().trim_start_matches("r#").to_owned());
            }
            _ => {}
        }
        is_bare = !is_separator;
    }
}

/// The source files of a library in which each name is a struct, a sequence, a
/// dictionary, an interface, an operation, a parameter, a member and a module.
fn library(names: &BTreeSet<String>) -> Vec<(String, String)> {
    let modules: Vec<String> = names.iter().map(|name| module_of_its_own(name)).collect();
    let idl = kinds(names) + &modules.concat();
    let compilation = compile_str(&idl);
    let Some(model) = &compilation.model else {
        let report = render::human(&compilation.diagnostics, &compilation.sources, false);
        panic!("{report}");
    };
    let mut scope = BTreeSet::new();
    let mut library = "//! Every name.\n#![deny(warnings)]\n".to_owned();
    let mut files = Vec::new();
    for (number, file) in generate(model, "rust", &Options::default())
        .unwrap()
        .into_iter()
        .enumerate()
    {
        let name = Path::new(&file.path).file_stem().unwrap().to_str().unwrap();
        let module = module_name(name, &mut scope);
        let path = format!("module_{number}.rs");
        // The lints that `include_idl!` allows.
        library += &format!(
            "#[allow(dead_code, missing_docs, clippy::too_many_arguments)]\n\
             pub mod {module} {{ include!({path:?}); }}\n"
        );
        files.push((path, file.contents));
    }
    files.push(("lib.rs".to_owned(), library));
    files
}

/// How Rust spells a module of the IDL: see the documentation of the crate.
fn module_name(name: &str, scope: &mut BTreeSet<String>) -> String {
    let mut module = name.to_snake_case();
    if !module.starts_with(char::is_alphabetic) {
        module.insert(0, 'n');
    }
    while matches!(module.as_str(), "crate" | "self" | "super") || !scope.insert(module.clone()) {
        module.push('_');
    }
    let is_plain = module != "gen" && syn::parse_str::<syn::Ident>(&module).is_ok();
    if is_plain {
        module
    } else {
        format!("r#{module}")
    }
}

/// A module for each kind of declaration, which declares all names as that kind
/// and has operations, parameters and members of these names and types.
fn kinds(names: &BTreeSet<String>) -> String {
    let each = |line: &dyn Fn(&str) -> String| -> String {
        names.iter().map(|name| line(name) + "\n").collect()
    };
    let uses = |kind: &str| {
        format!(
            "module uses_{kind} {{
                struct Members {{ {} }};
                interface Operations {{ {} }};
                interface Oneway {{ {} }};
            }}",
            each(&|name| format!("{kind}::{name} {name};")),
            each(&|name| format!(
                "{kind}::{name} {name}({kind}::{name} {name}, int other_argument);"
            )),
            each(&|name| format!("void {name}({kind}::{name} {name});")),
        )
    };
    let values = |kind: &str, declaration: &dyn Fn(&str) -> String| {
        format!(
            "module {kind} {{ {}
                struct Members_ {{ {} }};
                interface Operations_ {{ {} }};
            }}\n{}",
            each(declaration),
            each(&|name| format!("{name} {name};")),
            each(&|name| format!("{name} {name}({name} {name}, string text_argument);")),
            uses(kind),
        )
    };
    let interfaces = format!(
        "module interfaces {{ interface Base_ {{ void base_(); }}; {} }}",
        each(&|name| {
            let mark = if name == "base_" {
                "other_operation"
            } else {
                name
            };
            format!("interface {name} extends Base_ {{ string {mark}(string {name}); }};")
        })
    );
    [
        values("structs", &|name| {
            format!("struct {name} {{ int {name}; string text_member; }};")
        }),
        values("sequences", &|name| format!("sequence<string> {name};")),
        values("dictionaries", &|name| {
            format!("dictionary<string, int> {name};")
        }),
        interfaces,
    ]
    .concat()
}

/// A module with this name, and one that refers to it.
fn module_of_its_own(name: &str) -> String {
    format!(
        "module {name} {{
            struct Item {{ int {name}; }};
            interface Root {{ Item get(Item item); }};
        }}
        module uses_module_{name} {{
            interface Leaf extends {name}::Root {{ {name}::Item {name}({name}::Item item); }};
        }}\n"
    )
}
