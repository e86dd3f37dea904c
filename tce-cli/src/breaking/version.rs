//! Which earlier version is meant, and where its files are.

use std::path::PathBuf;

use tce_idl::{Options, diagnostic::nearest, loader::FileSystem};

use super::{
    git::{self, Repository},
    home::Home,
    tree::Tree,
};

/// What `--against` says.
#[derive(Debug, Clone)]
pub(super) enum Against {
    /// A file, or a folder.
    Path(PathBuf),
    /// `git#branch=main,subdir=proto`
    Git {
        /// `branch`, `tag` or `commit`, and its name; `HEAD` without.
        revision: git::Revision,
        subdir: Option<PathBuf>,
    },
}

/// The earlier version.
pub(super) struct Before {
    pub(super) tree: Box<dyn Tree>,
    /// What a person calls it.
    pub(super) name: String,
    pub(super) files: Vec<PathBuf>,
    /// What was asked for, and is not there.
    pub(super) missing: Vec<PathBuf>,
    pub(super) options: Options,
}

impl Against {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some(settings) = text.strip_prefix("git#") else {
            return Ok(Self::Path(text.into()));
        };
        let mut revision = None;
        let mut subdir = None;
        for setting in settings.split(',').filter(|it| !it.is_empty()) {
            let (key, value) = setting
                .split_once('=')
                .filter(|(_, value)| !value.is_empty())
                .ok_or_else(|| {
                    format!("`{setting}` is not `branch=NAME`, or another key and its value")
                })?;
            let set = match key {
                "branch" => revision
                    .replace(git::Revision::Branch(value.into()))
                    .is_none(),
                "tag" => revision.replace(git::Revision::Tag(value.into())).is_none(),
                "commit" => revision
                    .replace(git::Revision::Commit(value.into()))
                    .is_none(),
                "subdir" => subdir.replace(PathBuf::from(value)).is_none(),
                _ => return Err(unknown_key(key)),
            };
            if !set {
                return Err("it names more than one version, or folder".to_owned());
            }
        }
        let revision = revision.unwrap_or(git::Revision::Commit("HEAD".to_owned()));
        Ok(Self::Git { revision, subdir })
    }

    /// The earlier version of the files and folders in `given`, which `options` go with.
    pub(super) fn before(&self, given: &[PathBuf], options: &Options) -> Result<Before, String> {
        match self {
            Self::Path(path) if path.is_dir() => {
                let name = path.display().to_string();
                let home = Home::new(path.clone())?;
                Before::at(&home, Box::new(FileSystem), name, given, options)
            }
            Self::Path(path) if !path.exists() => {
                Err(format!("there is no file or folder `{}`", path.display()))
            }
            Self::Path(path) => match given {
                [file] if !file.is_dir() => Ok(Before {
                    tree: Box::new(FileSystem),
                    name: path.display().to_string(),
                    files: vec![path.clone()],
                    missing: Vec::new(),
                    options: options.clone(),
                }),
                _ => Err(format!(
                    "`{}` is one file, and can't be the earlier version of several: give a folder",
                    path.display()
                )),
            },
            Self::Git { revision, subdir } => {
                let repository = Repository::open(revision)?;
                let home = repository.home(subdir.as_deref())?;
                let name = repository.name().to_owned();
                Before::at(&home, Box::new(repository), name, given, options)
            }
        }
    }
}

fn unknown_key(key: &str) -> String {
    let known = ["branch", "tag", "commit", "subdir"];
    match nearest(key, &known) {
        Some(near) => format!("there is no key `{key}`: did you mean `{near}`?"),
        None => format!("there is no key `{key}`: known are {}", known.join(", ")),
    }
}

impl Before {
    /// What the version at `home` has of the files and folders in `given`.
    fn at(
        home: &Home,
        tree: Box<dyn Tree>,
        name: String,
        given: &[PathBuf],
        options: &Options,
    ) -> Result<Self, String> {
        let moved = |paths: &[PathBuf]| paths.iter().map(|path| home.find(path)).collect();
        let (mut files, mut missing) = (Vec::new(), Vec::new());
        for path in given {
            let before = home.find(path);
            if before == *path {
                let path = path.display();
                return Err(format!("`{path}` is elsewhere: {name} can't have it"));
            }
            let found = tree.idl(&before);
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
