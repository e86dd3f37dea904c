//! One value of a node: `query`.

use crate::idl::flow::Reply;
use crate::machine::{Code, Machine};
use crate::tree::{NodeId, is_password};

use super::answer::refused;
use super::node::find;

/// What `query` asks for, as text.
pub(super) fn value(
    machine: &Machine,
    kind: &str,
    path: &str,
    argument: &str,
) -> Result<String, Reply> {
    let tree = machine.tree();
    let (path, name) = match path.split_once(':') {
        Some((path, name)) => (path, name),
        None => (path, argument),
    };
    let id = find(tree, path)?;
    let node = &tree[id];
    let attributes = &node.attributes;
    let signals = attributes.signals();
    let found = match kind {
        "state" => Some(node.state.name().to_owned()),
        "dstate" if node.is_suspended => Some("suspended".to_owned()),
        "dstate" => Some(node.state.name().to_owned()),
        "repeat" => attributes.repeat.as_ref().map(|repeat| repeat.text()),
        "event" => {
            let event = signals.and_then(|all| all.events.iter().find(|one| one.is_named(name)));
            event.map(|event| if event.value { "set" } else { "clear" }.to_owned())
        }
        "meter" => {
            let meter = signals.and_then(|all| all.meters.iter().find(|one| &*one.name == name));
            meter.map(|meter| meter.value.to_string())
        }
        "label" => {
            let label = signals.and_then(|all| all.labels.iter().find(|one| &*one.name == name));
            label.map(|label| label.value.as_ref().unwrap_or(&label.default).to_string())
        }
        "limit" | "limit_max" => {
            let limit = attributes.limits().iter().find(|one| &*one.name == name);
            limit.map(|limit| {
                if kind == "limit" {
                    limit.used().to_string()
                } else {
                    limit.max.to_string()
                }
            })
        }
        "variable" if is_password(name) => {
            let text = "passwords are told to jobs alone";
            return Err(refused(Code::InvalidRequest, text));
        }
        "variable" => tree.lookup(id, name).map(std::borrow::Cow::into_owned),
        "trigger" => return trigger(machine, id, argument),
        _ => {
            let known =
                "state, dstate, repeat, event, meter, label, limit, limit_max, variable, trigger";
            let text = format!("`{kind}` can't be queried; it is one of {known}");
            return Err(refused(Code::InvalidRequest, text));
        }
    };
    found.ok_or_else(|| {
        let text = format!("there is no {kind} {name} at {}", tree.path(id));
        refused(Code::UnsupportedValue, text)
    })
}

fn trigger(machine: &Machine, id: NodeId, expression: &str) -> Result<String, Reply> {
    let value = machine.query_trigger(id, expression);
    value
        .map(|value| value.to_string())
        .map_err(|refusal| refused(refusal.code, refusal.text))
}
