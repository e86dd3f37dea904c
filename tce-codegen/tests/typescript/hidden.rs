//! Characters of an IDL that are not visible, or that end a line, a comment or a string.

use tce_codegen::{Options, generate};
use tce_idl::compile_with;
use tce_idl::loader::Memory;

/// Characters that change the direction of text, end a line in an editor or in JavaScript,
/// or have no width, and those that have a meaning in template literals.
const HIDDEN: &str = "\u{202a}\u{202e}\u{2066}\u{2069}\u{200b}\u{feff}\u{2028}\u{2029}\u{85}\
    \u{b}\u{c}\u{0}\u{7f}\u{1b}\u{a0} \\ ` ${alert(1)} // */ x";

#[test]
fn no_text_of_an_idl_ends_a_comment_or_a_string() {
    let text = HIDDEN.replace("*/", "");
    let idl = format!(
        "/// {text}
module m {{
    /// {HIDDEN}
    struct S {{
        /// {HIDDEN}
        int n;
    }};
    /// {HIDDEN}
    interface I {{
        /// {HIDDEN}
        S one();
    }};
}}
"
    );
    let name = "a\u{202e}\u{85}b.idl";
    let loader = Memory::new().with(name, idl);
    let compilation = compile_with(&loader, &[name], &tce_idl::Options::new());
    let model = compilation.model.unwrap();
    let files = generate(&model, "typescript", &Options::default()).unwrap();
    let code = &files[0].contents;
    let (before_idl, _) = code.split_once("idl: `").unwrap();
    for line in code.lines() {
        assert!(
            !line.contains(|c: char| c.is_control() || "\u{202e}\u{2028}".contains(c)),
            "{line:?}"
        );
    }
    for line in before_idl.lines() {
        let ends_comment = line.matches("*/").count();
        assert!(
            ends_comment == 0 || line.trim_end().ends_with("*/") && ends_comment == 1,
            "{line}"
        );
    }
    let unescaped = code.replace("\\`", "").replace("\\$", "");
    let idl = unescaped.split("idl: `").nth(1).unwrap();
    let (idl, _) = idl.split_once("`,\n    };").unwrap();
    assert_eq!(idl.matches('`').count(), 0, "{idl}");
    assert!(!idl.contains("${"), "{idl}");
}
