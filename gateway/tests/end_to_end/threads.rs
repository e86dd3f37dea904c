//! Gateways whose connections are served by several threads. The tests of this
//! program can all run so: `TCE_TEST_GATEWAY_THREADS=2`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, mpsc},
    thread::{self, ThreadId},
    time::Duration,
};

use tce_gateway::admin::SnapshotSource;
use tce_runtime::{Context, ErrorCode, Fault, TypedProxy};
use tce_tests::test::{
    ITerminalGatewayServer, ITerminalGatewayServerPrx, ITerminalGatewayServerServant,
};
use tokio::time::timeout;

use crate::common::{
    client::{Client, echo},
    house::{House, Server},
    plan::{FRONTS, Front, Plan},
    raw::{Message, Raw, RawServer, string},
    watching::{eventually, soon, within},
};

const TOKEN_LOGIN: [(&str, &str); 2] = [("userid_check", "true"), ("auth", "token")];

fn on_two_threads(plan: Plan) -> Plan {
    plan.property("threads", "2")
}

fn by_token(plan: Plan) -> Plan {
    let plan = on_two_threads(plan);
    TOKEN_LOGIN
        .iter()
        .fold(plan, |plan, (name, value)| plan.property(name, value))
}

/// A servant that returns on which thread it runs.
#[derive(Clone, Default)]
struct Threads(Arc<Mutex<HashMap<ThreadId, usize>>>);

impl ITerminalGatewayServer for Threads {
    async fn ping(&self, _: &Context) -> Result<(), Fault> {
        let mut seen = self.0.lock().unwrap();
        *seen.entry(thread::current().id()).or_default() += 1;
        Ok(())
    }
}

/// Connections of all kinds are divided between the threads, and none is served where
/// they are accepted.
#[tokio::test]
async fn connections_are_divided_between_the_threads() {
    let seen = Threads::default();
    let house = House::start_with(on_two_threads(Plan::direct()), |gateway| {
        gateway.servant(ITerminalGatewayServerServant::new(seen.clone()))
    })
    .await;
    let mut clients = Vec::new();
    for front in FRONTS {
        let client = house.client(front).await;
        let gateway = ITerminalGatewayServerPrx::new(client.server.connection());
        within(gateway.ping()).await.unwrap();
        client.works().await;
        clients.push(client);
    }
    let threads = seen.0.lock().unwrap().clone();
    assert!(!threads.contains_key(&thread::current().id()));
    // Each endpoint begins with the thread that has the fewest of the whole gateway.
    assert_eq!(threads.into_values().collect::<Vec<_>>(), [2, 2]);
    drop(clients);
    house.end().await;
}

/// RETURNs and pushes find their session on every thread, by sockets and by queues.
#[tokio::test]
async fn pushes_reach_the_users_of_all_threads() {
    for plan in [Plan::direct(), Plan::memory(), Plan::rabbitmq()] {
        let house = House::start(by_token(plan)).await;
        let mut users = Vec::new();
        for name in ["anna", "ben", "carl", "dora"] {
            let user = house.user(name).await;
            assert_eq!(user.who().await, name);
            users.push((name, user));
        }
        for from in 0..users.len() {
            for to in 0..users.len() {
                let text = format!("from-{from}");
                let push = format!("push {} {text}", users[to].0);
                assert_eq!(
                    within(users[from].1.server.echo(&push)).await.unwrap(),
                    "pushed"
                );
                assert_eq!(users[to].1.next_push().await, text);
            }
        }
        drop(users);
        house.end().await;
    }
}

/// The calls of each client reach the server in the order in which they were made.
#[tokio::test]
async fn the_calls_of_a_client_stay_in_order() {
    const CLIENTS: usize = 4;
    const CALLS: usize = 400;
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start(on_two_threads(plan)).await;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let client = house.client(Front::Socket).await;
            client.works().await;
            clients.push(client);
        }
        let sending = async {
            for call in 0..CALLS {
                for (number, client) in clients.iter().enumerate() {
                    let text = format!("{number} {call}");
                    within(client.server.heartbeat_oneway(&text)).await.unwrap();
                }
            }
        };
        let receiving = async {
            let mut next = [0; CLIENTS];
            for _ in 0..CLIENTS * CALLS {
                let heard = house.server().next_heard().await;
                let (number, call) = heard.split_once(' ').unwrap();
                let next = &mut next[number.parse::<usize>().unwrap()];
                assert_eq!(call.parse(), Ok(*next), "client {number}");
                *next += 1;
            }
        };
        tokio::join!(sending, receiving);
        drop(clients);
        house.end().await;
    }
}

/// Sixteen users, eight a thread, fill a server. Each may have a ninth of what is left:
/// together 76 of 90. If each thread had a limit of its own, they would have 110.
#[tokio::test]
async fn the_limit_of_calls_at_a_server_holds_for_all_threads_together() {
    for plan in [Plan::direct(), Plan::memory()] {
        let plan = by_token(plan).property("max_calls_per_upstream", "90");
        let house = House::start(plan).await;
        let mut users = Vec::new();
        for number in 0..16 {
            let mut user = house.raw().await;
            let token = format!("user{number}");
            let login = echo(1, "hello").with_extra(&[("__token__", &token)]);
            assert_eq!(user.call(&login).await.errcode, 0);
            let calls = (0..40).map(|call| echo(call, "gate").frame());
            user.send(&calls.collect::<Vec<_>>().concat()).await;
            users.push(user);
        }
        house.server().seen.gate_reached(60).await;
        // More would have arrived by then.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let in_flight = house.snapshot().totals.in_flight;
        assert!((60..=90).contains(&in_flight), "{in_flight}");
        house.server().seen.open_gate();
        for user in &mut users {
            for _ in 0..40 {
                assert_eq!(user.message().await.errcode, 0);
            }
        }
        assert_eq!(house.snapshot().totals.in_flight, 0);
        drop(users);
        house.end().await;
    }
}

#[tokio::test]
async fn a_second_login_ends_the_first_on_another_thread() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let house = House::start_with(by_token(Plan::direct()), |gateway| {
        let seen = Arc::clone(&seen);
        gateway.on_user(move |user, is_on_line| {
            seen.lock().unwrap().push((user.to_owned(), is_on_line));
        })
    })
    .await;
    let login = || echo(1, "who").with_extra(&[("__token__", "anna")]);
    let mut first = house.raw().await;
    assert_eq!(first.call(&login()).await.params, string("anna"));
    for _ in 0..20 {
        let mut second = house.raw().await;
        assert_eq!(second.call(&login()).await.params, string("anna"));
        first.closed().await;
        first = second;
    }
    assert_eq!(house.snapshot().users, 1);
    drop(first);
    eventually("she has gone", || house.snapshot().users == 0).await;
    let anna = |is_on_line| ("anna".to_owned(), is_on_line);
    eventually("both are reported", || events.lock().unwrap().len() == 2).await;
    assert_eq!(*events.lock().unwrap(), [anna(true), anna(false)]);
    house.end().await;
}

/// A user who reconnects again and again to either thread is on line after each login:
/// the events have the order of what they report.
#[tokio::test]
async fn events_of_users_are_in_order() {
    const ROUNDS: usize = 100;
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let house = House::start_with(by_token(Plan::direct()), |gateway| {
        let seen = Arc::clone(&seen);
        gateway.on_user(move |_, is_on_line| seen.lock().unwrap().push(is_on_line))
    })
    .await;
    let mut clients: Vec<Raw> = Vec::new();
    for round in 0..ROUNDS {
        let mut client = house.raw().await;
        let login = echo(1, "who").with_extra(&[("__token__", "anna")]);
        client.send(&login.frame()).await;
        if round % 2 == 0 {
            client.message().await;
        }
        clients.push(client);
        if round % 3 == 0 {
            clients.clear();
        }
    }
    drop(clients);
    eventually("she has gone", || house.gateway().connections() == 0).await;
    eventually("an event says so", || {
        events.lock().unwrap().last() == Some(&false)
    })
    .await;
    let events = events.lock().unwrap().clone();
    let in_turn = (0..events.len()).map(|nth| nth % 2 == 0);
    assert_eq!(events, in_turn.collect::<Vec<_>>());
    house.end().await;
}

/// Two clients, one on each thread.
async fn one_on_each(house: &House) -> [Client; 2] {
    let clients = [
        house.client(Front::Socket).await,
        house.client(Front::Socket).await,
    ];
    for client in &clients {
        client.works().await;
    }
    clients
}

/// A server that disconnects is lost for all threads, and is one server to those who
/// observe the gateway.
#[tokio::test]
async fn a_server_that_disconnects_fails_the_calls_of_all_threads() {
    let mut house = House::start(on_two_threads(Plan::direct())).await;
    let clients = one_on_each(&house).await;
    assert_eq!(house.snapshot().upstreams.len(), 1);
    let calls = clients.each_ref().map(|client| client.server.echo("gate"));
    house.server().seen.gate_reached(2).await;
    assert_eq!(house.snapshot().totals.in_flight, 2);
    let port = house.server().port();
    let server = house.servers.remove(0);
    server.communicator.shutdown(Duration::ZERO).await;
    for call in calls {
        let error = soon(call).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectionLost, "{error}");
    }
    eventually("it is not ready", || !house.is_up()).await;
    let next = Server::start_at(&house.plan, "next", port).await;
    house.servers.push(next);
    house.is_ready().await;
    for client in &clients {
        assert_eq!(within(client.server.datetime()).await.unwrap(), "next");
    }
    let snapshot = house.snapshot();
    assert_eq!(snapshot.upstreams.len(), 1);
    let calls: u64 = snapshot.routes.iter().map(|route| route.calls).sum();
    assert_eq!(calls, snapshot.totals.calls);
    drop(clients);
    house.end().await;
}

/// The end of one thread's connection costs the calls of that thread alone: those of
/// the other one are still answered.
#[tokio::test]
async fn a_lost_connection_fails_only_the_calls_that_it_carries() {
    let server = RawServer::listen().await;
    let plan = on_two_threads(Plan::direct());
    let house = House::before(plan, &[server.endpoint().port], |it| it).await;
    let mut links = [server.accept().await, server.accept().await];
    house.is_ready().await;
    let clients = [
        house.client(Front::Socket).await,
        house.client(Front::Socket).await,
    ];
    // Either link may belong to either thread.
    let calls = clients.each_ref().map(|client| client.server.echo("x"));
    let mut arrived: Vec<Message> = Vec::new();
    for link in &mut links {
        arrived.push(link.message().await);
    }
    let [lost, mut kept] = links;
    drop(lost);
    eventually("a call has failed", || {
        house.snapshot().totals.in_flight == 1
    })
    .await;
    let call = &arrived[1];
    let answer = Message {
        ifidx: call.ifidx,
        opidx: call.opidx,
        call_id: call.call_id,
        paramsize: 1,
        ..Message::returning(call.sequence, 0, string("kept"))
    };
    let user = call.extra("__user_id__").unwrap();
    kept.send(&answer.with_extra(&[("__user_id__", user)]).frame())
        .await;
    let mut results = Vec::new();
    for call in calls {
        results.push(soon(call).await.map_err(|error| error.code()));
    }
    results.sort_unstable_by_key(Result::is_err);
    let lost = Err(ErrorCode::ConnectionLost);
    assert_eq!(results, [Ok("kept".to_owned()), lost]);
    drop(clients);
    for gateway in &house.gateways {
        within(gateway.shutdown()).await;
    }
}

/// A reload moves the calls of all threads, and loses none.
#[tokio::test]
async fn a_reload_moves_the_calls_of_all_threads() {
    let mut house = House::start(on_two_threads(Plan::direct())).await;
    let clients = one_on_each(&house).await;
    let at_old = clients.each_ref().map(|client| client.server.echo("gate"));
    house.server().seen.gate_reached(2).await;
    let next = Server::start(&house.plan, "next").await;
    let text = std::fs::read_to_string(house.file()).unwrap();
    let port = |server: &Server| format!("127.0.0.1:{}\"", server.port());
    let changed = text.replace(&port(house.server()), &port(&next));
    assert_ne!(text, changed);
    std::fs::write(house.file(), changed).unwrap();
    house.servers.push(next);
    within(house.gateway().reload()).await.unwrap();
    house.is_ready().await;
    for client in &clients {
        assert_eq!(within(client.server.datetime()).await.unwrap(), "next");
    }
    house.server().seen.open_gate();
    for call in at_old {
        assert_eq!(within(call).await.unwrap(), "through");
    }
    drop(clients);
    house.end().await;
}

/// A shutdown lets the calls of all threads end, and refuses later ones.
#[tokio::test]
async fn a_shutdown_waits_for_the_calls_of_all_threads() {
    let house = House::start(on_two_threads(Plan::direct())).await;
    let clients = one_on_each(&house).await;
    let calls = clients.each_ref().map(|client| client.server.echo("gate"));
    house.server().seen.gate_reached(2).await;
    let ending = house.gateway().shutdown();
    let answering = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        house.server().seen.open_gate();
        for call in calls {
            assert_eq!(within(call).await.unwrap(), "through");
        }
    };
    let (ended, ()) = tokio::join!(within(ending), answering);
    assert!(ended, "all calls have ended in time");
}

/// A thread that is blocked, here by a listener of the program, is found: the check of
/// liveness waits for it. The clients of the other thread are served meanwhile.
#[tokio::test]
async fn a_thread_that_is_blocked_does_not_respond() {
    let (release, released) = mpsc::sync_channel::<()>(1);
    let released = Arc::new(Mutex::new(released));
    let house = House::start_with(by_token(Plan::direct()), |gateway| {
        let released = Arc::clone(&released);
        gateway.on_user(move |user, is_on_line| {
            if user == "blocker" && is_on_line {
                released.lock().unwrap().recv().unwrap_or_default();
            }
        })
    })
    .await;
    let source = house.gateway().source();
    within(source.responded()).await;
    let bystander = house.user("anna").await;
    bystander.works().await;
    let mut blocker = house.raw().await;
    let login = echo(1, "hello").with_extra(&[("__token__", "blocker")]);
    blocker.send(&login.frame()).await;
    within(async {
        let short = Duration::from_millis(50);
        while timeout(short, source.responded()).await.is_ok() {}
    })
    .await;
    bystander.works().await;
    release.send(()).unwrap();
    assert_eq!(blocker.message().await.errcode, 0);
    within(source.responded()).await;
    drop((bystander, blocker));
    house.end().await;
}

/// The limits of connections hold for all threads together.
#[tokio::test]
async fn the_limits_of_connections_hold_for_all_threads_together() {
    let plan = on_two_threads(Plan::direct()).property("max_connections_per_address", "3");
    let house = House::start(plan).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = house.raw().await;
        assert_eq!(client.call(&echo(1, "x")).await.errcode, 0);
        clients.push(client);
    }
    let mut refused = house.raw().await;
    let answer = refused.call(&echo(1, "x")).await;
    assert_eq!(answer.errcode, ErrorCode::ConnectReject.to_wire());
    clients.pop();
    eventually("it has gone", || house.gateway().connections() == 2).await;
    let mut next = house.raw().await;
    assert_eq!(next.call(&echo(1, "x")).await.errcode, 0);
    drop((clients, next));
    house.end().await;
}
