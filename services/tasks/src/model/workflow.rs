//! The steps of a task that is a chain of operations, and their form in `Task::options`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most steps of a workflow.
pub const MAX_STEPS: usize = 100;
/// The most bytes of the group's and the operation's name, each.
pub(super) const MAX_NAME: usize = 255;
/// The longest time that is kept, about 10,000 years, so that sums of times do not overflow.
pub(super) const MAX_MS: u64 = 1 << 48;
/// Options that belong to the whole task, or to its first step alone.
const NOT_IN_STEPS: [&str; 3] = ["steps", "unique", "run_at"];

/// One step of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowStep {
    /// Whose workers run it.
    pub group: String,
    /// The operation.
    pub operation: String,
    /// The pause after the step before, in milliseconds.
    #[serde(default, rename = "run_after")]
    pub run_after_ms: u64,
    /// The settings of the step, as in `Task::options`; those of the first step are the task's own.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// Whether a group or an operation may be called so.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME
}

/// The value of the option `steps`.
pub(super) fn to_text(steps: &[WorkflowStep]) -> String {
    // Strings and numbers have a JSON form.
    serde_json::to_string(steps).unwrap_or_default()
}

/// Reads the value of the option `steps`, or says what is wrong. The options of the steps are not
/// checked.
pub(super) fn parse(text: &str) -> Result<Vec<WorkflowStep>, String> {
    let steps: Vec<WorkflowStep> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !(2..=MAX_STEPS).contains(&steps.len()) {
        return Err(format!("{} steps", steps.len()));
    }
    for step in &steps {
        if !is_name(&step.group) || !is_name(&step.operation) {
            return Err(format!("a step of the operation `{}`", step.operation));
        }
        let misplaced = NOT_IN_STEPS
            .iter()
            .find(|key| step.options.contains_key(**key));
        if let Some(key) = misplaced {
            return Err(format!("a step with the option `{key}`"));
        }
        if step.run_after_ms > MAX_MS {
            return Err(format!("a step after {} ms", step.run_after_ms));
        }
    }
    Ok(steps)
}
