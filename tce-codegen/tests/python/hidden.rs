//! Characters of an IDL that are not visible, or that end a line or a string.

use tce_codegen::{Options, generate};
use tce_idl::compile_with;
use tce_idl::loader::Memory;

/// Characters that change the direction of text, end a line in an editor or in Python,
/// or have no width, and those that have a meaning in Python's strings.
const HIDDEN: &str = "\u{202a}\u{202e}\u{2066}\u{2069}\u{200b}\u{feff}\u{2028}\u{2029}\u{85}\
    \u{b}\u{c}\u{0}\u{7f}\u{1b}\u{a0} \\ \\N{DIGIT ONE} \"\"\"  #";

#[test]
fn no_text_of_an_idl_ends_a_comment_or_a_string() {
    let text = HIDDEN;
    let idl = format!(
        "/// {text}
module m {{
    /// \" {text} \"
    struct S {{
        /// {text}\\
        int n;
    }};
    /// {text}\"
    sequence<S> L;
    /// {text}
    interface I {{
        /// {text}\\
        L one();
    }};
}}
"
    );
    let name = "a\u{202e}\u{85}b.idl";
    let loader = Memory::new().with(name, idl);
    let compilation = compile_with(&loader, &[name], &tce_idl::Options::new());
    let model = compilation.model.unwrap();
    let files = generate(&model, "python", &Options::default()).unwrap();
    for line in files[0].contents.lines() {
        assert!(
            !line.contains(|c: char| c.is_control() || "\u{202e}\u{2028}".contains(c)),
            "{line:?}"
        );
        // Between the quotation marks that open and close a docstring there are none.
        let text = line.trim().trim_matches('"');
        assert!(line.starts_with('#') || !text.contains("\"\"\""), "{line}");
    }
}
