//! The files of a new project.

use super::{name::Name, source::Source};

/// Where each file goes, and what it is made of. `{{…}}` stands for what differs.
const FILES: [(&str, &str); 9] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.template")),
    (".gitignore", include_str!("template/gitignore")),
    ("README.md", include_str!("template/README.md")),
    ("build.rs", include_str!("template/build.rs")),
    (
        "idl/{{module}}.idl",
        include_str!("template/idl/project.idl"),
    ),
    ("src/lib.rs", include_str!("template/src/lib.rs")),
    (
        "src/bin/server.rs",
        include_str!("template/src/bin/server.rs"),
    ),
    (
        "src/bin/client.rs",
        include_str!("template/src/bin/client.rs"),
    ),
    ("tests/calls.rs", include_str!("template/tests/calls.rs")),
];

/// Apart from a workspace that lies around the project.
const APART: &str = "
# A workspace of its own. To make it a part of the one around it, add it to the
# members there, and take this out.
[workspace]
";

/// All files: their paths within the project, and their texts.
pub(super) fn files(name: &Name, source: &Source, is_inside: bool) -> Vec<(String, String)> {
    let fill = |text: &str| {
        text.replace("{{name}}", &name.package)
            .replace("{{module}}", &name.module)
            .replace("{{source}}", source.remark())
            .replace("{{tce-runtime}}", &source.dependency("tce-runtime"))
            .replace("{{tce-codegen}}", &source.dependency("tce-codegen"))
    };
    let mut files: Vec<_> = FILES
        .iter()
        .map(|(path, text)| (fill(path), fill(text)))
        .collect();
    if is_inside {
        files[0].1.push_str(APART);
    }
    files
}
