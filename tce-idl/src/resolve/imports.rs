//! The files of a compilation: the arguments and their imports, as ASTs.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use crate::loader::{self, Loader};
use crate::source::{SourceMap, Span};
use crate::syntax::{self, ast};

/// The files of a compilation, each after those that it imports.
pub(crate) struct LoadedFiles {
    pub(crate) files: Vec<ast::File>,
    /// The names in `import NAME`, and the files that they refer to.
    pub(crate) imported: Vec<(Span, PathBuf)>,
    /// Whether an imported file is missing or unreadable.
    pub(crate) missing_import: bool,
}

/// Reads the given files and all their imports, each once.
pub(crate) fn load(
    loader: &dyn Loader,
    files: &[&Path],
    include_dirs: &[PathBuf],
    sources: &mut SourceMap,
    sink: &mut Diagnostics,
) -> LoadedFiles {
    let loaded = LoadedFiles {
        files: Vec::new(),
        imported: Vec::new(),
        missing_import: false,
    };
    let mut importer = Importer {
        loader,
        include_dirs,
        sources,
        sink,
        seen: HashSet::new(),
        loaded,
    };
    for path in files {
        if let Some(file) = importer.argument(path) {
            importer.with_imports(file);
        }
    }
    importer.loaded
}

struct Importer<'l> {
    loader: &'l dyn Loader,
    include_dirs: &'l [PathBuf],
    sources: &'l mut SourceMap,
    sink: &'l mut Diagnostics,
    seen: HashSet<PathBuf>,
    loaded: LoadedFiles,
}

impl Importer<'_> {
    /// A file of the command line.
    fn argument(&mut self, path: &Path) -> Option<ast::File> {
        match self.read(path) {
            Ok(file) => file,
            Err(error) => {
                self.sink
                    .push(loader::unreadable(self.loader, path, &error));
                None
            }
        }
    }

    /// Adds a file after its imports. Iterative, since a long chain of imports would overflow the stack.
    fn with_imports(&mut self, file: ast::File) {
        let mut open = vec![(file, 0)];
        while let Some((file, next)) = open.last_mut() {
            if let Some(name) = file.imports.get(*next) {
                *next += 1;
                let folder = self
                    .sources
                    .get(file.id)
                    .path()
                    .parent()
                    .unwrap_or(Path::new(""))
                    .to_owned();
                let imported = self.import(name, &folder);
                open.extend(imported.map(|file| (file, 0)));
            } else {
                self.loaded.files.extend(open.pop().map(|(file, _)| file));
            }
        }
    }

    /// `None` if the file was read before, or can't be read.
    fn import(&mut self, name: &ast::Identifier, folder: &Path) -> Option<ast::File> {
        let folders =
            || std::iter::once(folder).chain(self.include_dirs.iter().map(PathBuf::as_path));
        let file_name = format!("{}.idl", name.text);
        let candidates: Vec<PathBuf> = folders().map(|folder| folder.join(&file_name)).collect();
        for path in &candidates {
            match self.read(path) {
                Ok(file) => {
                    self.loaded.imported.push((name.span, path.clone()));
                    return file;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.sources.add_missing(path.clone());
                }
                Err(error) => {
                    let message = format!(
                        "can't read `{}`: {}",
                        path.display(),
                        loader::reason(&error)
                    );
                    self.sink.push(
                        Diagnostic::new(Code::UnreadableFile, message)
                            .at(name.span, "imported here"),
                    );
                    self.loaded.missing_import = true;
                    return None;
                }
            }
        }
        self.loaded.missing_import = true;
        let names: Vec<String> = folders()
            .flat_map(|folder| self.loader.list(folder))
            .collect();
        let stems: Vec<&str> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".idl"))
            .collect();
        let near = nearest(&name.text, &stems);
        self.sink.push(not_found(name, &candidates, near));
        None
    }

    /// Reads a file; `None` if it was read before or is not text.
    fn read(&mut self, path: &Path) -> io::Result<Option<ast::File>> {
        let identity = self.loader.identity(path);
        if self.seen.contains(&identity) {
            return Ok(None);
        }
        let bytes = self.loader.read(path)?;
        self.seen.insert(identity);
        let id = loader::add_text(bytes, path, self.sources, self.sink);
        self.loaded.missing_import |= id.is_none();
        Ok(id.map(|id| syntax::read(id, self.sources.get(id), self.sink)))
    }
}

fn not_found(name: &ast::Identifier, candidates: &[PathBuf], near: Option<String>) -> Diagnostic {
    let searched: Vec<String> = candidates
        .iter()
        .map(|path| format!("`{}`", path.display()))
        .collect();
    let message = format!("can't find the file of `import {}`", name.text);
    let diagnostic = Diagnostic::new(Code::ImportNotFound, message);
    let diagnostic = diagnostic.at(name.span, format!("searched: {}", searched.join(", ")));
    match near {
        Some(near) => {
            let message = format!("did you mean `{near}`?");
            diagnostic.fix(message, name.span, near)
        }
        None => diagnostic.help("add the folder of the file to the include path"),
    }
}
