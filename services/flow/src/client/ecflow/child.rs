//! Child commands of `ecflow_client`.

use std::io;

use super::arguments::Arguments;
use crate::client::address::Address;
use crate::client::child::{ChildError, Delay, Patience, Servers, deliver, job_of};
use crate::client::console::{Console, Environment, timestamp};
use crate::client::link::Caller;
use crate::expression::Expression;
use crate::idl::flow::Job;
use crate::machine::ChildCall;

/// A child command with the job that sends it.
#[derive(Debug)]
pub(super) struct ChildRequest {
    /// The request as ecFlow writes it.
    pub(super) shown: String,
    /// Whether the server's refusal of a value ends the job: events, meters and labels that the
    /// task does not have are told alone, since running jobs rely on it.
    is_strict: bool,
    job: Job,
    call: ChildCall,
}

/// How a child command has ended, if not by success.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildFailure {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Stream(#[from] io::Error),
}

/// Codes of the server for events, meters and labels that the task does not have.
const UNSUPPORTED_VALUE: i32 = 13;

impl ChildRequest {
    /// The child command of a name; `None` if it is not one. An error is shown in ecFlow's frame.
    pub(super) fn new(
        name: &str,
        values: &[String],
        arguments: &Arguments,
        environment: &Environment,
    ) -> Result<Option<Self>, String> {
        let Some((class, call)) = child_call(name, values, arguments)? else {
            return Ok(None);
        };
        let mut job = job_of(environment, ["ECF_", "TAKLER_"]);
        if let Some(rid) = arguments.value("rid").filter(|rid| !rid.is_empty()) {
            rid.clone_into(&mut job.rid);
        }
        if name == "init" {
            values[0].clone_into(&mut job.rid);
        }
        if job.path.is_empty() {
            return Err(format!("{class}: No task path specified for ECF_NAME \n"));
        }
        if job.password.is_empty() {
            return Err(format!(
                "{class}: No jobs password specified for ECF_PASS \n"
            ));
        }
        let shown = match &call {
            ChildCall::Started(_) | ChildCall::Completed(_) => format!("chd:{name} {}", job.path),
            ChildCall::Aborted(text) | ChildCall::Wait(text) => {
                format!("chd:{name} {text} {}", job.path)
            }
            ChildCall::Event(event, value) => {
                format!("chd:{name} {event} {} {}", u8::from(*value), job.path)
            }
            ChildCall::Meter(meter, value) => format!("chd:{name} {meter} {value} {}", job.path),
            ChildCall::Label(label, text) => format!("chd:{name} {label} '{text}' {}", job.path),
        };
        let is_strict = !matches!(
            call,
            ChildCall::Event(..) | ChildCall::Meter(..) | ChildCall::Label(..)
        );
        Ok(Some(Self {
            shown,
            is_strict,
            job,
            call,
        }))
    }

    /// Tells the server.
    pub(super) async fn send(
        &self,
        caller: &Caller,
        address: Address,
        environment: &Environment,
        console: &mut Console<'_>,
    ) -> Result<(), ChildFailure> {
        let mut servers = Servers::new(address, environment);
        let patience = Patience::new(environment, "ECF_TIMEOUT");
        let shown = &self.shown;
        let mut told = None;
        let mut failed = Ok(());
        let report = |server: &Address, delay: &Delay<'_>| {
            // Each reason once, not at each of thousands of attempts.
            let text = match delay {
                Delay::Away(error) => format!(
                    "Connection error: ({error}) for request( {shown} ) on {server}, continue trying"
                ),
                Delay::Halted => {
                    format!("{shown} : {server} : blocking : server is HALTED, continue waiting")
                }
                Delay::Zombie => {
                    format!("{shown} : {server} : blocking : zombie detected, continue waiting")
                }
            };
            if told.as_ref() == Some(&text) {
                return;
            }
            let line = format!("{} ClientInvoker: {text}", timestamp());
            failed = match delay {
                Delay::Away(_) => writeln!(console.err, "{line}"),
                Delay::Halted | Delay::Zombie => writeln!(console.out, "{line}"),
            };
            told = Some(text);
        };
        let done = deliver(
            caller,
            &mut servers,
            &self.job,
            &self.call,
            &patience,
            report,
        )
        .await;
        failed?;
        match done {
            Err(ChildError::Refused(reply))
                if !self.is_strict && reply.code == UNSUPPORTED_VALUE =>
            {
                writeln!(console.err, "{shown} is ignored: {}", reply.text)?;
                Ok(())
            }
            done => Ok(done?),
        }
    }
}

/// What a child command tells, and ecFlow's name of its class, which is in errors.
fn child_call(
    name: &str,
    values: &[String],
    arguments: &Arguments,
) -> Result<Option<(&'static str, ChildCall)>, String> {
    Ok(Some(match (name, values) {
        ("init", _) => ("InitCmd", ChildCall::Started(added(arguments)?)),
        ("complete", _) => {
            let removed = arguments.values("remove").unwrap_or_default();
            let removed = removed.iter().map(|name| name.as_str().into()).collect();
            ("CompleteCmd", ChildCall::Completed(removed))
        }
        ("abort", _) => {
            let reason = values.first().map_or("", String::as_str);
            ("AbortCmd", ChildCall::Aborted(reason.into()))
        }
        ("event", [event]) => ("EventCmd", ChildCall::Event(event.as_str().into(), true)),
        ("event", [event, value]) => {
            let value = match value.as_str() {
                "set" => true,
                "clear" => false,
                _ => {
                    return Err(format!(
                        "EventCmd: The second argument must be [ set | clear ] but found {value}"
                    ));
                }
            };
            ("EventCmd", ChildCall::Event(event.as_str().into(), value))
        }
        ("event", _) => return Err("EventCmd: Expected a name and [ set | clear ]".to_owned()),
        ("meter", [meter, value]) => {
            let value = value.parse().map_err(|_| {
                "MeterCmd: Second argument must be a integer, i.e. --meter=name 100\n".to_owned()
            })?;
            ("MeterCmd", ChildCall::Meter(meter.as_str().into(), value))
        }
        ("meter", _) => {
            return Err(format!(
                "MeterCmd: Two arguments expected, found {} Please specify <meter-name> <meter-value>, ie --meter=name 100\n",
                values.len()
            ));
        }
        ("label", [label, first, more @ ..]) => {
            let mut text = first.clone();
            for line in more {
                text.push('\n');
                text += line;
            }
            (
                "LabelCmd",
                ChildCall::Label(label.as_str().into(), text.into()),
            )
        }
        ("label", _) => {
            return Err(format!(
                "LabelCmd: At least 2 arguments expected for label. Found {}\n",
                values.len()
            ));
        }
        ("wait", [expression, ..]) => {
            Expression::parse(expression).map_err(|error| {
                format!("CtsWaitCmd: Failed to parse expression '{expression}'.  {error}\n")
            })?;
            ("CtsWaitCmd", ChildCall::Wait(expression.as_str().into()))
        }
        _ => return Ok(None),
    }))
}

/// A name and its value.
type Variable = (Box<str>, Box<str>);

/// The variables of `--add`.
fn added(arguments: &Arguments) -> Result<Vec<Variable>, String> {
    let values = arguments.values("add").unwrap_or_default().iter();
    let pairs = values.map(|text| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err(format!(
            "Could not parse variable provided to --add; Expected  var1=value1 var2=value2 but found {text}"
        )),
    });
    pairs.collect()
}
