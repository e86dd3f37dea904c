//! Where a project has tce's crates from: they are not published.

use std::path::{Path, PathBuf};

/// The crates that a project depends on.
const CRATES: [&str; 2] = ["tce-runtime", "tce-codegen"];

/// The checkout that this program was built from.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Where they are.
#[derive(Debug)]
pub(super) enum Source {
    /// In a checkout, whose whole path this is.
    Checkout(String),
    /// In a git repository, at this URL.
    Git(String),
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSource {
    #[error(
        "the checkout that this tce was built from is gone, and its crates are not published\n\
         Try this: say where tce is, by `--tce PATH` for a checkout or `--tce URL` for a git repository"
    )]
    Gone,
    #[error("`{}` is no checkout of tce: there is no {missing}/Cargo.toml in it", path.display())]
    NoCheckout {
        path: PathBuf,
        missing: &'static str,
    },
    #[error("cargo can't take the path `{}`, which is no UTF-8", .0.display())]
    NotUtf8(PathBuf),
}

impl Source {
    /// What was asked for, or else where this program comes from.
    pub(super) fn find(asked: Option<&str>) -> Result<Self, NoSource> {
        Self::find_or(asked, Path::new(BUILT_FROM))
    }

    fn find_or(asked: Option<&str>, built_from: &Path) -> Result<Self, NoSource> {
        match asked {
            Some(url) if url.contains("://") => Ok(Self::Git(url.to_owned())),
            Some(path) => checkout(Path::new(path)),
            None => checkout(built_from).map_err(|_| NoSource::Gone),
        }
    }

    /// What cargo is told of a crate.
    pub(super) fn dependency(&self, name: &str) -> String {
        match self {
            Self::Checkout(root) => {
                let path = Path::new(root).join(name);
                format!("{{ path = {} }}", quoted(&path.to_string_lossy()))
            }
            Self::Git(url) => format!("{{ git = {} }}", quoted(url)),
        }
    }

    /// What a reader should know of it.
    pub(super) fn remark(&self) -> &'static str {
        match self {
            Self::Checkout(_) => {
                "tce is not published: these are paths on this machine. Elsewhere: { git = \"URL\" }."
            }
            Self::Git(_) => "tce is not published: its crates come from their repository.",
        }
    }
}

fn checkout(path: &Path) -> Result<Source, NoSource> {
    let is_missing = |name: &&&str| !path.join(name).join("Cargo.toml").is_file();
    if let Some(missing) = CRATES.iter().find(is_missing) {
        return Err(NoSource::NoCheckout {
            path: path.to_owned(),
            missing,
        });
    }
    let root = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match root.to_str() {
        Some(root) => Ok(Source::Checkout(root.to_owned())),
        None => Err(NoSource::NotUtf8(root)),
    }
}

/// A string as TOML writes it; JSON's escapes are all TOML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_checkout_is_gone_says_what_to_do() {
        let gone = Path::new("no/such/folder");
        let error = Source::find_or(None, gone).unwrap_err().to_string();
        assert!(
            error.contains("say where tce is, by `--tce PATH`"),
            "{error}"
        );
        let url = "https://git.example.org/tce.git";
        let source = Source::find_or(Some(url), gone).unwrap();
        assert_eq!(
            source.dependency("tce-runtime"),
            format!("{{ git = \"{url}\" }}")
        );
    }

    #[test]
    fn a_path_may_have_any_characters() {
        let source = Source::Checkout("/my \"tce\" \\".to_owned());
        let expected = "{ path = \"/my \\\"tce\\\" \\\\/tce-runtime\" }";
        assert_eq!(source.dependency("tce-runtime"), expected);
    }
}
