//! Runs one case in one cell, step by step.

use std::time::Duration;

use serde_json::Value;
use tce_test_faults::{Direction, FaultProxy};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    case::{Arrivals, Call, Case, Expectation, ExpectedError, Finish, Network, Role, Step},
    matrix::{Cell, Transport},
    protocol::{CallError, Command, Mode, Outcome, Received},
    setting::{Credentials, Failure, Setting},
    values::{difference, expand, shown},
    wire_peer::{WireListener, WirePeer},
};

/// How long calls that have been sent may take to arrive.
const ARRIVAL_TIME: Duration = Duration::from_secs(10);
/// How long a call that may fail at first is repeated.
const RETRY_TIME: Duration = Duration::from_secs(15);
/// How long a client must make no connection: several times the pause before its first attempt.
const QUIET_TIME: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(10);

/// A case that is being run.
struct Run<'s, 'a> {
    setting: &'s mut Setting<'a>,
    network: Option<FaultProxy>,
    /// The driver's own end, where it is one of the sides.
    wire: Option<WirePeer>,
    listener: Option<WireListener>,
}

/// Runs a case, and closes its connection whatever happens.
pub(crate) async fn run(setting: &mut Setting<'_>, case: &Case, cell: Cell) -> Result<(), Failure> {
    setting.forget().await?;
    let mut run = Run {
        setting,
        network: None,
        wire: None,
        listener: None,
    };
    let outcome = run.run(case, cell.transport).await;
    // Before the client closes: what it has held back arrives.
    drop(run.network);
    drop((run.wire, run.listener));
    if case.driver_is != Some(Role::Client) && !outcome.as_ref().is_err_and(Failure::breaks_testee)
    {
        setting.ask(Role::Client, &Command::Close).await?;
    }
    outcome
}

impl Run<'_, '_> {
    async fn run(&mut self, case: &Case, transport: Transport) -> Result<(), Failure> {
        self.connect(case, transport).await?;
        for (index, step) in case.steps.iter().enumerate() {
            self.step(step).await.map_err(|failure| match failure {
                Failure::Case(text) => Failure::Case(format!("step {}: {text}", index + 1)),
                Failure::Testee(_) => failure,
            })?;
        }
        Ok(())
    }

    async fn connect(&mut self, case: &Case, transport: Transport) -> Result<(), Failure> {
        let is_websocket = transport == Transport::Ws;
        let credentials = Credentials {
            token: case.token.as_deref(),
            device_id: case.device_id.as_deref(),
            resume: case.resume,
        };
        match case.driver_is {
            Some(Role::Client) => {
                let port = self.setting.port(transport, case.serve).await?;
                self.wire = Some(WirePeer::connect(port, is_websocket).await?);
            }
            Some(Role::Server) => {
                let listener = WireListener::bind(is_websocket).await?;
                let connect = self
                    .setting
                    .connect(transport, listener.port()?, credentials);
                let (accepted, connected) = tokio::join!(listener.accept(), connect);
                connected?;
                self.wire = Some(accepted?);
                self.listener = Some(listener);
            }
            None => {
                let port = self.setting.port_for(transport, case.serve, case.resume);
                let mut port = port.await?;
                if case.has_network() {
                    let proxy = FaultProxy::start(format!("127.0.0.1:{port}"));
                    port = proxy.port();
                    self.network = Some(proxy);
                }
                self.setting.connect(transport, port, credentials).await?;
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Call(call) => self.each(call, |_| Mode::Twoway).await,
            Step::Oneway(call) => self.each(call, |_| Mode::Oneway).await,
            Step::Start(call) => self.start(call).await,
            Step::Finish(finish) => self.finish(finish).await,
            Step::Abandon(handle) => {
                let handle = handle.r#as.clone();
                self.setting
                    .ask(Role::Client, &Command::Abandon { handle })
                    .await?;
                Ok(())
            }
            Step::Received(arrivals) => self.received(arrivals).await,
            Step::Network(change) => Ok(self.change_network(change)?),
            Step::Drain => self.setting.drain_gateway().await,
            Step::Close => {
                self.wire = None;
                Ok(())
            }
            Step::Accept => {
                self.wire = Some(self.listener()?.accept().await?);
                Ok(())
            }
            Step::Quiet => match timeout(QUIET_TIME, self.listener()?.accept()).await {
                Ok(_) => Err(Failure::Case("the client has connected".to_owned())),
                Err(_) => Ok(()),
            },
            Step::Send(message) => Ok(self.wire()?.send(message).await?),
            Step::Expect(Expectation::Call(call)) => Ok(self.wire()?.expect_call(call).await?),
            Step::Expect(Expectation::Return(it)) => Ok(self.wire()?.expect_return(it).await?),
            Step::Expect(Expectation::Closed) => Ok(self.wire()?.expect_closed().await?),
        }
    }

    fn listener(&self) -> Result<&WireListener, String> {
        let listener = self.listener.as_ref();
        listener.ok_or_else(|| "the driver is not the server: set `driverIs`".to_owned())
    }

    fn wire(&mut self) -> Result<&mut WirePeer, String> {
        let wire = self.wire.as_mut();
        wire.ok_or_else(|| "the driver is none of the sides: set `driverIs`".to_owned())
    }

    async fn each(&mut self, call: &Call, mode: impl Fn(usize) -> Mode) -> Result<(), Failure> {
        for n in 0..call.count {
            let command = command(call, n, mode(n));
            let deadline = Instant::now() + RETRY_TIME;
            loop {
                let outcome = self.setting.call(&command).await?;
                let result = compare(&outcome, call.result.as_ref(), call.error.as_ref(), n);
                let Err(difference) = result else { break };
                if !call.eventually || Instant::now() > deadline {
                    return Err(Failure::Case(format!("{}: {difference}", call.operation)));
                }
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    async fn start(&mut self, call: &Call) -> Result<(), Failure> {
        let name = call.r#as.as_deref();
        let name = name.ok_or_else(|| "a started call needs a name: `as`".to_owned())?;
        for n in 0..call.count {
            let command = command(call, n, Mode::Start(numbered(name, n)));
            self.setting.ask(Role::Client, &command).await?;
        }
        Ok(())
    }

    async fn finish(&mut self, finish: &Finish) -> Result<(), Failure> {
        for n in 0..finish.count {
            let handle = numbered(&finish.r#as, n);
            let outcome = self
                .setting
                .call(&Command::Finish {
                    handle: handle.clone(),
                })
                .await?;
            compare(&outcome, finish.result.as_ref(), finish.error.as_ref(), n)
                .map_err(|difference| format!("{handle}: {difference}"))?;
            if let (Some(expected), Outcome::Result { extra, .. }) = (&finish.extra, &outcome)
                // Through a gateway the caller gets its own pairs back, too.
                && !extra.ends_with(expected)
            {
                let text = format!("{handle}: expected the extra {expected:?}, not {extra:?}");
                return Err(Failure::Case(text));
            }
        }
        Ok(())
    }

    /// Waits until the calls have arrived, and compares them.
    async fn received(&mut self, arrivals: &Arrivals) -> Result<(), Failure> {
        let repeated = arrivals.calls.iter();
        let expected: Vec<_> = repeated
            .flat_map(|arrival| (0..arrival.count).map(move |n| (arrival, n)))
            .collect();
        let deadline = Instant::now() + ARRIVAL_TIME;
        let received = loop {
            let answer = self.setting.ask(arrivals.by, &Command::Received).await?;
            let received: Vec<Received> =
                serde_json::from_value(answer).map_err(|error| error.to_string())?;
            if received.len() >= expected.len() || Instant::now() > deadline {
                break received;
            }
            sleep(PAUSE).await;
        };
        let names: Vec<_> = received.iter().map(|it| it.operation.as_str()).collect();
        if received.len() != expected.len() {
            let counts = format!("{} calls, not {}", expected.len(), received.len());
            return Err(Failure::Case(format!("expected {counts}: {names:?}")));
        }
        for ((arrival, n), received) in expected.into_iter().zip(&received) {
            let args = Value::Array(arrival.args.iter().map(|arg| expand(arg, n)).collect());
            let actual = Value::Array(received.args.clone());
            let fields = [
                (arrival.operation != received.operation)
                    .then(|| format!("expected {}, not {}", arrival.operation, received.operation)),
                difference(&args, &actual),
                arrival
                    .extra
                    .as_ref()
                    .filter(|extra| **extra != received.extra)
                    .map(|extra| format!("expected the extra {extra:?}, not {:?}", received.extra)),
                arrival
                    .is_oneway
                    .filter(|it| *it != received.is_oneway)
                    .map(|is_oneway| format!("expected oneway: {is_oneway}")),
            ];
            if let Some(text) = fields.into_iter().flatten().next() {
                let place = format!("the {n}th received call of {}", arrival.operation);
                return Err(Failure::Case(format!("{place}: {text}")));
            }
        }
        Ok(())
    }

    fn change_network(&self, change: &Network) -> Result<(), String> {
        let proxy = self
            .network
            .as_ref()
            .ok_or("there is no network between them")?;
        match change {
            Network::Pieces(size) => proxy.set_piece(Some(*size)),
            Network::Hold => {
                proxy.freeze(Direction::ToServer);
                proxy.freeze(Direction::ToClient);
            }
            Network::HoldAnswers => proxy.freeze(Direction::ToClient),
            Network::Pass => proxy.thaw(),
            Network::Cut => proxy.cut(),
        }
        Ok(())
    }
}

fn numbered(name: &str, n: usize) -> String {
    name.replace("$n", &n.to_string())
}

fn command(call: &Call, n: usize, mode: Mode) -> Command {
    Command::Call {
        operation: call.operation.clone(),
        args: call.args.iter().map(|arg| expand(arg, n)).collect(),
        mode,
        timeout_ms: call.timeout_ms,
        extra: call
            .extra
            .iter()
            .map(|(key, value)| (key.clone(), expanded_text(value, n)))
            .collect(),
    }
}

fn expanded_text(value: &Value, n: usize) -> String {
    expand(value, n).as_str().unwrap_or_default().to_owned()
}

/// Says how an outcome differs from what was expected; neither given means `void`.
fn compare(
    outcome: &Outcome,
    result: Option<&Value>,
    error: Option<&ExpectedError>,
    n: usize,
) -> Result<(), String> {
    match (outcome, error) {
        (Outcome::Result { value, .. }, None) => {
            let expected = result.map_or(Value::Null, |result| expand(result, n));
            difference(&expected, value).map_or(Ok(()), Err)
        }
        (Outcome::Result { value, .. }, Some(error)) => Err(format!(
            "expected error {}, not the result {}",
            error.code,
            shown(value)
        )),
        (Outcome::Error(actual), None) => Err(format!("expected a result, not {actual:?}")),
        (Outcome::Error(actual), Some(expected)) => compare_errors(expected, actual, n),
    }
}

fn compare_errors(expected: &ExpectedError, actual: &CallError, n: usize) -> Result<(), String> {
    let is_same = expected.code == actual.code
        && expected.side.as_ref().is_none_or(|it| *it == actual.side)
        && expected
            .text
            .as_ref()
            .is_none_or(|it| expanded_text(it, n) == actual.text)
        && expected
            .operation
            .as_ref()
            .is_none_or(|it| *it == actual.operation)
        && expected.can_retry.is_none_or(|it| it == actual.can_retry)
        && difference(&expand(&expected.exception, n), &actual.exception).is_none();
    if is_same {
        Ok(())
    } else {
        Err(format!("expected {expected:?}, not {actual:?}"))
    }
}
