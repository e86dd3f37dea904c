//! What is asked: `FlowQuery`.

use std::sync::Arc;

use tce_runtime::{Context, Fault, TypedProxy};

use crate::access::{Caller, Denied, Need};
use crate::attribute::ChildKind;
use crate::def::{Style, TaklerView, print, print_takler};
use crate::idl::flow::{FlowQuery, FlowWatcherPrx, Reply, Row, Text, Zombie};
use crate::machine::{self, Code, Machine};
use crate::template::Variables;
use crate::tree::{NodeId, Tree};

use super::answer::{fault, refused, success};
use super::clock::now;
use super::facts::Facts;
use super::files::TaskFile;
use super::node::find;
use super::push::push;
use super::renderings::part;
use super::rows::{page, signed};
use super::scope::Scope;
use super::shared::{Listener, denied};
use super::value::value;
use super::watchers::MAX_WATCHERS;

/// The version of ecFlow that this server stands in for.
pub(super) const VERSION: &str = "5.9.2";

/// Serves questions.
pub(crate) struct QueryServant(pub(super) Listener);

impl QueryServant {
    /// Reads a node.
    async fn node<T: Send + 'static>(
        &self,
        path: String,
        read: impl FnOnce(&Machine, NodeId) -> T + Send + 'static,
    ) -> Result<Result<T, Reply>, Fault> {
        let answer = self.0.shared.owner.query(move |machine| {
            let id = find(machine.tree(), &path)?;
            Ok(read(machine, id))
        });
        Ok(answer.await?)
    }

    fn reader(&self, context: &Context, paths: &[&str]) -> Result<Caller, Denied> {
        self.0.admit(context, Need::Read, paths)
    }

    /// What a caller may see at and below a path. A caller that may see only some nodes below gets
    /// those; one that may see nothing is refused.
    fn scope(&self, context: &Context, path: &str) -> Result<Scope, Fault> {
        let caller = self.0.identify(context).map_err(|denied| refuse(&denied))?;
        let shared = &self.0.shared;
        if !path.is_empty() && path != "/" {
            let checked = shared.access.check(&caller, Need::Read, &[path]);
            checked.map_err(|denied| refuse(&denied))?;
        }
        Ok(Scope::new(path, caller, shared))
    }
}

fn refuse(denied: &Denied) -> Fault {
    Fault::new(tce_runtime::ErrorCode::ConnectReject, denied.to_string())
}

fn zombie(zombie: &machine::Zombie, now: i64) -> Zombie {
    Zombie {
        path: zombie.path.to_string(),
        kind: zombie.kind.name().to_owned(),
        age: now.saturating_sub(zombie.created_at),
        // Passwords go to jobs alone.
        password: "*".to_owned(),
        rid: zombie.rid.to_string(),
        try_no: i32::try_from(zombie.try_no).unwrap_or(i32::MAX),
        action: zombie.action.map_or_else(
            || default_action(zombie.child),
            |action| format!("manual-{}", action.name()),
        ),
        child: zombie.child.map_or("", ChildKind::name).to_owned(),
        calls: i32::try_from(zombie.calls).unwrap_or(i32::MAX),
        host: zombie.host.to_string(),
        explanation: zombie.kind.explanation().to_owned(),
    }
}

fn default_action(child: Option<ChildKind>) -> String {
    match child {
        Some(ChildKind::Event | ChildKind::Meter | ChildKind::Label) => "auto-fob",
        _ => "auto-block",
    }
    .to_owned()
}

/// How a node is shown.
#[derive(Debug, Clone, Copy)]
enum Show {
    Definition(Style),
    Takler(TaklerView),
}

impl Show {
    fn from_style(style: &str) -> Option<Self> {
        match style {
            "" | "definition" => Some(Self::Definition(Style::Definition)),
            "state" => Some(Self::Definition(Style::State)),
            _ => TaklerView::from_style(style).map(Self::Takler),
        }
    }

    fn print(self, tree: &Tree, id: NodeId) -> String {
        match self {
            Self::Definition(style) => print(tree, id, style),
            Self::Takler(view) => print_takler(tree, id, view),
        }
    }
}

impl FlowQuery for QueryServant {
    async fn version(&self, context: &Context) -> Result<String, Fault> {
        self.0.identify(context).map_err(|denied| refuse(&denied))?;
        Ok(VERSION.to_owned())
    }

    async fn ping(&self, _: &Context) -> Result<(), Fault> {
        Ok(())
    }

    async fn suites(&self, context: &Context) -> Result<Vec<String>, Fault> {
        let scope = self.scope(context, "/")?;
        let names = self.0.shared.owner.query(move |machine| {
            let tree = machine.tree();
            let suites = tree[NodeId::ROOT].children().iter();
            let seen = suites.filter(|suite| scope.shows(tree, **suite));
            seen.map(|suite| tree[*suite].name.to_string()).collect()
        });
        Ok(names.await?)
    }

    async fn show(
        &self,
        path: String,
        style: String,
        number: i32,
        context: &Context,
    ) -> Result<Text, Fault> {
        let admitted = self.reader(context, &[&path]);
        admitted.map_err(|denied| refuse(&denied))?;
        let show = Show::from_style(&style).ok_or_else(|| {
            fault(format!(
                "`{style}` is no style; it is `definition`, `state`, or `takler` with trigger, parameter, limit, event or meter"
            ))
        })?;
        let peer = context.connection().peer();
        let renderings = &self.0.shared.renderings;
        let question = (path.clone(), style);
        let text: Arc<str> = if number == 0 {
            let read = move |machine: &Machine, id| show.print(machine.tree(), id);
            let text = self.node(path, read).await?;
            let text = text.map_err(|reply| fault(reply.text))?.into();
            renderings.keep(peer, question, &text);
            text
        } else {
            let kept = renderings.find(peer, &question);
            kept.ok_or_else(|| fault("this text is no longer kept: begin with part 0"))?
        };
        let (part, parts) =
            part(&text, number).ok_or_else(|| fault(format!("there is no part {number}")))?;
        Ok(Text {
            text: part.to_owned(),
            part: number,
            parts,
        })
    }

    async fn query(
        &self,
        kind: String,
        path: String,
        argument: String,
        context: &Context,
    ) -> Result<Reply, Fault> {
        if let Err(refusal) = self.reader(context, &[&path]) {
            return Ok(denied(&refusal));
        }
        let read = move |machine: &Machine| value(machine, &kind, &path, &argument);
        Ok(match self.0.shared.owner.query(read).await? {
            Ok(value) => success(value),
            Err(reply) => reply,
        })
    }

    async fn why(&self, path: String, context: &Context) -> Result<Reply, Fault> {
        if let Err(refusal) = self.reader(context, &[&path]) {
            return Ok(denied(&refusal));
        }
        let reasons = self.node(path, Machine::why).await?;
        Ok(match reasons {
            Ok(reasons) => success(reasons.join("\n")),
            Err(reply) => reply,
        })
    }

    async fn check(&self, paths: Vec<String>, context: &Context) -> Result<Reply, Fault> {
        let named: Vec<_> = paths.iter().map(String::as_str).collect();
        if let Err(refusal) = self.reader(context, &named) {
            return Ok(denied(&refusal));
        }
        let text = self
            .0
            .shared
            .owner
            .query(move |machine| check(machine, &paths));
        Ok(match text.await? {
            Ok(text) => success(text),
            Err(reply) => reply,
        })
    }

    async fn file(
        &self,
        path: String,
        which: String,
        lines: i32,
        context: &Context,
    ) -> Result<Reply, Fault> {
        if let Err(refusal) = self.reader(context, &[&path]) {
            return Ok(denied(&refusal));
        }
        let Some(file) = TaskFile::from_name(&which) else {
            let known = "script, job, jobout, manual, kill and stat";
            let text = format!("`{which}` is none of {known}");
            return Ok(refused(Code::InvalidRequest, text));
        };
        let variables = self
            .node(path, |machine, id| Variables::of(machine.tree(), id))
            .await?;
        let variables = match variables {
            Ok(variables) => variables,
            Err(reply) => return Ok(reply),
        };
        // The disk may be slow, or a network's.
        let read = tokio::task::spawn_blocking(move || file.read(&variables, lines)).await?;
        Ok(match read {
            Ok(text) => success(text),
            Err(error) => refused(Code::UnsupportedValue, error.to_string()),
        })
    }

    async fn statistics(&self, style: String, context: &Context) -> Result<Reply, Fault> {
        let need = if style == "reset" {
            Need::Write
        } else {
            Need::Read
        };
        if let Err(refusal) = self.0.admit(context, need, &[]) {
            return Ok(denied(&refusal));
        }
        if style == "reset" {
            self.0.shared.statistics.reset();
            return Ok(success(""));
        }
        let facts = self.0.shared.owner.query(Facts::of).await?;
        Ok(success(self.0.shared.report(&facts)))
    }

    async fn lines(&self, last: i32, context: &Context) -> Result<Reply, Fault> {
        if let Err(refusal) = self.reader(context, &[]) {
            return Ok(denied(&refusal));
        }
        let log = Arc::clone(&self.0.shared.log);
        let count = usize::try_from(last).unwrap_or(0);
        let read = tokio::task::spawn_blocking(move || log.last_lines(count)).await?;
        Ok(match read {
            Ok(text) => success(text),
            Err(error) => refused(Code::InvalidRequest, error.to_string()),
        })
    }

    async fn zombies(&self, context: &Context) -> Result<Vec<Zombie>, Fault> {
        let admitted = self.reader(context, &[]);
        admitted.map_err(|denied| refuse(&denied))?;
        let now = now().unix;
        let zombies = self.0.shared.owner.query(move |machine| {
            let zombies = machine.zombies().iter();
            zombies.map(|found| zombie(found, now)).collect()
        });
        Ok(zombies.await?)
    }

    async fn tree(
        &self,
        path: String,
        since: i64,
        after: i64,
        context: &Context,
    ) -> Result<Vec<Row>, Fault> {
        let scope = self.scope(context, &path)?;
        let rows = self
            .node(path, move |machine, top| {
                page(machine, top, &scope, since, after)
            })
            .await?
            .map_err(|reply| fault(reply.text))?;
        rows.ok_or_else(|| fault(format!("row {after} is gone: read the tree from the start")))
    }

    async fn watch(&self, path: String, since: i64, context: &Context) -> Result<i64, Fault> {
        let scope = self.scope(context, &path)?;
        let shared = &self.0.shared;
        let peer = context.connection().peer().to_owned();
        let watchers = Arc::clone(&shared.watchers);
        // Within the owner, so that no change comes between the version and the first push.
        let added = shared.owner.query(move |machine| {
            let version = machine.version();
            (watchers.add(&peer, since, version), version)
        });
        let (Some(watcher), version) = added.await? else {
            return Err(fault(format!("{MAX_WATCHERS} connections watch already")));
        };
        let proxy = FlowWatcherPrx::to_caller(context);
        tokio::spawn(push(watcher, proxy, shared.owner.clone(), scope));
        Ok(signed(version))
    }

    async fn unwatch(&self, context: &Context) -> Result<(), Fault> {
        self.0.shared.watchers.remove(context.connection().peer());
        Ok(())
    }
}

/// Expressions that name what is missing, and limits that are missing: one a line.
fn check(machine: &Machine, paths: &[String]) -> Result<String, Reply> {
    let tree = machine.tree();
    let all = [String::new()];
    let tops = match paths {
        [] => &all[..],
        [path] if path == "_all_" => &all[..],
        _ => paths,
    };
    let mut problems = Vec::new();
    for top in tops {
        for id in tree.subtree(find(tree, top)?) {
            problems_of(tree, id, &mut problems);
        }
    }
    Ok(problems.join("\n"))
}

fn problems_of(tree: &Tree, id: NodeId, problems: &mut Vec<String>) {
    let node = &tree[id];
    let attributes = &node.attributes;
    for (word, expression, targets) in [
        ("trigger", &attributes.trigger, &node.trigger_targets),
        ("complete", &attributes.complete, &node.complete_targets),
    ] {
        let paths = expression.iter().flat_map(|expression| expression.paths());
        let missing = paths.zip(targets).filter(|(_, target)| target.is_none());
        problems.extend(missing.map(|(path, _)| {
            format!(
                "{}: {word} names {path}, which does not exist",
                tree.path(id)
            )
        }));
    }
    for inlimit in attributes.inlimits() {
        if tree.find_limit(id, inlimit).is_none() {
            problems.push(format!(
                "{}: inlimit {inlimit} names a limit that does not exist",
                tree.path(id)
            ));
        }
    }
}
