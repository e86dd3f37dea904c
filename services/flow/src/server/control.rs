//! What operators order: `FlowControl`.

use tce_runtime::{Context, Fault};

use crate::attribute::ZombieAction;
use crate::idl::flow::{FlowControl, Outcome, Reply};
use crate::machine::{Code, Command};

use super::answer::{all_refused, code, outcomes, refused, reply, success};
use super::arguments::{self, BadArgument, texts};
use super::owner::OwnerHandle;
use super::uploads::Uploads;

/// The extra that names the user of a call.
const USER: &str = "user";

/// Serves operators.
pub(crate) struct ControlServant {
    pub(super) owner: OwnerHandle,
    pub(super) uploads: Uploads,
}

type Outcomes = Result<Vec<Outcome>, Fault>;

impl ControlServant {
    async fn for_paths(
        &self,
        paths: Vec<String>,
        command: impl FnOnce(Vec<Box<str>>) -> Result<Command, BadArgument>,
        context: &Context,
    ) -> Outcomes {
        match command(texts(paths.clone())) {
            Ok(command) => {
                let result = self.owner.apply(user(context), command).await;
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
        context: &Context,
    ) -> Result<Reply, Fault> {
        Ok(match command {
            Ok(command) => reply(self.owner.apply(user(context), command).await),
            Err(BadArgument(text)) => refused(BadArgument::CODE, text),
        })
    }

    /// The text of a definition: that of the call, or what was uploaded before.
    fn definition(&self, text: String, context: &Context) -> String {
        let uploaded = self.uploads.take(context.connection().peer());
        if text.is_empty() { uploaded } else { text }
    }
}

fn user(context: &Context) -> &str {
    context.extra().get(USER).unwrap_or_default()
}

impl FlowControl for ControlServant {
    async fn upload(&self, part: String, context: &Context) -> Result<Reply, Fault> {
        let added = self.uploads.add(context.connection().peer(), &part);
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
            _ => Err(BadArgument(format!("`{format}` is no format; it is `def`"))),
        };
        self.one(command, context).await
    }

    async fn replace(
        &self,
        path: String,
        text: String,
        parents: bool,
        force: bool,
        context: &Context,
    ) -> Result<Reply, Fault> {
        let command = Command::Replace {
            path: path.into(),
            text: self.definition(text, context).into(),
            parents,
            force,
        };
        self.one(Ok(command), context).await
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
            path: path.into(),
            order,
        });
        self.one(command, context).await
    }

    async fn edit(&self, _: String, _: String, _: String, _: &Context) -> Result<Reply, Fault> {
        Ok(refused(
            Code::InvalidRequest,
            "scripts can't be edited on this server",
        ))
    }

    async fn state(&self, wanted: String, context: &Context) -> Result<Reply, Fault> {
        let command = arguments::server_state(&wanted).map(Command::Server);
        self.one(command, context).await
    }

    async fn checkpoint(&self, _: &Context) -> Result<Reply, Fault> {
        Ok(refused(Code::InvalidRequest, "this server has no store"))
    }

    async fn reload(&self, what: String, _: &Context) -> Result<Reply, Fault> {
        let text = format!("this server has no {what}");
        Ok(refused(Code::InvalidRequest, text))
    }

    async fn log(&self, _: String, _: String, _: &Context) -> Result<Reply, Fault> {
        Ok(refused(Code::InvalidRequest, "this server has no log"))
    }
}
