//! `tce.toml`: what a project says once, so that no command line has to.

mod read;

use std::path::{Path, PathBuf};

use tce_idl::{
    diagnostic::{Code, Diagnostic},
    lint,
    loader::{FileSystem, Loader, MAX_FILE_BYTES, find_upwards},
    source::SourceMap,
};

use crate::console::{Console, Failure};

/// The name under which settings are looked for.
const FILE_NAME: &str = "tce.toml";

/// What a `tce.toml` says; nothing, where there is none.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// `compile.include`: folders in which imports are looked for.
    pub(crate) include: Vec<PathBuf>,
    /// `compile.index-files`: files that give interfaces their indices.
    pub(crate) index_files: Vec<PathBuf>,
    /// `lint`: the levels of rules, and the languages whose keywords count.
    pub(crate) lint: lint::Settings,
}

impl Config {
    /// Reads the settings in `given`, or in the `tce.toml` of the working
    /// folder or of the nearest folder above it. Mistakes are shown, all at
    /// once, and stop the command.
    pub(crate) fn load(given: Option<&Path>, console: &mut Console) -> Result<Self, Failure> {
        let found = match given {
            Some(path) => Some(path.to_owned()),
            None => find_upwards(Path::new(""), FILE_NAME),
        };
        let Some(path) = found else {
            return Ok(Self::default());
        };
        let read = Self::read(&path);
        if read.mistakes.is_empty() {
            return Ok(read.config);
        }
        console.show(&read.mistakes, &read.sources)?;
        Err(Failure::Misused)
    }

    /// The `tce.toml` that goes with a file: in its folder, or in the nearest one above.
    pub(crate) fn find(file: &Path) -> Option<PathBuf> {
        let folder = file.parent().unwrap_or(Path::new(""));
        find_upwards(folder, FILE_NAME)
    }

    /// Reads the settings in a file.
    pub(crate) fn read(path: &Path) -> Read {
        let mut sources = SourceMap::default();
        let mut mistakes = Vec::new();
        let config = match text(path) {
            Ok(text) => {
                let file = sources.add(path.to_owned(), text);
                let folder = path.parent().unwrap_or(Path::new(""));
                read::config(file, sources.get(file).text(), folder, &mut mistakes)
            }
            Err(why) => {
                let message = format!("can't read `{}`: {why}", path.display());
                mistakes.push(Diagnostic::new(Code::SettingsSyntax, message));
                Self::default()
            }
        };
        // The parser gives tables by name; people read by line.
        mistakes.sort_by_key(|mistake| mistake.primary.as_ref().map(|label| label.span));
        Read {
            config,
            mistakes,
            sources,
        }
    }
}

/// A `tce.toml` that was read.
pub(crate) struct Read {
    /// What was understood of it.
    pub(crate) config: Config,
    /// What is wrong with it.
    pub(crate) mistakes: Vec<Diagnostic>,
    /// The file itself.
    pub(crate) sources: SourceMap,
}

/// The text of a file, without a byte-order mark, or why there is none.
fn text(path: &Path) -> Result<String, String> {
    let bytes = FileSystem.read(path).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let bare = text.strip_prefix('\u{feff}').map(str::to_owned);
    Ok(bare.unwrap_or(text))
}
