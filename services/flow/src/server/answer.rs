//! What the machine answers, as `flow.idl` has it.

use tce_runtime::{ErrorCode, Fault};

use crate::idl::flow;
use crate::machine::{self, Applied, Code};

use super::owner::{CommandResult, OwnerEnded};

/// Takler's code for what no other code says.
const INTERNAL_ERROR: i32 = 99;

pub(super) fn code(code: Code) -> i32 {
    i32::from(code as u8)
}

pub(super) fn success(text: impl Into<String>) -> flow::Reply {
    flow::Reply {
        code: code(Code::Success),
        text: text.into(),
    }
}

pub(super) fn refused(refused: Code, text: impl Into<String>) -> flow::Reply {
    flow::Reply {
        code: code(refused),
        text: text.into(),
    }
}

/// The answer to a command that is not for several paths.
pub(super) fn reply(result: Result<CommandResult, OwnerEnded>) -> flow::Reply {
    match result {
        Ok(Ok(applied)) => flow::Reply {
            code: code(applied.code),
            text: applied.text,
        },
        Ok(Err(refusal)) => refused(refusal.code, refusal.text),
        Err(ended) => flow::Reply {
            code: INTERNAL_ERROR,
            text: ended.to_string(),
        },
    }
}

/// The answer to a command for several paths. One that is refused as a whole is so for each path.
pub(super) fn outcomes(
    paths: &[String],
    result: Result<CommandResult, OwnerEnded>,
) -> Vec<flow::Outcome> {
    match result {
        Ok(Ok(Applied { outcomes, .. })) => outcomes.into_iter().map(outcome).collect(),
        Ok(Err(refusal)) => all_refused(paths, code(refusal.code), &refusal.text, "none"),
        Err(ended) => all_refused(paths, INTERNAL_ERROR, &ended.to_string(), "unknown"),
    }
}

/// The same refusal for each path; one with an empty path if there are none.
pub(super) fn all_refused(
    paths: &[String],
    code: i32,
    text: &str,
    effect: &str,
) -> Vec<flow::Outcome> {
    let refused = |path: &str| flow::Outcome {
        path: path.to_owned(),
        code,
        text: text.to_owned(),
        effect: effect.to_owned(),
    };
    if paths.is_empty() {
        return vec![refused("")];
    }
    paths.iter().map(|path| refused(path)).collect()
}

fn outcome(outcome: machine::Outcome) -> flow::Outcome {
    let effect = if outcome.is_applied {
        "applied"
    } else {
        "none"
    };
    flow::Outcome {
        path: outcome.path.into(),
        code: code(outcome.code),
        text: outcome.text,
        effect: effect.to_owned(),
    }
}

/// The answer to a question that has no field for a refusal.
pub(super) fn fault(text: impl Into<String>) -> Fault {
    Fault::new(ErrorCode::RemoteException, text)
}
