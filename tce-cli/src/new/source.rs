//! Where a project gets the crates of TCE, which are not published, from.

use std::path::{Component, Path, PathBuf};

use super::language::ProjectLanguage;

/// The crates that a project depends on.
const CRATES: [&str; 2] = ["tce-runtime", "tce-codegen"];

/// The checkout that this program was built from.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The repository that this program was published with; empty if it was not.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The location of the crates.
#[derive(Debug)]
pub(super) enum CrateSource {
    /// Path of a checkout: absolute if the command line says so, otherwise from the project.
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
    /// The location for a project in `folder`: that of the command line, the repository that this
    /// program was published with, or the checkout that it was built from.
    pub(super) fn find(given: Option<&str>, folder: &Path) -> Result<Self, CrateSourceError> {
        Self::find_or(given, folder, REPOSITORY, Path::new(BUILT_FROM))
    }

    fn find_or(
        given: Option<&str>,
        folder: &Path,
        repository: &str,
        built_from: &Path,
    ) -> Result<Self, CrateSourceError> {
        let checkout = match given {
            Some(url) if url.contains("://") => return Ok(Self::Git(url.to_owned())),
            Some(path) => checkout(Path::new(path))?,
            None if !repository.is_empty() => return Ok(Self::Git(repository.to_owned())),
            None => checkout(built_from).map_err(|_| CrateSourceError::Gone)?,
        };
        // An absolute path would work on this machine alone, which is for the user to say.
        let path = match given.map(Path::new) {
            Some(given) if given.is_absolute() => checkout,
            _ => relative(&real_path(folder), &checkout).unwrap_or(checkout),
        };
        match path.to_str() {
            Some(path) => Ok(Self::Checkout(path.to_owned())),
            None => Err(CrateSourceError::NotUtf8(path)),
        }
    }

    /// Whether a project elsewhere needs another location.
    pub(super) fn is_path(&self) -> bool {
        matches!(self, Self::Checkout(_))
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
                let path = format!("{root}/runtimes/python");
                match path.starts_with('/') {
                    true => format!("tce @ file://{}", url_path(&path)),
                    // From the folder in which pip is started.
                    false => path,
                }
            }
            Self::Git(url) => format!("tce @ git+{url}#subdirectory=runtimes/python"),
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
                    "TCE is in no public registry: this path leads to a checkout of it. Without one, use tce @ git+URL#subdirectory=runtimes/python."
                }
                Self::Git(_) => {
                    "TCE is in no public registry: its package comes from its git repository."
                }
            };
        }
        match self {
            Self::Checkout(_) => {
                "TCE is in no public registry: these paths lead to a checkout of it. Without one, use { git = \"URL\" }."
            }
            Self::Git(_) => {
                "TCE is in no public registry: its crates come from their git repository."
            }
        }
    }
}

/// The path from one folder to another; both are absolute. `None` if they have no root in common.
fn relative(from: &Path, to: &Path) -> Option<PathBuf> {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return None;
    }
    let up = from[common..].iter().map(|_| Component::ParentDir);
    Some(up.chain(to[common..].iter().copied()).collect())
}

/// The absolute path of a folder that may not exist yet, without symbolic links.
fn real_path(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut ancestors = absolute.ancestors();
    let found = ancestors.find_map(|path| Some((path, path.canonicalize().ok()?)));
    match found {
        Some((known, real)) => match absolute.strip_prefix(known) {
            Ok(rest) => real.join(rest),
            Err(_) => absolute,
        },
        None => absolute,
    }
}

/// The absolute path of a checkout.
fn checkout(path: &Path) -> Result<PathBuf, CrateSourceError> {
    let is_missing = |name: &&&str| !path.join(name).join("Cargo.toml").is_file();
    if let Some(missing) = CRATES.iter().find(is_missing) {
        return Err(CrateSourceError::NotACheckout {
            path: path.to_owned(),
            missing,
        });
    }
    Ok(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
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
        let (folder, gone) = (Path::new("hello"), Path::new("no/such/folder"));
        let error = CrateSource::find_or(None, folder, "", gone);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("name a checkout with `--tce PATH`"),
            "{error}"
        );
        let url = "https://git.example.org/tce.git";
        // That of the command line, and that which the program was published with.
        for (given, repository) in [(Some(url), ""), (None, url)] {
            let source = CrateSource::find_or(given, folder, repository, gone).unwrap();
            let expected = format!("{{ git = \"{url}\" }}");
            assert_eq!(source.dependency("tce-runtime"), expected);
        }
    }

    #[test]
    fn a_checkout_is_named_from_the_project() {
        for (from, to, expected) in [
            ("/home/ann/hello", "/home/ann/tce", "../tce"),
            ("/home/ann/tce/hello", "/home/ann/tce", ".."),
            ("/tmp/a/b", "/home/ann/tce", "../../../home/ann/tce"),
        ] {
            let path = relative(Path::new(from), Path::new(to));
            assert_eq!(path.as_deref(), Some(Path::new(expected)));
        }
    }

    #[test]
    fn a_path_may_contain_any_characters() {
        let source = CrateSource::Checkout("/my \"tce\" \\".to_owned());
        let expected = "{ path = \"/my \\\"tce\\\" \\\\/tce-runtime\" }";
        assert_eq!(source.dependency("tce-runtime"), expected);
        let expected = "tce @ file:///my%20%22tce%22%20%5C/runtimes/python";
        assert_eq!(source.python_requirement(), expected);
    }
}
