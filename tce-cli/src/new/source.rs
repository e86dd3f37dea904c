//! Where a project gets the crates of TCE, which are not published, from.

use std::path::{Path, PathBuf};

use super::language::ProjectLanguage;

/// The crates that a project depends on.
const CRATES: [&str; 2] = ["tce-runtime", "tce-codegen"];

/// The checkout that this program was built from.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The location of the crates.
#[derive(Debug)]
pub(super) enum CrateSource {
    /// Absolute path of a checkout.
    Checkout(String),
    /// URL of a git repository.
    Git(String),
}

/// Why the crates can't be found.
#[derive(Debug, thiserror::Error)]
pub(super) enum CrateSourceError {
    #[error(
        "the checkout that this tce was built from no longer exists\n\
         Try this: name a checkout with `--tce PATH`, or a git repository with `--tce URL`"
    )]
    Gone,
    #[error("`{}` is not a checkout of tce: it has no {missing}/Cargo.toml", path.display())]
    NotACheckout {
        path: PathBuf,
        missing: &'static str,
    },
    #[error(
        "npm installs no folder of a git repository such as `{0}`\n\
         Try this: clone it, and name the clone with `--tce PATH`"
    )]
    OnlyACheckout(String),
    #[error("a Cargo.toml can't name the path `{}`, which is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
}

impl CrateSource {
    /// The location that the command line names, or else the checkout of this program.
    pub(super) fn find(given: Option<&str>) -> Result<Self, CrateSourceError> {
        Self::find_or(given, Path::new(BUILT_FROM))
    }

    fn find_or(given: Option<&str>, built_from: &Path) -> Result<Self, CrateSourceError> {
        match given {
            Some(url) if url.contains("://") => Ok(Self::Git(url.to_owned())),
            Some(path) => checkout(Path::new(path)),
            None => checkout(built_from).map_err(|_| CrateSourceError::Gone),
        }
    }

    /// The dependency on a crate, as a TOML value.
    pub(super) fn dependency(&self, name: &str) -> String {
        match self {
            Self::Checkout(root) => {
                let path = Path::new(root).join(name);
                format!("{{ path = {} }}", quoted(&path.to_string_lossy()))
            }
            Self::Git(url) => format!("{{ git = {} }}", quoted(url)),
        }
    }

    /// The Python package, as pip's requirements refer to it.
    pub(super) fn python_requirement(&self) -> String {
        match self {
            Self::Checkout(root) => {
                format!("file://{}", url_path(&format!("{root}/runtimes/python")))
            }
            Self::Git(url) => format!("git+{url}#subdirectory=runtimes/python"),
        }
    }

    /// The npm package, as a JSON value.
    pub(super) fn npm_package(&self) -> Result<String, CrateSourceError> {
        match self {
            Self::Checkout(root) => Ok(quoted(&format!("file:{root}/runtimes/typescript"))),
            Self::Git(url) => Err(CrateSourceError::OnlyACheckout(url.clone())),
        }
    }

    /// The comment beside the dependency.
    pub(super) fn comment(&self, language: ProjectLanguage) -> &'static str {
        if language == ProjectLanguage::Python {
            return match self {
                Self::Checkout(_) => {
                    "TCE is not on PyPI: this is a path on this machine. Elsewhere use git+URL#subdirectory=runtimes/python."
                }
                Self::Git(_) => "TCE is not on PyPI: its package comes from its git repository.",
            };
        }
        match self {
            Self::Checkout(_) => {
                "TCE is not on crates.io: these are paths on this machine. Elsewhere use { git = \"URL\" }."
            }
            Self::Git(_) => "TCE is not on crates.io: its crates come from their git repository.",
        }
    }
}

fn checkout(path: &Path) -> Result<CrateSource, CrateSourceError> {
    let is_missing = |name: &&&str| !path.join(name).join("Cargo.toml").is_file();
    if let Some(missing) = CRATES.iter().find(is_missing) {
        return Err(CrateSourceError::NotACheckout {
            path: path.to_owned(),
            missing,
        });
    }
    let root = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match root.to_str() {
        Some(root) => Ok(CrateSource::Checkout(root.to_owned())),
        None => Err(CrateSourceError::NotUtf8(root)),
    }
}

/// The path of a URL: whatever may have a meaning there is escaped.
fn url_path(path: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-~+".contains(byte);
    let bytes = path.bytes().map(|byte| match is_plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    bytes.collect()
}

/// A TOML string. All escape sequences of JSON are valid in TOML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_checkout_is_reported_with_advice() {
        let gone = Path::new("no/such/folder");
        let error = CrateSource::find_or(None, gone).unwrap_err().to_string();
        assert!(
            error.contains("name a checkout with `--tce PATH`"),
            "{error}"
        );
        let url = "https://git.example.org/tce.git";
        let source = CrateSource::find_or(Some(url), gone).unwrap();
        assert_eq!(
            source.dependency("tce-runtime"),
            format!("{{ git = \"{url}\" }}")
        );
    }

    #[test]
    fn a_path_may_contain_any_characters() {
        let source = CrateSource::Checkout("/my \"tce\" \\".to_owned());
        let expected = "{ path = \"/my \\\"tce\\\" \\\\/tce-runtime\" }";
        assert_eq!(source.dependency("tce-runtime"), expected);
        let expected = "file:///my%20%22tce%22%20%5C/runtimes/python";
        assert_eq!(source.python_requirement(), expected);
    }
}
