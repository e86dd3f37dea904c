//! Many clients whose connections are cut at random, with a restart of the gateway: every
//! push is handled once.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use tce_runtime::{
    Communicator, Connection, ConnectionEvent, Context, Fault, TypedProxy,
    config::{Endpoint, Options},
};
use tce_test_faults::{Direction, FaultProxy};
use tce_test_redis::RedisServer;
use tce_tests::test::{ITerminal, ITerminalServant, ServerPrx};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{Pusher, resuming, shared};
use crate::common::{
    house::House,
    plan::{Front, Plan},
    watching::{eventually, resident, within},
};

/// The clients of the run under faults, and the proxies that they share.
const CLIENTS: usize = 200;
const WIRES: usize = 40;
/// Pushes a second, to all clients together.
const RATE: u32 = 1000;
/// The environment variable that sets the time of a run under faults, in seconds.
const FAULT_TIME: &str = "TCE_TEST_RESUME_SECONDS";

/// What one client of the run has received: numbers, which must come one after the other
/// except where a login has said that something is missing.
#[derive(Default)]
struct Checked {
    state: Mutex<CheckedState>,
}

#[derive(Default)]
struct CheckedState {
    next: u64,
    may_skip: bool,
    handled: u64,
    skipped: u64,
    resumed: u64,
    wrong: Vec<String>,
}

impl Checked {
    fn logged_in(&self, recovered: bool) {
        let mut state = self.state.lock().unwrap();
        state.resumed += 1;
        state.may_skip |= !recovered;
    }

    fn handle(&self, number: u64) {
        let state = &mut *self.state.lock().unwrap();
        if number < state.next || number > state.next && !state.may_skip {
            let expected = state.next;
            state.wrong.push(format!("{number} instead of {expected}"));
        }
        state.skipped += number.saturating_sub(state.next);
        state.may_skip = false;
        state.handled += 1;
        state.next = number + 1;
    }
}

struct CheckedListener(Arc<Checked>);

impl ITerminal for CheckedListener {
    async fn on_message(&self, message: String, _: &Context) -> Result<(), Fault> {
        self.0.handle(message.parse()?);
        Ok(())
    }
}

/// Passes connections on to a gateway that may change its address.
pub(crate) struct Relay {
    pub(crate) port: u16,
    pub(crate) target: watch::Sender<u16>,
}

impl Relay {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (target, targets) = watch::channel(target);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = ("127.0.0.1", *targets.borrow());
                tokio::spawn(async move {
                    if let Ok(mut gateway) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut client, &mut gateway).await;
                    }
                });
            }
        });
        Self { port, target }
    }
}

async fn checked_client(
    front: Front,
    address: &Endpoint,
    user: &str,
    wire: &FaultProxy,
) -> (Connection, Arc<Checked>) {
    let mut address = address.clone();
    address.port = wire.port();
    let communicator = Communicator::with_options(Options {
        token: Some(user.to_owned()),
        resume: true,
        ..Options::default()
    });
    let server = within(ServerPrx::connect(&communicator, &address.to_string())).await;
    let connection = server.expect("the gateway listens").connection().clone();
    let checked = Arc::new(Checked::default());
    let noted = Arc::clone(&checked);
    connection.on_event(move |_, event| {
        if let ConnectionEvent::Resumed { recovered } = event {
            noted.logged_in(*recovered);
        }
    });
    let listener = CheckedListener(Arc::clone(&checked));
    connection.add_servant(ITerminalServant::new(listener));
    let what = format!("the first login over {front:?}");
    eventually(&what, || connection.recovered().is_some()).await;
    (connection, checked)
}

/// Cuts connections at random: now, or within what is sent to their clients next.
async fn cut(wires: Vec<Arc<FaultProxy>>) {
    loop {
        sleep(Duration::from_millis(fastrand::u64(20..200))).await;
        let wire = &wires[fastrand::usize(..WIRES)];
        match fastrand::bool() {
            true => wire.cut(),
            false => {
                let after = fastrand::u64(1..200);
                wire.cut_after(Direction::ToClient, after);
            }
        }
    }
}

/// Pushes at [`RATE`] to users at random. Returns how many each has got.
async fn push_for(server: Pusher, time: Duration) -> Vec<u64> {
    let mut pushed = vec![0; CLIENTS];
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        sleep_until(start + Duration::from_secs(1) * count / RATE).await;
        let user = fastrand::usize(..CLIENTS);
        let text = pushed[user].to_string();
        server.push(&format!("user{user}"), &text).await;
        pushed[user] += 1;
        count += 1;
    }
    pushed
}

/// Every push is handled exactly once, or the client is told that something is missing,
/// while connections are cut and the gateway is restarted in the middle, if
/// `has_restart`.
async fn run_under_faults(plan: Plan, seconds: u64, has_restart: bool) {
    let time = std::env::var(FAULT_TIME).ok();
    let time = time.map_or(seconds, |text| text.parse().expect("a number"));
    let time = Duration::from_secs(time);
    let mut house = House::start(plan).await;
    let fronts = [Front::Socket, Front::WebSocket];
    let mut relays = Vec::new();
    for front in fronts {
        relays.push(Relay::start(house.address(front).port).await);
    }
    let wires = (0..WIRES).map(|number| {
        let port = relays[number % 2].port;
        Arc::new(FaultProxy::start(format!("127.0.0.1:{port}")))
    });
    let wires: Vec<_> = wires.collect();
    let connecting = (0..CLIENTS).map(async |number| {
        let (front, wire) = (fronts[number % 2], &wires[number % WIRES]);
        let user = format!("user{number}");
        checked_client(front, house.address(front), &user, wire).await
    });
    let clients = join_all(connecting).await;
    let memory = resident();
    let cutting = tokio::spawn(cut(wires.clone()));
    let pushing = tokio::spawn(push_for(Pusher::start(&house).await, time));
    if has_restart {
        sleep(time / 2).await;
        house.restart().await;
        for (front, relay) in fronts.into_iter().zip(&relays) {
            relay.target.send_replace(house.address(front).port);
        }
    }
    let pushed = pushing.await.unwrap();
    cutting.abort();
    let (mut handled, mut skipped, mut resumed) = (0, 0, 0);
    for (user, (_, checked)) in clients.iter().enumerate() {
        let what = format!("push {} of user{user}", pushed[user]);
        eventually(&what, || checked.state.lock().unwrap().next == pushed[user]).await;
        let state = checked.state.lock().unwrap();
        assert!(state.wrong.is_empty(), "user{user}: {:?}", state.wrong);
        handled += state.handled;
        skipped += state.skipped;
        resumed += state.resumed - 1;
    }
    let count: u64 = pushed.iter().sum();
    println!(
        "{count} pushes, {handled} handled, {skipped} reported missing, {resumed} resumes, \
         {} KiB before, {} KiB after",
        memory >> 10,
        resident() >> 10
    );
    assert_eq!(handled + skipped, count);
    assert_eq!(skipped, 0, "the histories are large enough");
    assert_eq!(house.drops("user_gone"), 0);
    drop(clients);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_faults_each_push_is_handled_once() {
    run_under_faults(resuming(), 20, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_faults_and_with_a_restart_each_push_is_handled_once() {
    let redis = RedisServer::start();
    run_under_faults(shared(&redis), 10, true).await;
}
