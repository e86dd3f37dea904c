//! The earlier version that `--against` names.

use std::path::PathBuf;

use tce_idl::{Options, diagnostic::nearest, loader::FileSystem};

use super::{
    git::{Repository, Revision},
    tree::{PathMapping, SourceTree},
};

/// The value of `--against`.
#[derive(Debug, Clone)]
pub(super) enum VersionSpec {
    /// A file or folder.
    Path(PathBuf),
    /// `git#branch=main,subdir=proto`
    Git {
        /// From `branch`, `tag` or `commit`; default `HEAD`.
        revision: Revision,
        /// Folder of the repository that corresponds to the working folder.
        subdir: Option<PathBuf>,
    },
}

/// The earlier version.
pub(super) struct EarlierVersion {
    pub(super) tree: Box<dyn SourceTree>,
    /// Its name in messages.
    pub(super) name: String,
    pub(super) files: Vec<PathBuf>,
    /// Files and folders of the command line that this version does not have.
    pub(super) missing: Vec<PathBuf>,
    pub(super) options: Options,
}

impl VersionSpec {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // buf calls the repository of this folder `.git`.
        let settings = ["git#", ".git#", "./.git#"];
        let Some(settings) = settings.iter().find_map(|it| text.strip_prefix(it)) else {
            return Ok(Self::Path(text.into()));
        };
        let mut revision = None;
        let mut subdir = None;
        for setting in settings.split(',').filter(|it| !it.is_empty()) {
            let (key, value) = setting
                .split_once('=')
                .filter(|(_, value)| !value.is_empty())
                .ok_or_else(|| format!("`{setting}` is not of the form `branch=NAME`"))?;
            let set = match key {
                "branch" => revision.replace(Revision::Branch(value.into())).is_none(),
                "tag" => revision.replace(Revision::Tag(value.into())).is_none(),
                // buf calls it `ref`.
                "commit" | "ref" => revision.replace(Revision::Commit(value.into())).is_none(),
                "subdir" => subdir.replace(PathBuf::from(value)).is_none(),
                _ => return Err(unknown_key(key)),
            };
            if !set {
                return Err("it names more than one version or more than one folder".to_owned());
            }
        }
        let revision = revision.unwrap_or(Revision::Commit("HEAD".to_owned()));
        Ok(Self::Git { revision, subdir })
    }

    /// Finds the files and folders in `given`, and the paths in `options`, in the earlier version.
    pub(super) fn find(
        &self,
        given: &[PathBuf],
        options: &Options,
    ) -> Result<EarlierVersion, String> {
        match self {
            Self::Path(path) if path.is_dir() => {
                let name = path.display().to_string();
                let paths = PathMapping::new(path.clone())?;
                EarlierVersion::at(&paths, Box::new(FileSystem), name, given, options)
            }
            Self::Path(path) if !path.exists() => Err(format!(
                "there is no file or folder `{}`; a version in git is written git#branch=NAME \
                     or git#commit=REVISION",
                path.display()
            )),
            Self::Path(path) => match given {
                [file] if !file.is_dir() => Ok(EarlierVersion {
                    tree: Box::new(FileSystem),
                    name: path.display().to_string(),
                    files: vec![path.clone()],
                    missing: Vec::new(),
                    options: options.clone(),
                }),
                _ => Err(format!(
                    "`{}` is a file, and can't be the earlier version of several files: name a folder",
                    path.display()
                )),
            },
            Self::Git { revision, subdir } => {
                let repository = Repository::open(revision)?;
                let paths = repository.path_mapping(subdir.as_deref())?;
                let name = repository.name().to_owned();
                EarlierVersion::at(&paths, Box::new(repository), name, given, options)
            }
        }
    }
}

fn unknown_key(key: &str) -> String {
    let known = ["branch", "tag", "commit", "subdir"];
    match nearest(key, &known) {
        Some(near) => format!("there is no key `{key}`: did you mean `{near}`?"),
        None => format!(
            "there is no key `{key}`: expected one of {}",
            known.join(", ")
        ),
    }
}

impl EarlierVersion {
    /// The files and folders in `given`, mapped by `mapping` to the version in `tree`.
    fn at(
        mapping: &PathMapping,
        tree: Box<dyn SourceTree>,
        name: String,
        given: &[PathBuf],
        options: &Options,
    ) -> Result<Self, String> {
        let moved = |paths: &[PathBuf]| paths.iter().map(|path| mapping.map(path)).collect();
        let (mut files, mut missing) = (Vec::new(), Vec::new());
        for path in given {
            let earlier = mapping.map(path);
            if earlier == *path {
                let path = path.display();
                return Err(format!(
                    "`{path}` is outside of the folders that {name} covers"
                ));
            }
            let found = tree.idl_files(&earlier);
            if found.is_empty() {
                missing.push(path.clone());
            }
            files.extend(found);
        }
        if files.is_empty() {
            return Err(format!("{name} has none of these files"));
        }
        Ok(Self {
            tree,
            name,
            files,
            missing,
            options: Options {
                include_dirs: moved(&options.include_dirs),
                index_files: moved(&options.index_files),
                ..Options::new()
            },
        })
    }
}
