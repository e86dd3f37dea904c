//! What is asked: `FlowQuery`.

use tce_runtime::{Context, Fault};

use crate::attribute::ChildKind;
use crate::def::{Style, print};
use crate::idl::flow::{FlowQuery, Reply, Row, Text, Zombie};
use crate::machine::{self, Code, Machine};
use crate::tree::{NodeId, Tree};

use super::answer::{fault, refused, success};
use super::owner::OwnerHandle;
use super::rows::page;
use super::value::value;

/// The version of ecFlow that this server stands in for.
const VERSION: &str = "5.9.2";
/// The longest part of a text, in bytes.
const PART_BYTES: usize = 512 * 1024;

/// Serves questions.
pub(crate) struct QueryServant(pub(super) OwnerHandle);

impl QueryServant {
    /// Reads a node.
    async fn node<T: Send + 'static>(
        &self,
        path: String,
        read: impl FnOnce(&Machine, NodeId) -> T + Send + 'static,
    ) -> Result<Result<T, Reply>, Fault> {
        let answer = self.0.query(move |machine| {
            let id = find(machine.tree(), &path)?;
            Ok(read(machine, id))
        });
        Ok(answer.await?)
    }
}

/// The node of a path; an empty one is the server itself.
pub(super) fn find(tree: &Tree, path: &str) -> Result<NodeId, Reply> {
    if !path.is_empty() && !path.starts_with('/') {
        let text = "Paths must begin with a leading '/' character";
        return Err(refused(Code::InvalidPath, text));
    }
    let found = if path.is_empty() {
        Some(NodeId::ROOT)
    } else {
        tree.find(path)
    };
    found.ok_or_else(|| {
        let text = format!("Could not find node at path {path}");
        refused(Code::NodeNotFound, text)
    })
}

/// The part of a text with this number, and how many there are.
fn part(text: &str, number: i32) -> Option<(&str, i32)> {
    let mut rest = text;
    let mut parts = Vec::new();
    while rest.len() > PART_BYTES {
        let is_boundary = |at: &usize| rest.is_char_boundary(*at);
        let end = (0..=PART_BYTES).rev().find(is_boundary).unwrap_or(0);
        let (part, behind) = rest.split_at(end);
        parts.push(part);
        rest = behind;
    }
    parts.push(rest);
    let part = parts.get(usize::try_from(number).ok()?)?;
    Some((part, i32::try_from(parts.len()).unwrap_or(i32::MAX)))
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

impl FlowQuery for QueryServant {
    async fn version(&self, _: &Context) -> Result<String, Fault> {
        Ok(VERSION.to_owned())
    }

    async fn ping(&self, _: &Context) -> Result<(), Fault> {
        Ok(())
    }

    async fn suites(&self, _: &Context) -> Result<Vec<String>, Fault> {
        let names = self.0.query(|machine| {
            let tree = machine.tree();
            let suites = tree[NodeId::ROOT].children().iter();
            suites.map(|suite| tree[*suite].name.to_string()).collect()
        });
        Ok(names.await?)
    }

    async fn show(
        &self,
        path: String,
        style: String,
        number: i32,
        _: &Context,
    ) -> Result<Text, Fault> {
        let style = match style.as_str() {
            "" | "definition" => Style::Definition,
            "state" => Style::State,
            _ => {
                let text = format!("`{style}` is no style; it is `definition` or `state`");
                return Err(fault(text));
            }
        };
        let text = self
            .node(path, move |machine, id| print(machine.tree(), id, style))
            .await?
            .map_err(|reply| fault(reply.text))?;
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
        _: &Context,
    ) -> Result<Reply, Fault> {
        let answer = self
            .0
            .query(move |machine| value(machine, &kind, &path, &argument));
        Ok(match answer.await? {
            Ok(value) => success(value),
            Err(reply) => reply,
        })
    }

    async fn why(&self, path: String, _: &Context) -> Result<Reply, Fault> {
        let reasons = self.node(path, Machine::why).await?;
        Ok(match reasons {
            Ok(reasons) => success(reasons.join("\n")),
            Err(reply) => reply,
        })
    }

    async fn check(&self, paths: Vec<String>, _: &Context) -> Result<Reply, Fault> {
        let text = self.0.query(move |machine| check(machine, &paths));
        Ok(match text.await? {
            Ok(text) => success(text),
            Err(reply) => reply,
        })
    }

    async fn file(&self, _: String, which: String, _: i32, _: &Context) -> Result<Reply, Fault> {
        let text = format!("this server has no {which}");
        Ok(refused(Code::UnsupportedValue, text))
    }

    async fn statistics(&self, _: String, _: &Context) -> Result<Reply, Fault> {
        let state = self.0.query(|machine| machine.server().name());
        Ok(success(format!(
            "Version {VERSION}\nStatus {}\n",
            state.await?
        )))
    }

    async fn lines(&self, _: i32, _: &Context) -> Result<Reply, Fault> {
        Ok(refused(Code::InvalidRequest, "this server has no log"))
    }

    async fn zombies(&self, _: &Context) -> Result<Vec<Zombie>, Fault> {
        let now = super::clock::now().unix;
        let zombies = self.0.query(move |machine| {
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
        _: &Context,
    ) -> Result<Vec<Row>, Fault> {
        let rows = self
            .node(path, move |machine, top| page(machine, top, since, after))
            .await?
            .map_err(|reply| fault(reply.text))?;
        rows.ok_or_else(|| fault(format!("row {after} is gone: read the tree from the start")))
    }

    async fn watch(&self, _: String, _: i64, _: &Context) -> Result<i64, Fault> {
        Err(fault("this server pushes no changes"))
    }

    async fn unwatch(&self, _: &Context) -> Result<(), Fault> {
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
