//! Characters of an IDL that are not visible or that rustc refuses in source code.

use tce_codegen::{GeneratedFile, Options, generate};
use tce_idl::loader::Memory;
use tce_idl::{Compilation, compile_with};

use crate::package::Package;

/// Every character that rustc refuses in a literal or a comment, and others that
/// clippy refuses, that end a line in an editor, or that have no width.
const HIDDEN: &str = "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\
    \u{200b}\u{200e}\u{200f}\u{ad}\u{2060}\u{feff}\u{2028}\u{2029}\u{85}\u{b}\u{c}\u{0}\u{7f}\u{1b}\u{a0}";

/// An IDL that has each of them in every place where it accepts text.
fn idl() -> String {
    format!(
        "/// Module {HIDDEN}.
module m {{
    /** Struct {HIDDEN}
      * and \"{HIDDEN}\". */
    struct S {{
        /// Member `{HIDDEN}`.
        int n; // {HIDDEN}
    }};
    /// Sequence <{HIDDEN}>.
    sequence<S> L;
    /// Dictionary [{HIDDEN}]({HIDDEN}).
    dictionary<int, S> D;
    /// Says \u{2067}\u{5e9}\u{5dc}\u{2069}. {HIDDEN}
    interface I {{
        /// ```
        /// {HIDDEN}
        /// ```
        L one(D d);
        [comment=\"{HIDDEN}\"]
        S two();
    }};
    [comment=\"{HIDDEN}\"]
    interface J {{ void three(); }};
}}
"
    )
}

fn compile(name: &str) -> (Compilation, Vec<GeneratedFile>) {
    let loader = Memory::new().with(name, idl());
    let compilation = compile_with(&loader, &[name], &tce_idl::Options::new());
    let model = compilation.model.as_ref().unwrap();
    let files = generate(model, "rust", &Options::default()).unwrap();
    (compilation, files)
}

#[test]
fn hidden_characters_compile() {
    let (_, files) = compile(&format!("idl/a{HIDDEN}\r\nb.idl"));
    let library = "//! Characters.\n#![deny(warnings)]\n\n/// Them.\n\
        #[allow(dead_code, missing_docs)]\npub mod m { include!(\"m.rs\"); }\n";
    let package = Package::new("hidden", "2024", "tce-runtime", "");
    package.write("src/lib.rs", library);
    package.write("src/m.rs", &files[0].contents);
    package.cargo(&["clippy", "--quiet"]);
    package.cargo(&["doc", "--quiet", "--no-deps"]);
}

/// What a server tells its callers is the documentation as it was written.
#[test]
fn hidden_characters_stay_in_what_a_server_tells() {
    let (compilation, files) = compile("a.idl");
    let model = compilation.model.unwrap();
    let excerpt = tce_idl::Excerpts::new(&model).of(tce_idl::model::InterfaceId(0));
    let file = syn::parse_file(&files[0].contents).unwrap();
    let mut literals = Vec::new();
    collect(quote::quote!(#file), &mut literals);
    assert!(
        excerpt.contains("\u{2067}\u{5e9}\u{5dc}\u{2069}"),
        "{excerpt}"
    );
    assert!(
        literals.contains(&excerpt),
        "{excerpt}\nis not in {literals:?}"
    );
}

/// The values of all string literals.
fn collect(code: proc_macro2::TokenStream, found: &mut Vec<String>) {
    for token in code {
        match token {
            proc_macro2::TokenTree::Group(group) => collect(group.stream(), found),
            proc_macro2::TokenTree::Literal(literal) => {
                if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                    found.push(text.value());
                }
            }
            _ => {}
        }
    }
}
