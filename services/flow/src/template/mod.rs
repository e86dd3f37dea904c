//! Scripts to jobs: where the script of a task is, and how it becomes the text that runs.
//!
//! Scripts are ecFlow's (`%VAR%`, `%include`) or Takler's (`{{ VAR }}`, `{% include %}`). Files come
//! through a [`Loader`]; the rest is a function of the [`Variables`] of the task. Scripts and jobs
//! are bytes: a comment in an old encoding is no error.

mod variables;
mod source;
mod substitute;
mod ecflow;
mod takler;

pub use source::{Loader, MAX_DEPTH, MAX_SIZE, Place, TemplateError};
pub use variables::Variables;

use std::path::PathBuf;

use substitute::Substitution;

/// The language of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// `%VAR%`, and directives in lines that begin with `%`.
    Ecflow,
    /// The part of Jinja that Takler's scripts use.
    Takler,
}

/// The script of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The path of the file.
    pub path: String,
    /// Its language.
    pub flavor: Flavor,
    /// Its text.
    pub text: Vec<u8>,
}

impl Script {
    /// Finds and reads the script of a task.
    ///
    /// # Errors
    ///
    /// [`TemplateError::NoScript`] with the places that were tried; [`TemplateError::Edit`] if the
    /// file can't be read.
    pub fn find(variables: &Variables, loader: &dyn Loader) -> Result<Self, TemplateError> {
        let mut tried = Vec::new();
        for path in source::candidates(variables)? {
            match loader.read(&path) {
                Ok(text) => {
                    let is_takler = variables.is_takler() || path.ends_with(".takler");
                    let flavor = if is_takler {
                        Flavor::Takler
                    } else {
                        Flavor::Ecflow
                    };
                    return Ok(Self { path, flavor, text });
                }
                Err(error) if source::is_missing(&error) => tried.push(path),
                Err(error) => {
                    let place = Place::new(&path, 1);
                    return Err(TemplateError::unreadable(place, &path, &error));
                }
            }
        }
        Err(TemplateError::NoScript(tried))
    }

    /// The job: includes are in their places, variables have their values.
    ///
    /// # Errors
    ///
    /// [`TemplateError::Edit`] with file and line.
    pub fn job(
        &self,
        variables: &Variables,
        loader: &dyn Loader,
    ) -> Result<Vec<u8>, TemplateError> {
        if self.text.iter().all(u8::is_ascii_whitespace) {
            let place = Place::new(&self.path, 1);
            return Err(TemplateError::edit(place, "the script is empty"));
        }
        match self.flavor {
            Flavor::Ecflow => ecflow::job(self, variables, loader),
            Flavor::Takler => takler::job(self, variables, loader),
        }
    }

    /// The script with its includes in their places, as a user edits it before it is submitted. A
    /// script of ecFlow begins with a comment that lists the user's variables that it uses.
    ///
    /// # Errors
    ///
    /// [`TemplateError::Edit`] with file and line.
    pub fn preprocessed(
        &self,
        variables: &Variables,
        loader: &dyn Loader,
    ) -> Result<Vec<u8>, TemplateError> {
        match self.flavor {
            Flavor::Ecflow => ecflow::preprocessed(self, variables, loader),
            Flavor::Takler => Ok(self.text.clone()),
        }
    }

    /// The lines between `%manual` and `%end`.
    ///
    /// # Errors
    ///
    /// [`TemplateError::Edit`] with file and line.
    pub fn manual(
        &self,
        variables: &Variables,
        loader: &dyn Loader,
    ) -> Result<Vec<u8>, TemplateError> {
        match self.flavor {
            Flavor::Ecflow => ecflow::manual(self, variables, loader),
            Flavor::Takler => Ok(Vec::new()),
        }
    }
}

/// Where the files of a task's job are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPaths {
    /// The job itself. The names of the files beside it begin with its name.
    pub job: PathBuf,
    /// The output of the job.
    pub output: PathBuf,
}

impl JobPaths {
    /// The paths, which may name variables, as in ECF_OUT `%ECF_HOME%/output`.
    #[must_use]
    pub fn of(variables: &Variables) -> Self {
        let path = |name| variables.get(name).unwrap_or_default();
        if variables.is_takler() {
            return Self {
                job: path("TAKLER_JOB").into(),
                output: path("TAKLER_JOBOUT").into(),
            };
        }
        // What can not be replaced fails with the command that names it.
        let replaced = |name| {
            let text = path(name);
            command(Flavor::Ecflow, name, text, variables).unwrap_or_else(|_| text.to_owned())
        };
        Self {
            job: replaced("ECF_JOB").into(),
            output: replaced("ECF_JOBOUT").into(),
        }
    }
}

/// The command of a variable such as ECF_KILL_CMD, with the values of the variables in it.
///
/// # Errors
///
/// [`TemplateError::Edit`] with the name of the variable in place of a file.
pub fn command(
    flavor: Flavor,
    name: &str,
    text: &str,
    variables: &Variables,
) -> Result<String, TemplateError> {
    let value = match flavor {
        Flavor::Ecflow => {
            let micro = ecflow::micro(variables, name)?;
            let mut command = Vec::new();
            Substitution::new(micro, variables)
                .append(text.as_bytes(), &mut command)
                .map_err(|error| TemplateError::edit(Place::new(name, 1), error))?;
            command
        }
        Flavor::Takler => takler::command(name, text, variables)?,
    };
    String::from_utf8(value)
        .map_err(|_| TemplateError::edit(Place::new(name, 1), "the command is not UTF-8"))
}
