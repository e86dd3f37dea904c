//! Servers that are connected and do not answer, beside one that does.

use std::time::{Duration, Instant};

use tce_gateway::admin::UpstreamState;
use tce_runtime::ErrorCode;
use tce_test_faults::{Direction, FaultProxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::common::{
    client::Client,
    house::{House, Server},
    plan::{Front, Plan},
    raw::{Message, RawServer, string},
    scene::Scene,
    watching::{eventually, within},
};

/// The state of the server at a port.
fn state(house: &House, port: u16) -> UpstreamState {
    let upstreams = house.snapshot().upstreams;
    let address = format!("tcp://127.0.0.1:{port}");
    let row = upstreams.iter().find(|row| row.address == address);
    row.expect("it is in the file").state
}

async fn becomes(house: &House, port: u16, expected: UpstreamState) {
    let what = format!("the server is {expected:?}");
    eventually(&what, || state(house, port) == expected).await;
}

/// A gateway, a server, and another address in its place.
async fn beside(port: u16) -> House {
    let plan = Plan::direct()
        .property("upstream_ping_interval", "0.3")
        .property("call_time", "0.5");
    let near = Server::start(&plan, "near").await;
    let mut house = House::before(plan, &[port, near.port()], |it| it).await;
    house.servers.push(near);
    becomes(&house, house.server().port(), UpstreamState::Up).await;
    house
}

/// Four clients, two of which prefer each server.
async fn clients(house: &House) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(house.client(Front::Socket).await);
    }
    clients
}

/// Asserts that calls of all clients are answered, by the server near.
async fn all_are_answered(clients: &[Client]) {
    for client in clients {
        let answer = within(client.server.datetime()).await;
        assert_eq!(answer.unwrap(), "near");
    }
}

/// Answers pings of a gateway on one connection, until `is_silent` is sent; then it
/// reads on.
async fn answer_pings(mut socket: TcpStream, mut silence: tokio::sync::watch::Receiver<bool>) {
    let mut header = [0; 14];
    while socket.read_exact(&mut header).await.is_ok() {
        let size = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let mut payload = vec![0; size as usize - 10];
        socket.read_exact(&mut payload).await.unwrap();
        if *silence.borrow_and_update() {
            continue;
        }
        let call = Message::parse(&payload);
        let answer = Message {
            ifidx: call.ifidx,
            opidx: call.opidx,
            call_id: call.call_id,
            extra: call.extra.clone(),
            ..Message::returning(call.sequence, 0, string("far"))
        };
        socket.write_all(&answer.frame()).await.unwrap();
    }
}

/// It accepts connections, has answered pings, and becomes silent: as a process that
/// is stopped. When it answers again, it gets its clients back.
#[tokio::test]
async fn a_server_that_becomes_silent_loses_its_clients_until_it_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (silence, is_silent) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer_pings(socket, is_silent.clone()));
        }
    });
    let house = beside(port).await;
    becomes(&house, port, UpstreamState::Up).await;
    let clients = clients(&house).await;
    for client in &clients {
        within(client.server.datetime()).await.unwrap();
    }
    silence.send_replace(true);
    let began = Instant::now();
    becomes(&house, port, UpstreamState::Unhealthy).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    all_are_answered(&clients).await;
    silence.send_replace(false);
    becomes(&house, port, UpstreamState::Recovering).await;
    becomes(&house, port, UpstreamState::Up).await;
    let mut names = Vec::new();
    for client in &clients {
        names.push(within(client.server.datetime()).await.unwrap());
    }
    names.sort();
    assert_eq!(names, ["far", "far", "near", "near"]);
    drop(clients);
    house.end().await;
}

/// A gateway, a server near, and a server far behind a proxy with faults.
async fn through_proxy() -> (House, Server, FaultProxy) {
    let far = Server::start(&Plan::direct(), "far").await;
    let proxy = FaultProxy::start(format!("127.0.0.1:{}", far.port()));
    let house = beside(proxy.port()).await;
    becomes(&house, proxy.port(), UpstreamState::Up).await;
    // A server is judged by pings once it has answered the first one.
    tokio::time::sleep(Duration::from_millis(500)).await;
    (house, far, proxy)
}

/// Asserts that a fault takes the clients away from the server far, and that they get
/// it back.
async fn clients_leave_and_return(fault: impl Fn(&FaultProxy), repair: impl Fn(&FaultProxy)) {
    let (house, far, proxy) = through_proxy().await;
    let clients = clients(&house).await;
    fault(&proxy);
    becomes(&house, proxy.port(), UpstreamState::Unhealthy).await;
    all_are_answered(&clients).await;
    repair(&proxy);
    becomes(&house, proxy.port(), UpstreamState::Up).await;
    let mut names = Vec::new();
    for client in &clients {
        names.push(within(client.server.datetime()).await.unwrap());
    }
    assert!(names.contains(&"far".to_owned()), "{names:?}");
    drop(clients);
    house.end().await;
    drop(far);
}

/// Packets are dropped: a black hole.
#[tokio::test]
async fn a_server_that_gets_nothing_loses_its_clients() {
    let fault = |proxy: &FaultProxy| proxy.freeze(Direction::ToServer);
    clients_leave_and_return(fault, FaultProxy::thaw).await;
}

#[tokio::test]
async fn a_server_whose_answers_are_lost_loses_its_clients() {
    let fault = |proxy: &FaultProxy| proxy.freeze(Direction::ToClient);
    clients_leave_and_return(fault, FaultProxy::thaw).await;
}

#[tokio::test]
async fn a_server_that_is_too_slow_loses_its_clients() {
    let fault = |proxy: &FaultProxy| proxy.set_delay(Duration::from_secs(2));
    let repair = |proxy: &FaultProxy| proxy.set_delay(Duration::ZERO);
    clients_leave_and_return(fault, repair).await;
}

/// Connections that are lost again and again.
#[tokio::test]
async fn a_server_that_flaps_loses_its_clients() {
    let (house, far, proxy) = through_proxy().await;
    let clients = clients(&house).await;
    proxy.cut();
    becomes(&house, proxy.port(), UpstreamState::Unhealthy).await;
    for _ in 0..5 {
        all_are_answered(&clients).await;
        proxy.cut();
    }
    all_are_answered(&clients).await;
    drop(clients);
    house.end().await;
    drop(far);
}

/// The metrics name the host and the reason.
#[tokio::test]
async fn the_metrics_show_which_server_does_not_answer() {
    let far = Server::start(&Plan::direct(), "far").await;
    let proxy = FaultProxy::start(format!("127.0.0.1:{}", far.port()));
    let host = format!("host=\"tcp://127.0.0.1:{}\"", proxy.port());
    let edit = |text: String| {
        text.replace(
            "host=\"127.0.0.1:",
            &format!("host=\"127.0.0.1:{},127.0.0.1:", proxy.port()),
        )
    };
    let arguments = [
        "gw0",
        "--set",
        "admin=0",
        "--set",
        "upstream_ping_interval=0.3",
    ];
    let scene = Scene::start_with(Plan::direct(), &arguments, edit).await;
    let admin = scene.gateway.value("serving the admin page", "address");
    let lines = async |text: &str| {
        let mut socket = TcpStream::connect(&admin).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let lines = answer
            .lines()
            .filter(|line| line.contains(text) && line.contains(&host));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let show = async |text: &str, value: &str| {
        within(async {
            while !lines(text).await.iter().any(|line| line.ends_with(value)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    };
    show("backend_host_up", " 1").await;
    // A server that has never answered is not judged by pings.
    let _client = scene.client(0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.freeze(Direction::ToServer);
    show("backend_host_up", " 0").await;
    show("reason=\"it does not answer pings\"", " 1").await;
}

/// A TCE server without the built-in interface: it is judged by its calls.
#[tokio::test]
async fn a_server_that_has_never_answered_loses_its_clients_when_calls_time_out() {
    let silent = RawServer::listen().await;
    let port = silent.endpoint().port;
    let house = beside(port).await;
    let socket = silent.accept().await;
    becomes(&house, port, UpstreamState::Up).await;
    let clients = clients(&house).await;
    let mut timed_out = 0;
    while state(&house, port) != UpstreamState::Unhealthy {
        for client in &clients {
            match within(client.server.datetime()).await {
                Ok(name) => assert_eq!(name, "near"),
                Err(error) => {
                    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
                    timed_out += 1;
                }
            }
        }
        assert!(timed_out < 20, "it is never found out");
    }
    all_are_answered(&clients).await;
    drop((clients, socket));
    house.end().await;
}

/// It closes each connection after the first bytes.
#[tokio::test]
async fn a_server_of_another_protocol_loses_its_clients() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let http = async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 512];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            });
        }
    };
    tokio::spawn(http);
    let house = beside(port).await;
    becomes(&house, port, UpstreamState::Unhealthy).await;
    let clients = clients(&house).await;
    for _ in 0..10 {
        all_are_answered(&clients).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(clients);
    house.end().await;
}

/// Nothing listens there.
#[tokio::test]
async fn a_server_that_refuses_connections_gets_no_clients() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let house = beside(port).await;
    let clients = clients(&house).await;
    all_are_answered(&clients).await;
    assert_eq!(state(&house, port), UpstreamState::Down);
    drop(clients);
    house.end().await;
}

/// A client that moved stays where it is while it calls: its oneway calls keep
/// their order.
#[tokio::test]
async fn a_client_that_moved_keeps_the_order_of_its_calls() {
    let plan = Plan::direct();
    let (near, far) = (
        Server::start(&plan, "near").await,
        Server::start(&plan, "far").await,
    );
    let port = far.port();
    let mut house = House::before(plan, &[port, near.port()], |it| it).await;
    house.servers.push(near);
    house.is_ready().await;
    let clients = clients(&house).await;
    let mut at_far = None;
    for client in clients {
        if within(client.server.datetime()).await.unwrap() == "far" {
            at_far = Some(client);
        }
    }
    let client = at_far.expect("the clients share the servers");
    far.communicator.shutdown(Duration::ZERO).await;
    becomes(&house, port, UpstreamState::Down).await;
    for number in 0..100 {
        let text = format!("{number}");
        client.server.heartbeat_oneway(&text).await.unwrap();
        if number == 50 {
            house
                .servers
                .push(Server::start_at(&house.plan, "far", port).await);
            becomes(&house, port, UpstreamState::Recovering).await;
        }
    }
    for number in 0..100 {
        assert_eq!(house.server().next_heard().await, format!("{number}"));
    }
    drop(client);
    house.end().await;
}
