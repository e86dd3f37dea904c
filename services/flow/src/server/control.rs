//! What operators order: `FlowControl`.

use tce_runtime::{Context, Fault};

use crate::access::Need;
use crate::attribute::ZombieAction;
use crate::def::from_takler_json;
use crate::idl::flow::{FlowControl, Outcome, Reply};
use crate::machine::{Code, Command};
use crate::template::Variables;

use super::answer::{all_refused, code, outcomes, refused, reply, success};
use super::arguments::{self, BadArgument, texts};
use super::clock::now;
use super::files::editable;
use super::log::Kind;
use super::node::find;
use super::shared::{Listener, PERMISSION_DENIED, denied};

/// The lines of the log that are given if no number is.
const DEFAULT_LINES: usize = 100;

/// Serves operators.
pub(crate) struct ControlServant(pub(super) Listener);

type Outcomes = Result<Vec<Outcome>, Fault>;

impl ControlServant {
    async fn for_paths(
        &self,
        paths: Vec<String>,
        command: impl FnOnce(Vec<Box<str>>) -> Result<Command, BadArgument>,
        context: &Context,
    ) -> Outcomes {
        let named: Vec<_> = paths.iter().map(String::as_str).collect();
        let caller = match self.0.admit(context, Need::Write, &named) {
            Ok(caller) => caller,
            Err(denied) => {
                let text = denied.to_string();
                return Ok(all_refused(&paths, PERMISSION_DENIED, &text, "none"));
            }
        };
        match command(texts(paths.clone())) {
            Ok(command) => {
                let result = self.0.shared.owner.apply(caller.user(), command).await;
                Ok(outcomes(&paths, result))
            }
            Err(BadArgument(text)) => {
                Ok(all_refused(&paths, code(BadArgument::CODE), &text, "none"))
            }
        }
    }

    async fn one(
        &self,
        command: Result<Command, BadArgument>,
        paths: &[&str],
        context: &Context,
    ) -> Result<Reply, Fault> {
        let caller = match self.0.admit(context, Need::Write, paths) {
            Ok(caller) => caller,
            Err(refusal) => return Ok(denied(&refusal)),
        };
        Ok(match command {
            Ok(command) => reply(self.0.shared.owner.apply(caller.user(), command).await),
            Err(BadArgument(text)) => refused(BadArgument::CODE, text),
        })
    }

    /// The text of a definition: that of the call, or what was uploaded before.
    fn definition(&self, text: String, context: &Context) -> String {
        let uploaded = self.0.shared.uploads.take(context.connection().peer());
        if text.is_empty() { uploaded } else { text }
    }

    /// `log`, for a caller that may write.
    fn change_log(&self, action: &str, text: &str) -> std::io::Result<String> {
        let log = &self.0.shared.log;
        match action {
            "get" => log.last_lines(text.parse().unwrap_or(DEFAULT_LINES)),
            "path" => Ok(log.path().display().to_string()),
            "new" => {
                let path = (!text.is_empty()).then(|| self.0.shared.home.join(text));
                log.replace(path.as_deref()).map(|()| String::new())
            }
            "clear" => log.clear().map(|()| String::new()),
            "flush" => {
                log.flush();
                Ok(String::new())
            }
            "msg" => {
                log.add(Kind::Message, now(), text);
                log.flush();
                Ok(String::new())
            }
            _ => {
                let known = "get, path, new, clear, flush and msg";
                Err(std::io::Error::other(format!(
                    "`{action}` is none of {known}"
                )))
            }
        }
    }
}

impl FlowControl for ControlServant {
    async fn upload(&self, part: String, context: &Context) -> Result<Reply, Fault> {
        if let Err(refusal) = self.0.identify(context) {
            return Ok(denied(&refusal));
        }
        let uploads = &self.0.shared.uploads;
        let added = uploads.add(context.connection().peer(), &part);
        Ok(match added {
            Ok(()) => success(""),
            Err(text) => refused(Code::InvalidRequest, text),
        })
    }

    async fn load(
        &self,
        text: String,
        format: String,
        force: bool,
        context: &Context,
    ) -> Result<Reply, Fault> {
        let text = self.definition(text, context);
        let command = match format.as_str() {
            "" | "def" => Ok(Command::Load {
                text: text.into(),
                force,
            }),
            "json" => from_takler_json(&text)
                .map(|text| Command::Load {
                    text: text.into(),
                    force,
                })
                .map_err(|error| BadArgument(error.to_string())),
            _ => Err(BadArgument(format!(
                "`{format}` is no format; it is `def` or `json`"
            ))),
        };
        self.one(command, &[], context).await
    }

    async fn replace(
        &self,
        path: String,
        text: String,
        parents: bool,
        force: bool,
        context: &Context,
    ) -> Result<Reply, Fault> {
        let named = [path.as_str()];
        let command = Command::Replace {
            path: path.as_str().into(),
            text: self.definition(text, context).into(),
            parents,
            force,
        };
        self.one(Ok(command), &named, context).await
    }

    async fn begin(&self, suites: Vec<String>, force: bool, context: &Context) -> Outcomes {
        let command = |suites| Ok(Command::Begin { suites, force });
        self.for_paths(suites, command, context).await
    }

    async fn requeue(&self, paths: Vec<String>, how: String, context: &Context) -> Outcomes {
        let command = |paths| {
            let mode = arguments::requeue_mode(&how)?;
            Ok(Command::Requeue { paths, mode })
        };
        self.for_paths(paths, command, context).await
    }

    async fn suspend(&self, paths: Vec<String>, context: &Context) -> Outcomes {
        self.for_paths(paths, |paths| Ok(Command::Suspend(paths)), context)
            .await
    }

    async fn resume(&self, paths: Vec<String>, context: &Context) -> Outcomes {
        self.for_paths(paths, |paths| Ok(Command::Resume(paths)), context)
            .await
    }

    async fn run(&self, paths: Vec<String>, force: bool, context: &Context) -> Outcomes {
        let command = |paths| Ok(Command::Run { paths, force });
        self.for_paths(paths, command, context).await
    }

    async fn force(
        &self,
        paths: Vec<String>,
        state: String,
        recursive: bool,
        full: bool,
        context: &Context,
    ) -> Outcomes {
        let command = |paths| {
            Ok(Command::Force {
                paths,
                target: arguments::force_target(&state)?,
                is_recursive: recursive,
                is_full: full,
            })
        };
        self.for_paths(paths, command, context).await
    }

    async fn free_dependencies(
        &self,
        paths: Vec<String>,
        which: String,
        context: &Context,
    ) -> Outcomes {
        let command = |paths| {
            let kind = arguments::free_kind(&which)?;
            Ok(Command::Free { paths, kind })
        };
        self.for_paths(paths, command, context).await
    }

    async fn alter(
        &self,
        paths: Vec<String>,
        action: String,
        attribute: String,
        name: String,
        value: String,
        context: &Context,
    ) -> Outcomes {
        let command = |paths| {
            let action = arguments::alteration(&action, &attribute, &name, &value)?;
            Ok(Command::Alter { paths, action })
        };
        self.for_paths(paths, command, context).await
    }

    async fn remove(&self, paths: Vec<String>, force: bool, context: &Context) -> Outcomes {
        let command = |paths| Ok(Command::Delete { paths, force });
        self.for_paths(paths, command, context).await
    }

    async fn kill(&self, paths: Vec<String>, context: &Context) -> Outcomes {
        self.for_paths(paths, |paths| Ok(Command::Kill(paths)), context)
            .await
    }

    async fn status(&self, paths: Vec<String>, context: &Context) -> Outcomes {
        self.for_paths(paths, |paths| Ok(Command::Status(paths)), context)
            .await
    }

    async fn act(&self, paths: Vec<String>, zombie_action: String, context: &Context) -> Outcomes {
        let command = |paths| {
            let action = ZombieAction::from_name(&zombie_action);
            let action = action.ok_or_else(|| {
                let known = "fob, fail, adopt, block, remove and kill";
                BadArgument(format!("`{zombie_action}` is none of {known}"))
            })?;
            Ok(Command::Zombies { paths, action })
        };
        self.for_paths(paths, command, context).await
    }

    async fn order(&self, path: String, how: String, context: &Context) -> Result<Reply, Fault> {
        let command = arguments::order(&how).map(|order| Command::Order {
            path: path.as_str().into(),
            order,
        });
        self.one(command, &[&path], context).await
    }

    async fn edit(
        &self,
        path: String,
        how: String,
        _script: String,
        context: &Context,
    ) -> Result<Reply, Fault> {
        if let Err(refusal) = self.0.admit(context, Need::Write, &[&path]) {
            return Ok(denied(&refusal));
        }
        let is_preprocessed = match how.as_str() {
            "edit" => false,
            "pre_process" => true,
            _ => {
                let text = format!("`{how}` is not possible here; `edit` and `pre_process` are");
                return Ok(refused(Code::InvalidRequest, text));
            }
        };
        let variables = self.0.shared.owner.query(move |machine| {
            let id = find(machine.tree(), &path)?;
            Ok(Variables::of(machine.tree(), id))
        });
        let variables = match variables.await? {
            Ok(variables) => variables,
            Err(reply) => return Ok(reply),
        };
        let read = move || editable(&variables, is_preprocessed);
        Ok(match tokio::task::spawn_blocking(read).await? {
            Ok(text) => success(text),
            Err(error) => refused(Code::UnsupportedValue, error.to_string()),
        })
    }

    async fn state(&self, wanted: String, context: &Context) -> Result<Reply, Fault> {
        if wanted == "terminate" {
            let admitted = self.0.admit(context, Need::Write, &[]);
            return Ok(match admitted {
                Ok(_) => {
                    self.0.shared.is_terminated.send_replace(true);
                    success("")
                }
                Err(refusal) => denied(&refusal),
            });
        }
        let command = arguments::server_state(&wanted).map(Command::Server);
        self.one(command, &[], context).await
    }

    async fn checkpoint(&self, context: &Context) -> Result<Reply, Fault> {
        if let Err(refusal) = self.0.admit(context, Need::Write, &[]) {
            return Ok(denied(&refusal));
        }
        let written = self.0.shared.owner.checkpoint().await?;
        Ok(match written {
            Ok(()) => success(""),
            Err(refusal) => refused(refusal.code, refusal.text),
        })
    }

    async fn reload(&self, what: String, context: &Context) -> Result<Reply, Fault> {
        if let Err(refusal) = self.0.admit(context, Need::Write, &[]) {
            return Ok(denied(&refusal));
        }
        if what != "whitelist" {
            let text = format!("`{what}` can't be read again; `whitelist` can");
            return Ok(refused(Code::InvalidRequest, text));
        }
        Ok(match self.0.shared.access.reload() {
            Ok(()) => success(""),
            Err(error) => refused(Code::InvalidRequest, error.to_string()),
        })
    }

    async fn log(&self, action: String, text: String, context: &Context) -> Result<Reply, Fault> {
        let need = match action.as_str() {
            "get" | "path" => Need::Read,
            _ => Need::Write,
        };
        if let Err(refusal) = self.0.admit(context, need, &[]) {
            return Ok(denied(&refusal));
        }
        Ok(match self.change_log(&action, &text) {
            Ok(text) => success(text),
            Err(error) => refused(Code::InvalidRequest, error.to_string()),
        })
    }
}
