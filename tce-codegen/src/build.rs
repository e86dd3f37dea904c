//! From `.idl` files to Rust in one call, for a `build.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf, absolute};
use std::sync::{Mutex, PoisonError};

use tce_idl::diagnostic::{Diagnostic, Severity};
use tce_idl::model::Model;
use tce_idl::{Compilation, lock};

use crate::output::replace;
use crate::{Backend, Error, GeneratedFile, MapType, Options, Rust, RustOptions};

/// Starts the configuration of a build script.
///
/// ```no_run
/// // build.rs
/// fn main() -> Result<(), tce_codegen::Error> {
///     tce_codegen::configure().compile(&["idl/test.idl"])
/// }
/// ```
///
/// The program then includes what was written, by the name of the IDL module; the
/// [crate's documentation](crate#files) says how Rust spells other names:
///
/// ```text
/// tce_runtime::include_idl!(test);
/// ```
///
/// With derives for serde, in a package that has the runtime under another name:
///
/// ```no_run
/// # fn main() -> Result<(), tce_codegen::Error> {
/// tce_codegen::configure()
///     .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
///     .runtime("my_tce")
///     .compile(&["idl/test.idl"])
/// # }
/// ```
#[must_use]
pub fn configure() -> Config {
    Config::default()
}

/// The configuration of a build script: see [`configure`].
#[derive(Debug, Clone, Default)]
pub struct Config {
    options: tce_idl::Options,
    rust: RustOptions,
    out_dir: Option<PathBuf>,
}

impl Config {
    /// Adds a folder in which imports are looked for, after that of the importing file.
    #[must_use]
    pub fn include(mut self, folder: impl Into<PathBuf>) -> Self {
        self.options = self.options.include_dir(folder);
        self
    }

    /// Adds a file that gives indices (`ifx-index-list.txt` or `.xml`).
    #[must_use]
    pub fn index_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.options = self.options.index_file(path);
        self
    }

    /// Sets the crate that generated code calls: see [`RustOptions::runtime`].
    #[must_use]
    pub fn runtime(mut self, path: impl Into<String>) -> Self {
        self.rust = self.rust.runtime(path);
        self
    }

    /// Sets the type for dictionaries: see [`RustOptions::map_type`].
    #[must_use]
    pub fn map_type(mut self, map_type: MapType) -> Self {
        self.rust = self.rust.map_type(map_type);
        self
    }

    /// Sets whether each proxy has a trait for test doubles: see [`RustOptions::clients`].
    #[must_use]
    pub fn clients(mut self, has_clients: bool) -> Self {
        self.rust = self.rust.clients(has_clients);
        self
    }

    /// Lets programs call all servers behind a topic at once: see
    /// [`RustOptions::multi_calls`].
    #[must_use]
    pub fn multi_calls(mut self) -> Self {
        self.rust = self.rust.multi_calls(true);
        self
    }

    /// Adds a client of tasks to each interface: see [`RustOptions::tasks`].
    #[must_use]
    pub fn tasks(mut self) -> Self {
        self.rust = self.rust.tasks(true);
        self
    }

    /// Adds attributes to structs: see [`RustOptions`] for how `path` matches.
    #[must_use]
    pub fn type_attribute(mut self, path: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.rust = self.rust.type_attribute(path, attribute);
        self
    }

    /// Adds attributes to members of structs: see [`RustOptions`] for how `path` matches.
    #[must_use]
    pub fn field_attribute(
        mut self,
        path: impl Into<String>,
        attribute: impl Into<String>,
    ) -> Self {
        self.rust = self.rust.field_attribute(path, attribute);
        self
    }

    /// Sets the folder to write to, by default cargo's `OUT_DIR`.
    #[must_use]
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Compiles the files and their imports to one `.rs` file for each module.
    ///
    /// In a build script this tells cargo every warning, and every file that was
    /// read, so that the script runs again when one changes. It also runs again when
    /// a folder gets a file that an import finds first, or a lock; not, however, in
    /// the folder of the package, which holds cargo's own output: so IDL files should
    /// have a folder of their own. Where a `tce.lock` lies in the folder of a file or
    /// above it, an index that differs from it is an error.
    ///
    /// # Errors
    /// [`Error::Idl`] with the rendered diagnostics, [`Error::Options`] where an
    /// option is wrong, [`Error::NoOutDir`] outside a build script,
    /// [`Error::WrittenBefore`] where another call has written other code to a
    /// file, [`Error::Io`] where a file can't be written.
    pub fn compile(&self, files: &[impl AsRef<Path>]) -> Result<(), Error> {
        let cargo_out_dir = std::env::var_os("OUT_DIR").map(PathBuf::from);
        let options = tce_idl::Options {
            lock_files: lock::find(files),
            ..self.options.clone()
        };
        let compilation = tce_idl::compile(files, &options);
        if cargo_out_dir.is_some() {
            for directive in self.directives(files, &compilation) {
                println!("cargo::{directive}");
            }
        }
        let Some(model) = &compilation.model else {
            let report =
                tce_idl::render::human(&compilation.diagnostics, &compilation.sources, false);
            return Err(Error::Idl { report });
        };
        let out_dir = self
            .out_dir
            .clone()
            .or(cargo_out_dir)
            .ok_or(Error::NoOutDir)?;
        let options = Options {
            rust: self.rust.clone(),
            ..Options::default()
        };
        let files = Rust.generate(model, &options)?;
        record(model, &files, &out_dir)?;
        replace(&files, &out_dir)
    }

    /// What cargo is told, after errors too, so that it runs the script again when
    /// they are repaired.
    fn directives(&self, files: &[impl AsRef<Path>], compilation: &Compilation) -> Vec<String> {
        let given = files.iter().map(AsRef::as_ref);
        let indices = self.options.index_files.iter().map(PathBuf::as_path);
        let read = compilation
            .sources
            .files()
            .iter()
            .map(tce_idl::source::SourceFile::path);
        let folders = watched_folders(files, compilation);
        let mut paths: Vec<_> = given.chain(indices).chain(read).collect();
        paths.extend(folders.iter().map(PathBuf::as_path));
        paths.sort_unstable();
        paths.dedup();
        let inputs = paths
            .iter()
            .map(|path| format!("rerun-if-changed={}", path.display()));
        let warnings = compilation
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Warning)
            .map(|warning| format!("warning={}", one_line(warning, compilation)));
        inputs.chain(warnings).collect()
    }
}

/// The folders in which a new file changes the result: an import that is found
/// before the present one, or a lock that is nearer.
///
/// Cargo would run the script at each build for a path that does not exist, and
/// examines all files below a folder. So a folder that holds `OUT_DIR`, which each
/// build changes, is left out.
fn watched_folders(files: &[impl AsRef<Path>], compilation: &Compilation) -> Vec<PathBuf> {
    let of_files = files
        .iter()
        .filter_map(|file| file.as_ref().parent())
        .filter(|folder| !folder.join(lock::FILE_NAME).exists());
    let of_imports = compilation.sources.missing().iter();
    let of_imports = of_imports.filter_map(|path| path.parent());
    let out_dir = std::env::var_os("OUT_DIR").and_then(|dir| Path::new(&dir).canonicalize().ok());
    let is_watchable = |folder: &Path| {
        let folder = folder.canonicalize().ok();
        folder.is_some_and(|folder| !out_dir.as_ref().is_some_and(|it| it.starts_with(&folder)))
    };
    of_files
        .chain(of_imports)
        .filter(|folder| !folder.as_os_str().is_empty() && is_watchable(folder))
        .map(Path::to_owned)
        .collect()
}

/// What this process has written to a file.
struct WrittenFile {
    /// The IDL files that it comes from.
    sources: Vec<String>,
    contents: String,
}

/// The files that all calls of [`Config::compile`] in this process have written.
/// Files of earlier runs are not among them: cargo keeps `OUT_DIR`, and an IDL
/// file may be renamed or split between two builds.
static WRITTEN: Mutex<BTreeMap<PathBuf, WrittenFile>> = Mutex::new(BTreeMap::new());

/// Records the files that are to be written, each for a module of the model.
fn record(model: &Model, files: &[GeneratedFile], dir: &Path) -> Result<(), Error> {
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    for (module, file) in model.modules.iter().zip(files) {
        let path = dir.join(&file.path);
        let key = absolute(&path).unwrap_or_else(|_| path.clone());
        if let Some(before) = written.get(&key)
            && before.contents != file.contents
        {
            return Err(Error::WrittenBefore {
                path,
                old: before.sources.clone(),
                new: module.files.clone(),
            });
        }
        let file = WrittenFile {
            sources: module.files.clone(),
            contents: file.contents.clone(),
        };
        written.insert(key, file);
    }
    Ok(())
}

/// `path:line:column: message (TCE0001)`: cargo shows warnings line by line.
fn one_line(diagnostic: &Diagnostic, compilation: &Compilation) -> String {
    let text = format!("{} ({})", diagnostic.message, diagnostic.code.id());
    let Some(label) = &diagnostic.primary else {
        return text;
    };
    let source = compilation.sources.get(label.span.file);
    let position = source.position(label.span.start);
    format!(
        "{}:{}:{}: {text}",
        source.path().display(),
        position.line,
        position.column
    )
}
