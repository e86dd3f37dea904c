//! A servant on interface 2, and a server with it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tce_runtime::{
    Adapter, Communicator, ConnectionEvent, ErrorCode, Fault, IncomingCall, Proxy, RpcError,
    Servant,
    config::{Endpoint, Options},
    wire::Operation,
};
use tokio::sync::{Semaphore, mpsc, watch};

/// `string echo(string text)`
pub(crate) const ECHO: Operation = Operation::new("probe::Probe::echo", 2, 0);
/// `void sleep(int milliseconds)`
pub(crate) static SLEEP: Operation = Operation::new("probe::Probe::sleep", 2, 1);
/// `void panicNow()`: panics before the servant's first await
pub(crate) static PANIC_NOW: Operation = Operation::new("probe::Probe::panicNow", 2, 2);
/// `void panicLater()`: panics after the servant's first await
pub(crate) const PANIC_LATER: Operation = Operation::new("probe::Probe::panicLater", 2, 3);
/// `void fail(int code, string text)`
pub(crate) const FAIL: Operation = Operation::new("probe::Probe::fail", 2, 4);
/// `void note(int number)`: recorded in [`State::notes`]
pub(crate) const NOTE: Operation = Operation::new("probe::Probe::note", 2, 5);
/// `void gate()`: waits for a permit of [`State::gate`]
pub(crate) const GATE: Operation = Operation::new("probe::Probe::gate", 2, 6);
/// `dictionary<string,string> circumstances()`: returns the extra of the call,
/// and sets `answer=42` in the extra of the RETURN
pub(crate) const CIRCUMSTANCES: Operation = Operation::new("probe::Probe::circumstances", 2, 7);
/// `string callBack(string text)`: returns the result of the caller's own `echo`
pub(crate) static CALL_BACK: Operation = Operation::new("probe::Probe::callBack", 2, 8);
/// `sequence<byte> blob(sequence<byte> data)`
pub(crate) static BLOB: Operation = Operation::new("probe::Probe::blob", 2, 9);
/// `sequence<byte> grow(int size)`: returns `size` bytes
pub(crate) static GROW: Operation = Operation::new("probe::Probe::grow", 2, 10);
/// `void slowNote(int number)`: as `note`, after it has yielded once
pub(crate) static SLOW_NOTE: Operation = Operation::new("probe::Probe::slowNote", 2, 11);
/// `void pushBack(int number)`: calls the caller's own `note` oneway
pub(crate) static PUSH_BACK: Operation = Operation::new("probe::Probe::pushBack", 2, 12);
/// `void leak(int kind, string secret)`: fails with an error that holds the secret
pub(crate) static LEAK: Operation = Operation::new("probe::Probe::leak", 2, 13);
/// `int descend(int depth)`: calls the caller's own `descend` with a depth of one
/// less, down to 0, and returns how often
pub(crate) static DESCEND: Operation = Operation::new("probe::Probe::descend", 2, 14);
/// An operation that the probe does not have.
pub(crate) static UNKNOWN_OPERATION: Operation = Operation::new("probe::Probe::unknown", 2, 99);
/// An operation of an interface without a servant.
pub(crate) static UNKNOWN_INTERFACE: Operation = Operation::new("probe::Unknown::unknown", 77, 0);

/// What the servant has recorded, and the gate at which its calls wait.
pub(crate) struct State {
    pub(crate) notes: Mutex<Vec<i32>>,
    /// Number of notes.
    pub(crate) noted: watch::Sender<usize>,
    /// Number of calls that have reached the gate.
    pub(crate) at_gate: watch::Sender<usize>,
    /// Calls of `slowNote` that run now, and the largest number so far.
    pub(crate) running: Mutex<(usize, usize)>,
    pub(crate) gate: Semaphore,
}

impl Default for State {
    fn default() -> Self {
        Self {
            notes: Mutex::default(),
            noted: watch::channel(0).0,
            at_gate: watch::channel(0).0,
            running: Mutex::default(),
            gate: Semaphore::new(0),
        }
    }
}

impl State {
    fn note(&self, number: i32) {
        self.notes.lock().unwrap().push(number);
        self.noted.send_modify(|count| *count += 1);
    }

    async fn slow_note(&self, number: i32) {
        {
            let mut running = self.running.lock().unwrap();
            running.0 += 1;
            running.1 = running.1.max(running.0);
        }
        tokio::task::yield_now().await;
        self.running.lock().unwrap().0 -= 1;
        self.note(number);
    }

    async fn wait_at_gate(&self) {
        self.at_gate.send_modify(|count| *count += 1);
        self.gate
            .acquire()
            .await
            .expect("the gate is never closed")
            .forget();
    }

    /// Waits until `count` calls have reached the gate.
    pub(crate) async fn gate_reached(&self, count: usize) {
        reached(&self.at_gate, count).await;
    }

    /// Waits until there are `count` notes.
    pub(crate) async fn notes_reached(&self, count: usize) {
        reached(&self.noted, count).await;
    }
}

async fn reached(counter: &watch::Sender<usize>, count: usize) {
    let mut counter = counter.subscribe();
    super::watching::within(counter.wait_for(|now| *now >= count))
        .await
        .expect("the caller holds the sender");
}

/// The servant.
#[derive(Default, Clone)]
pub(crate) struct Probe(pub(crate) Arc<State>);

/// An internal error, converted by `?` or by [`Fault::internal`].
fn leak(kind: i32, secret: &str) -> Result<(), Fault> {
    match kind {
        0 => Err(std::io::Error::other(secret.to_owned()))?,
        1 => Err(RpcError::new(ErrorCode::ConnectFailed, secret))?,
        2 => secret.parse::<f32>().map(drop).map_err(|error| {
            let error: Box<dyn std::error::Error> = format!("{secret}: {error}").into();
            Fault::internal(error)
        })?,
        _ => Err(Fault::internal(secret))?,
    }
    Ok(())
}

fn fault(code: i32, text: String) -> Fault {
    Fault::new(ErrorCode::from_wire(code.unsigned_abs()), text)
}

impl Servant for Probe {
    fn interfaces(&self) -> &[u16] {
        &[2]
    }

    fn operation(&self, ifidx: u16, opidx: u16) -> Option<Operation> {
        let known = [ECHO, PANIC_LATER, FAIL, NOTE, GATE, CIRCUMSTANCES];
        let is_called = |it: &Operation| (it.ifidx(), it.opidx()) == (ifidx, opidx);
        known.into_iter().find(is_called)
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        let state = &self.0;
        match call.opidx() {
            0 => call.run(state, |_, (text,): (String,), ctx| async move {
                (ctx, Ok(text))
            }),
            1 => call.run(state, |_, (time,): (i32,), ctx| async move {
                tokio::time::sleep(Duration::from_millis(time.unsigned_abs().into())).await;
                (ctx, Ok(()))
            }),
            2 => call.run(state, |_, (), ctx| async move {
                if ctx.user_id().is_none() {
                    panic!("on purpose, at once");
                }
                (ctx, Ok(()))
            }),
            3 => call.run(state, |_, (), ctx| async move {
                tokio::task::yield_now().await;
                if ctx.user_id().is_none() {
                    panic!("on purpose, later");
                }
                (ctx, Ok(()))
            }),
            4 => call.run(state, |_, (code, text): (i32, String), ctx| async move {
                (ctx, Err::<(), _>(fault(code, text)))
            }),
            5 => call.run(state, |state, (number,): (i32,), ctx| async move {
                state.note(number);
                (ctx, Ok(()))
            }),
            6 => call.run(state, |state, (), ctx| async move {
                state.wait_at_gate().await;
                (ctx, Ok(()))
            }),
            _ => self.dispatch_more(call),
        }
    }
}

impl Probe {
    fn dispatch_more(&self, call: IncomingCall<'_>) {
        let state = &self.0;
        match call.opidx() {
            7 => call.run(state, |_, (), ctx| async move {
                ctx.return_extra("answer", "42");
                let pairs = ctx.extra().iter();
                let seen: BTreeMap<String, String> = pairs
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect();
                (ctx, Ok(seen))
            }),
            8 => call.run(state, |_, (text,): (String,), ctx| async move {
                let caller = Proxy::to_caller(&ctx);
                let answer = caller.call::<_, String>(&ECHO, (text,)).await;
                let to_fault =
                    |error: RpcError| Fault::new(ErrorCode::RemoteException, error.to_string());
                (ctx, answer.map_err(to_fault))
            }),
            9 => call.run(state, |_, (data,): (Vec<u8>,), ctx| async move {
                (ctx, Ok(data))
            }),
            10 => call.run(state, |_, (size,): (i32,), ctx| async move {
                let size = usize::try_from(size).unwrap_or_default();
                (ctx, Ok(vec![7_u8; size]))
            }),
            11 => call.run(state, |state, (number,): (i32,), ctx| async move {
                state.slow_note(number).await;
                (ctx, Ok(()))
            }),
            12 => call.run(state, |_, (number,): (i32,), ctx| async move {
                let pushed = Proxy::to_caller(&ctx).oneway(&NOTE, (number,)).await;
                (ctx, pushed.map_err(Fault::from))
            }),
            13 => call.run(state, |_, (kind, secret): (i32, String), ctx| async move {
                (ctx, leak(kind, &secret))
            }),
            14 => call.run(state, |_, (depth,): (i32,), ctx| async move {
                // The call back is made later than the CALL is served.
                tokio::task::yield_now().await;
                if depth == 0 {
                    return (ctx, Ok(0));
                }
                let caller = Proxy::to_caller(&ctx);
                let below = caller.call::<_, i32>(&DESCEND, (depth - 1,)).await;
                let to_fault =
                    |error: RpcError| Fault::new(ErrorCode::RemoteException, error.to_string());
                (ctx, below.map(|count| count + 1).map_err(to_fault))
            }),
            _ => call.unknown_operation(),
        }
    }
}

/// A server with a [`Probe`].
pub(crate) struct Server {
    pub(crate) communicator: Communicator,
    pub(crate) adapter: Adapter,
    pub(crate) probe: Arc<State>,
}

/// A server on any free port.
pub(crate) async fn serve(options: Options) -> Server {
    serve_at("tcp://127.0.0.1:0", options).await
}

/// A server on an endpoint.
pub(crate) async fn serve_at(endpoint: &str, options: Options) -> Server {
    let communicator = Communicator::with_options(options);
    let adapter = Adapter::listen(&communicator, endpoint)
        .await
        .expect("the port is free");
    let probe = Probe::default();
    adapter.add_servant(probe.clone()).start();
    Server {
        communicator,
        adapter,
        probe: probe.0,
    }
}

impl Server {
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.adapter.endpoint()
    }

    /// A proxy with the default options, on a connection of its own.
    pub(crate) async fn proxy(&self) -> Proxy {
        self.proxy_with(Options::default()).await
    }

    /// A proxy of a communicator of its own.
    pub(crate) async fn proxy_with(&self, options: Options) -> Proxy {
        let communicator = Communicator::with_options(options);
        connect(&communicator, self.endpoint()).await
    }
}

/// A proxy on a new connection.
pub(crate) async fn connect(communicator: &Communicator, endpoint: &Endpoint) -> Proxy {
    Proxy::connect(communicator, &endpoint.to_string())
        .await
        .expect("the server listens")
}

/// Asserts that a call of the proxy is answered.
pub(crate) async fn works(proxy: &Proxy) {
    let answer: String = super::watching::within(proxy.call(&ECHO, ("works",)))
        .await
        .expect("the server answers");
    assert_eq!(answer, "works");
}

/// A server, the client's proxy to it, and the server's proxy to that client.
pub(crate) async fn both_directions(options: Options, scheme: &str) -> (Server, Proxy, Proxy) {
    let server = serve_at(scheme, options.clone()).await;
    let (sender, mut receiver) = mpsc::channel(1);
    server.adapter.on_event(move |connection, event| {
        if *event == ConnectionEvent::Connected {
            sender.try_send(connection.clone()).unwrap();
        }
    });
    let communicator = Communicator::with_options(options);
    let forward = connect(&communicator, server.endpoint()).await;
    forward.connection().add_servant(Probe::default());
    let back = Proxy::new(&super::watching::within(receiver.recv()).await.unwrap());
    (server, forward, back)
}
