//! Questions: why a node does not run, and what an expression is worth.

use crate::expression::Expression;
use crate::state::State;
use crate::tree::{Kind, NodeEnvironment, NodeId};

use super::reply::{Code, Refusal};
use super::{Machine, ServerState};

impl Machine {
    /// The reasons, one a line, why a node and its parents hold it back; for a container also
    /// those of the nodes below that wait.
    #[must_use]
    pub fn why(&self, id: NodeId) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.server != ServerState::Running {
            reasons.push(format!("The server is {}", self.server.name()));
        }
        let mut parents: Vec<_> = self.tree.upwards(id).skip(1).collect();
        parents.reverse();
        for parent in parents {
            self.reasons(parent, &mut reasons);
        }
        for id in self.tree.subtree(id) {
            if id != NodeId::ROOT {
                self.reasons(id, &mut reasons);
            }
        }
        reasons
    }

    /// The value that an expression would have as the trigger of a node.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it can't be understood, divides by zero, or names what is not there.
    pub fn query_trigger(&self, id: NodeId, text: &str) -> Result<bool, Refusal> {
        let expression = Expression::parse(text)
            .map_err(|error| Refusal::new(Code::ExpressionSyntax, error.to_string()))?;
        let paths = expression.paths().iter();
        let targets: Vec<_> = paths.map(|path| self.tree.find_from(id, path)).collect();
        if let Some(missing) = targets.iter().position(Option::is_none) {
            let text = format!("there is no node {}", expression.paths()[missing]);
            return Err(Refusal::new(Code::NodeNotFound, text));
        }
        for reference in expression.attributes() {
            let target = reference.path.and_then(|path| targets[usize::from(path)]);
            let is_known = match target {
                Some(target) => self.tree.attribute_value(target, &reference.name).is_some(),
                None => self.tree.lookup(id, &reference.name).is_some(),
            };
            if !is_known {
                let text = format!(
                    "there is no event, meter, repeat or variable {}",
                    reference.name
                );
                return Err(Refusal::new(Code::UnsupportedValue, text));
            }
        }
        let environment = NodeEnvironment {
            tree: &self.tree,
            node: id,
            targets: &targets,
        };
        expression
            .evaluate(&environment)
            .map_err(|error| Refusal::new(Code::UnsupportedValue, error.to_string()))
    }

    fn reasons(&self, id: NodeId, reasons: &mut Vec<String>) {
        let node = &self.tree[id];
        let path = self.tree.path(id);
        let kind = node.kind().word().to_uppercase();
        if node.run().is_some_and(|run| !run.is_begun) {
            reasons.push(format!("{kind}:{path} has not begun"));
        }
        if node.is_suspended {
            reasons.push(format!("{kind}:{path} is suspended"));
        }
        if node.state.is_running() && node.job().is_some_and(|job| job.is_ended) {
            reasons.push(format!(
                "{kind} {path}({}) has a job whose command has ended without a word of the job",
                node.state.name()
            ));
        }
        if !matches!(node.state, State::Queued | State::Aborted) {
            return;
        }
        if let Some(schedule) = node.attributes.schedule().filter(|all| !all.is_free()) {
            let now = self.tree.suite_time(id);
            let clock = crate::calendar::clock_text(now.minute_of_day());
            let next = schedule.next_minute().map_or("never".to_owned(), |minute| {
                let date = crate::calendar::Date::from_days(minute.div_euclid(1440));
                let time = crate::calendar::clock_text(minute.rem_euclid(1440));
                if date == now.date {
                    time
                } else {
                    format!("{time} on {}", date.number())
                }
            });
            reasons.push(format!(
                "{kind} {path}({}) is time dependent ( next run time is {next}, current suite time is {clock} )",
                node.state.name()
            ));
        }
        let environment = NodeEnvironment {
            tree: &self.tree,
            node: id,
            targets: &node.trigger_targets,
        };
        if let Some(trigger) = node
            .attributes
            .trigger
            .as_deref()
            .filter(|_| !node.is_trigger_free)
        {
            let state = node.state.name();
            match trigger.evaluate(&environment) {
                Ok(true) => {}
                Ok(false) => {
                    reasons.push(format!(
                        "{kind} {path}({state}) expression ({trigger}) is false"
                    ));
                }
                Err(error) => {
                    reasons.push(format!(
                        "{kind} {path}({state}) expression ({trigger}): {error}"
                    ));
                }
            }
        }
        if node.kind() == Kind::Task {
            self.task_reasons(id, &path, reasons);
        }
    }

    fn task_reasons(&self, id: NodeId, path: &str, reasons: &mut Vec<String>) {
        let node = &self.tree[id];
        for parent in self.tree.upwards(id) {
            for inlimit in self.tree[parent].attributes.inlimits() {
                let Some((owner, at)) = self.tree.find_limit(parent, inlimit) else {
                    continue;
                };
                let limit = &self.tree[owner].attributes.limits()[at];
                let holder = if inlimit.is_node_only {
                    self.tree.path(parent)
                } else {
                    path.to_owned()
                };
                if !limit.admits(&holder, inlimit.tokens) {
                    reasons.push(format!(
                        "TASK {path} waits for limit {}:{}, of which {} of {} are used",
                        self.tree.path(owner),
                        limit.name,
                        limit.used(),
                        limit.max
                    ));
                }
            }
        }
        if node.state == State::Aborted {
            let reason = node
                .job()
                .and_then(|job| job.reason.as_deref())
                .unwrap_or_default();
            reasons.push(format!(
                "TASK {path} has aborted in try {}: {reason}",
                node.try_no()
            ));
        }
    }
}
