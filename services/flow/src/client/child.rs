//! Child commands: what a job tells, repeated until the server has heard it.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::address::Address;
use super::console::Environment;
use super::link::{Caller, Link, LinkError};
use crate::idl::flow::{Job, Reply};
use crate::machine::ChildCall;

/// Codes for which the client asks again.
const HALTED: i32 = 60;
const ZOMBIE_HELD: i32 = 61;
const NOT_YET_TRUE: i32 = 62;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// A `wait` is answered after 25 s at the latest.
const WAIT_ATTEMPT: Duration = Duration::from_secs(35);
/// A server that answers a `wait` sooner, although nothing is true yet, is not asked at once again.
const SHORT_WAIT: Duration = Duration::from_secs(1);
/// Seconds between attempts; the last one from then on.
const PAUSES: [u64; 5] = [1, 2, 4, 8, 10];
/// How many attempts there are where ECF_DENIED is set.
const DENIED_ATTEMPTS: u32 = 2;

/// How long a child command is repeated.
#[derive(Debug, Clone)]
pub struct Patience {
    /// While the server is away or halted.
    pub total: Duration,
    /// While the server holds the call of a zombie.
    pub zombie: Duration,
    /// The number of attempts, if it is limited.
    pub attempts: Option<u32>,
}

impl Patience {
    /// As `ECF_TIMEOUT` or TAKLER_TIMEOUT, `ECF_ZOMBIE_TIMEOUT` and `ECF_DENIED` say.
    #[must_use]
    pub fn new(environment: &Environment, timeout: &str) -> Self {
        let seconds = |name, default| {
            let value = environment.get(name).and_then(|value| value.parse().ok());
            Duration::from_secs(value.unwrap_or(default))
        };
        Self {
            total: seconds(timeout, 86_400),
            zombie: seconds("ECF_ZOMBIE_TIMEOUT", 43_200),
            attempts: environment.is_set("ECF_DENIED").then_some(DENIED_ATTEMPTS),
        }
    }
}

/// Why a call is repeated.
#[derive(Debug)]
pub enum Delay<'a> {
    /// The server can't be reached, or does not answer.
    Away(&'a LinkError),
    /// The server takes no child commands.
    Halted,
    /// The server takes the job for a zombie, and holds it.
    Zombie,
}

/// Why a child command has ended without success.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The server has refused it.
    #[error("{}", .0.text)]
    Refused(Reply),
    /// The server was not reached in time; why the last attempt has failed.
    #[error("{0}")]
    Expired(LinkError),
    /// The server held the call for too long.
    #[error("{0}")]
    Held(&'static str),
    /// The client can't call at all.
    #[error("{0}")]
    Setup(LinkError),
}

/// The servers that a job may tell.
#[derive(Debug, Clone)]
pub struct Servers {
    all: Vec<Address>,
    at: usize,
}

impl Servers {
    /// The server, and those of `ECF_HOSTFILE`. A file that can't be read names none: a job that
    /// can reach its server goes on.
    #[must_use]
    pub fn new(address: Address, environment: &Environment) -> Self {
        let file = environment.get("ECF_HOSTFILE").map(Path::new);
        let others = file.and_then(|file| address.alternatives(file).ok());
        let mut all = vec![address];
        all.extend(others.unwrap_or_default());
        Self { all, at: 0 }
    }

    /// The one that is tried now.
    #[must_use]
    pub fn current(&self) -> &Address {
        &self.all[self.at]
    }

    fn advance(&mut self) {
        self.at = (self.at + 1) % self.all.len();
    }
}

/// The job of an environment: `ECF_` and `TAKLER_` variables, those of `prefixes[0]` first.
#[must_use]
pub fn job_of(environment: &Environment, prefixes: [&str; 2]) -> Job {
    let value = |names: [&str; 2]| {
        let names = [
            format!("{}{}", prefixes[0], names[0]),
            format!("{}{}", prefixes[1], names[1]),
        ];
        environment
            .first(&[&names[0], &names[1]])
            .unwrap_or_default()
            .to_owned()
    };
    let tries = if prefixes[0] == "ECF_" {
        ["TRYNO", "TRY_NO"]
    } else {
        ["TRY_NO", "TRYNO"]
    };
    Job {
        path: value(["NAME", "NAME"]),
        password: value(["PASS", "PASS"]),
        rid: value(["RID", "RID"]),
        try_no: value(tries).parse().unwrap_or_default(),
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
    }
}

/// Tells the server, and repeats it while the server is away, halted or holds a zombie. `report`
/// hears of each attempt that is repeated.
///
/// # Errors
/// [`ChildError`].
pub async fn deliver(
    caller: &Caller,
    servers: &mut Servers,
    job: &Job,
    call: &ChildCall,
    patience: &Patience,
    mut report: impl FnMut(&Address, &Delay<'_>),
) -> Result<(), ChildError> {
    let mut began = Instant::now();
    let mut attempts = 0;
    loop {
        let asked = Instant::now();
        let outcome = attempt(caller, servers.current(), job, call).await;
        attempts += 1;
        let is_last = patience.attempts.is_some_and(|limit| attempts >= limit);
        let pause = pause(attempts);
        let expires = |limit| is_last || began.elapsed() + pause > limit;
        match outcome {
            Ok(reply) if reply.code == 0 => return Ok(()),
            // The expression was false for as long as the server keeps a call.
            Ok(reply) if reply.code == NOT_YET_TRUE => {
                if asked.elapsed() < SHORT_WAIT {
                    sleep(pause).await;
                }
                began = Instant::now();
                attempts = 0;
                continue;
            }
            Ok(reply) if reply.code == HALTED => {
                report(servers.current(), &Delay::Halted);
                if expires(patience.total) {
                    return Err(ChildError::Held("the server is halted"));
                }
            }
            Ok(reply) if reply.code == ZOMBIE_HELD => {
                report(servers.current(), &Delay::Zombie);
                if expires(patience.zombie) {
                    return Err(ChildError::Held("the server takes the job for a zombie"));
                }
            }
            Ok(reply) => return Err(ChildError::Refused(reply)),
            Err(error @ (LinkError::Address(_) | LinkError::TokenFile { .. })) => {
                return Err(ChildError::Setup(error));
            }
            Err(error) => {
                report(servers.current(), &Delay::Away(&error));
                if expires(patience.total) {
                    return Err(ChildError::Expired(error));
                }
                servers.advance();
            }
        }
        sleep(pause).await;
    }
}

/// The pause after an attempt, of three quarters up to all of its time, so that jobs that lost
/// their server at the same moment do not come back at the same moment.
fn pause(attempts: u32) -> Duration {
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let seconds = PAUSES[step.min(PAUSES.len() - 1)];
    Duration::from_secs(seconds).mul_f64(1.0 - fastrand::f64() / 4.0)
}

async fn attempt(
    caller: &Caller,
    address: &Address,
    job: &Job,
    call: &ChildCall,
) -> Result<Reply, LinkError> {
    let limit = if matches!(call, ChildCall::Wait(_)) {
        WAIT_ATTEMPT
    } else {
        ATTEMPT
    };
    let link = caller.connect(address, ATTEMPT).await?;
    Ok(tell(&link, limit, job, call).await?)
}

async fn tell(
    link: &Link,
    limit: Duration,
    job: &Job,
    call: &ChildCall,
) -> Result<Reply, tce_runtime::RpcError> {
    use tce_runtime::TypedProxy;

    let jobs = link.jobs().with_timeout(limit);
    match call {
        ChildCall::Started(variables) => {
            let variables = variables.iter();
            let variables: Vec<_> = variables
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            jobs.started(job, &variables).await
        }
        ChildCall::Completed(removed) => {
            let removed: Vec<_> = removed.iter().map(ToString::to_string).collect();
            jobs.completed(job, &removed).await
        }
        ChildCall::Aborted(reason) => jobs.aborted(job, reason).await,
        ChildCall::Event(name, value) => jobs.set_event(job, name, *value).await,
        ChildCall::Meter(name, value) => jobs.set_meter(job, name, *value).await,
        ChildCall::Label(name, value) => jobs.set_label(job, name, value).await,
        ChildCall::Wait(expression) => jobs.wait_for(job, expression).await,
    }
}
