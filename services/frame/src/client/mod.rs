//! A client of the agents of a namespace: calls of functions, and commands to all agents.

use std::{future::Future, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tce_runtime::{
    Communicator, Connection, ErrorCode, Replies, RpcError, TypedMulti as _, TypedProxy,
    config::Options,
    forwarding::{NO_QUEUE, NO_READER},
};

use crate::{
    broker::{Broker, BrokerError, COMMANDS},
    config::is_name,
    idl::frame::{Change, FunctionsPrx, ManagementMulti},
};

/// Why a call or a command failed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The namespace is no name.
    #[error("`{0}` can't be a namespace: take 1 to 64 letters, digits, `_`, `.` and `-`")]
    Namespace(String),
    /// The URI of the broker is wrong.
    #[error("{0}")]
    Broker(#[from] BrokerError),
    /// There is no agent in the namespace.
    #[error("no agent in namespace {0}")]
    NoAgent(String),
    /// No agent hosts the service, or it has no such function.
    #[error("no agent in namespace {namespace} has the service {name}")]
    UnknownService {
        /// The namespace.
        namespace: String,
        /// `base__function`.
        name: String,
    },
    /// The function has raised an exception.
    #[error("{kind}: {message}")]
    Raised {
        /// The class of the exception, `ZeroDivisionError`.
        kind: String,
        /// Its text.
        message: String,
        /// Where it was raised; empty if the service does not say.
        traceback: String,
    },
    /// The arguments can't be sent, or the result is of another type.
    #[error("{0}")]
    Value(#[from] rmpv::ext::Error),
    /// The call failed for any other reason.
    #[error("{0}")]
    Call(RpcError),
}

/// A client of the agents of a namespace. Clones share its connection, which is made again when
/// it is lost.
///
/// ```no_run
/// # async fn run() -> Result<(), tce_frame::FrameError> {
/// use tce_frame::Frame;
///
/// let frame = Frame::connect("test", "amqp://guest:guest@localhost:5672/%2f").await?;
/// let sum = frame.call::<i64>("calculate__add", (1, 2)).await?;
/// println!("{sum}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Frame {
    broker: Broker,
    agents: ManagementMulti,
    timeout: Option<Duration>,
    _communicator: Communicator,
}

impl Frame {
    /// Connects to the broker, `amqp://user:password@host:port/vhost`.
    ///
    /// # Errors
    /// The namespace or the URI is wrong, or the broker can't be reached.
    pub async fn connect(namespace: &str, uri: &str) -> Result<Self, FrameError> {
        if !is_name(namespace) {
            let namespace = namespace.escape_debug().to_string();
            return Err(FrameError::Namespace(namespace));
        }
        let broker = Broker::new(uri, namespace)?;
        let communicator = Communicator::with_options(Options {
            names_broker_user: true,
            ..Options::default()
        });
        let opened = communicator.open_mq(broker.commands()).await;
        opened.map_err(FrameError::Call)?;
        let agents = ManagementMulti::connect(&communicator, &format!("mq:{COMMANDS}")).await;
        Ok(Self {
            broker,
            agents: agents.map_err(FrameError::Call)?,
            timeout: None,
            _communicator: communicator,
        })
    }

    /// The same client with another time limit for its calls and commands, by default 30 s.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            agents: self.agents.with_timeout(timeout),
            timeout: Some(timeout),
            ..self.clone()
        }
    }

    /// Calls a function, `base__function`, with a tuple of its arguments: `()`, `(1,)`,
    /// `(1, "two")`.
    ///
    /// # Errors
    /// [`FrameError::UnknownService`] at once if no agent hosts it, [`FrameError::Raised`] for an
    /// exception, [`FrameError::Value`] for arguments and results that do not fit, else
    /// [`FrameError::Call`].
    pub fn call<T: DeserializeOwned>(
        &self,
        name: &str,
        arguments: impl Serialize,
    ) -> impl Future<Output = Result<T, FrameError>> + Send {
        let packed = packed_arguments(arguments);
        let base = name.split_once("__").map_or(name, |(base, _)| base);
        let functions = self.proxy::<FunctionsPrx>(base);
        let (name, namespace) = (name.to_owned(), self.broker.namespace.clone());
        async move {
            let called = functions.call(&name, &packed?).await;
            let packed = called.map_err(|error| failed_call(error, &namespace, &name))?;
            let value = rmpv::decode::read_value(&mut packed.as_slice());
            let value = value.map_err(|error| rmpv::ext::Error::Syntax(error.to_string()))?;
            Ok(rmpv::ext::from_value(value)?)
        }
    }

    /// A proxy for a service with an interface of its own, a TCE package.
    #[must_use]
    pub fn proxy<P: TypedProxy>(&self, base: &str) -> P {
        let connection = self.service(base);
        let proxy = P::new(&connection);
        match self.timeout {
            Some(timeout) => proxy.with_timeout(timeout),
            None => proxy,
        }
    }

    /// The connection to the queue of a service.
    fn service(&self, base: &str) -> Connection {
        let commands = self.agents.as_multi().connection();
        let queue = self.broker.service_queue(base);
        // A topic is at a broker.
        commands
            .to_queue(&queue)
            .unwrap_or_else(|| commands.clone())
    }

    /// All agents, for their other commands; choose some by
    /// [`only`](tce_runtime::TypedMulti::only) and [`except`](tce_runtime::TypedMulti::except).
    #[must_use]
    pub fn agents(&self) -> &ManagementMulti {
        &self.agents
    }

    /// Updates a package at all agents that have it: what each of them answers.
    ///
    /// # Errors
    /// [`FrameError::NoAgent`] at once if there is none, else [`FrameError::Call`].
    pub async fn update(&self, change: &Change) -> Result<Replies<String>, FrameError> {
        let updated = self.agents.update(change).collect().await;
        updated.map_err(|error| self.failed_command(error))
    }

    /// Why a command to all agents has no replies.
    pub(crate) fn failed_command(&self, error: RpcError) -> FrameError {
        match error.text().starts_with(NO_READER) {
            true => FrameError::NoAgent(self.broker.namespace.clone()),
            false => FrameError::Call(error),
        }
    }
}

/// MessagePack of `[arguments, {}]`.
fn packed_arguments(arguments: impl Serialize) -> Result<Vec<u8>, rmpv::ext::Error> {
    let arguments = match rmpv::ext::to_value(arguments)? {
        rmpv::Value::Nil => rmpv::Value::Array(Vec::new()),
        rmpv::Value::Array(arguments) => rmpv::Value::Array(arguments),
        _ => {
            let text = "the arguments are no tuple: write `(1,)` for one";
            return Err(rmpv::ext::Error::Syntax(text.to_owned()));
        }
    };
    let call = rmpv::Value::Array(vec![arguments, rmpv::Value::Map(Vec::new())]);
    let mut packed = Vec::new();
    rmpv::encode::write_value(&mut packed, &call)
        .map_err(|error| rmpv::ext::Error::Syntax(error.to_string()))?;
    Ok(packed)
}

fn failed_call(error: RpcError, namespace: &str, name: &str) -> FrameError {
    let is_missing = error.text().starts_with(NO_QUEUE);
    match error.code() {
        ErrorCode::RemoteException => {
            let (head, traceback) = error.text().split_once('\n').unwrap_or((error.text(), ""));
            let (kind, message) = head.split_once(": ").unwrap_or((head, ""));
            FrameError::Raised {
                kind: kind.to_owned(),
                message: message.to_owned(),
                traceback: traceback.to_owned(),
            }
        }
        code if is_missing || code == ErrorCode::InterfaceNotFound => FrameError::UnknownService {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        _ => FrameError::Call(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_a_list_beside_an_empty_map() {
        let packed = |arguments: rmpv::Value| {
            let mut packed = Vec::new();
            let call = rmpv::Value::Array(vec![arguments, rmpv::Value::Map(Vec::new())]);
            rmpv::encode::write_value(&mut packed, &call).unwrap();
            packed
        };
        let list = |values: &[rmpv::Value]| packed(rmpv::Value::Array(values.to_vec()));
        assert_eq!(packed_arguments(()).unwrap(), list(&[]));
        assert_eq!(packed_arguments((1,)).unwrap(), list(&[1.into()]));
        let two = packed_arguments((1, "two")).unwrap();
        assert_eq!(two, list(&[1.into(), "two".into()]));
        assert!(
            packed_arguments(1)
                .unwrap_err()
                .to_string()
                .contains("(1,)")
        );
    }

    #[test]
    fn an_exception_is_taken_apart() {
        let text = "ZeroDivisionError: division by zero\nTraceback: line 1";
        let error = RpcError::new(ErrorCode::RemoteException, text);
        let failed = failed_call(error, "test", "calculate__minus");
        assert_eq!(failed.to_string(), "ZeroDivisionError: division by zero");
        let FrameError::Raised { traceback, .. } = failed else {
            panic!("{failed}");
        };
        assert_eq!(traceback, "Traceback: line 1");
    }
}
