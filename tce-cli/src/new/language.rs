//! The languages of projects: their files, and how to run them.

use clap::ValueEnum;
use tce_idl::lint::Language;

/// Path and text of a file, with `{{…}}` for the parts that differ.
type TemplateFile = (&'static str, &'static str);

/// The IDL of a project in any language.
const IDL: TemplateFile = (
    "idl/{{module}}.idl",
    include_str!("template/idl/project.idl"),
);

const RUST: &[TemplateFile] = &[
    ("Cargo.toml", include_str!("template/Cargo.toml.template")),
    (".gitignore", include_str!("template/gitignore")),
    ("README.md", include_str!("template/README.md")),
    ("build.rs", include_str!("template/build.rs")),
    ("tce.toml", include_str!("template/tce.toml")),
    IDL,
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

const PYTHON: &[TemplateFile] = &[
    (
        "requirements.txt",
        include_str!("template/python/requirements.txt"),
    ),
    (".gitignore", include_str!("template/python/gitignore")),
    ("README.md", include_str!("template/python/README.md")),
    ("tce.toml", include_str!("template/python/tce.toml")),
    IDL,
    ("servants.py", include_str!("template/python/servants.py")),
    ("server.py", include_str!("template/python/server.py")),
    ("client.py", include_str!("template/python/client.py")),
    (
        "tests/test_calls.py",
        include_str!("template/python/tests/test_calls.py"),
    ),
];

const TYPESCRIPT: &[TemplateFile] = &[
    (
        "package.json",
        include_str!("template/typescript/package.json.template"),
    ),
    (
        "tsconfig.json",
        include_str!("template/typescript/tsconfig.json"),
    ),
    (".gitignore", include_str!("template/typescript/gitignore")),
    ("README.md", include_str!("template/typescript/README.md")),
    ("tce.toml", include_str!("template/typescript/tce.toml")),
    IDL,
    (
        "src/greeter.ts",
        include_str!("template/typescript/src/greeter.ts"),
    ),
    (
        "src/server.ts",
        include_str!("template/typescript/src/server.ts"),
    ),
    (
        "src/client.ts",
        include_str!("template/typescript/src/client.ts"),
    ),
    (
        "test/calls.test.ts",
        include_str!("template/typescript/test/calls.test.ts"),
    ),
];

/// A language in which `tce new` writes projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum ProjectLanguage {
    #[default]
    Rust,
    Python,
    #[value(name = "typescript")]
    TypeScript,
}

impl ProjectLanguage {
    /// The language whose keywords can't be names of the project.
    pub(super) fn language(self) -> Language {
        match self {
            Self::Rust => Language::Rust,
            Self::Python => Language::Python,
            Self::TypeScript => Language::TypeScript,
        }
    }

    /// Names of crates or modules that the project depends on or that the language provides.
    pub(super) fn reserved(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &[
                "alloc",
                "core",
                "parking_lot",
                "proc_macro",
                "std",
                "tce_codegen",
                "tce_runtime",
                "test",
                "tokio",
            ],
            Self::Python => &["asyncio", "gen", "servants", "sys", "tce", "unittest"],
            Self::TypeScript => &["tce", "typescript"],
        }
    }

    pub(super) fn files(self) -> &'static [TemplateFile] {
        match self {
            Self::Rust => RUST,
            Self::Python => PYTHON,
            Self::TypeScript => TYPESCRIPT,
        }
    }

    /// The commands that run the project, after `cd`.
    pub(super) fn next_commands(self) -> &'static str {
        match self {
            Self::Rust => {
                "  cargo run --bin server    in one terminal\n  \
                 cargo run --bin client    in another\n"
            }
            Self::Python => {
                "  python3 -m venv .venv\n  \
                 .venv/bin/pip install -r requirements.txt\n  \
                 tce compile\n  \
                 .venv/bin/python server.py    in one terminal\n  \
                 .venv/bin/python client.py    in another\n"
            }
            Self::TypeScript => {
                "  npm install\n  \
                 npm run build\n  \
                 npm run server    in one terminal\n  \
                 npm run client    in another\n"
            }
        }
    }
}
