//! Gateways behind proxies, which name the addresses of their clients.

use std::time::{Duration, Instant};

use tce_runtime::{ErrorCode, config::Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, client::IntoClientRequest, http::StatusCode},
};

use crate::{
    common::{
        client::{Client, echo},
        house::House,
        plan::{FRONTS, Front, Plan},
        raw::Raw,
        watching::{eventually, within},
    },
    peer::Peer,
};

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.9 4711 443\r\n";

/// The same client in version 2, with a field that balancers add.
fn v2() -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 192, 0, 2, 9, 0x12, 0x67, 1, 187];
    let fields = [4, 0, 2, 0, 0];
    [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11".as_slice(),
        &addresses,
        &fields,
    ]
    .concat()
}

/// A balancer on a port of its own, which sends `header` before the bytes of each client.
async fn balancer(target: u16, header: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let header = header.clone();
            tokio::spawn(async move {
                let mut gateway = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                gateway.write_all(&header).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut gateway).await;
            });
        }
    });
    port
}

/// The addresses of the clients, as the admin page shows them.
fn clients(house: &House) -> Vec<String> {
    let rows = house.snapshot().connections;
    let rows = rows.rows.into_iter();
    rows.map(|row| row.peer).collect()
}

fn behind_balancer() -> Plan {
    Plan::direct().at_fronts(r#" proxy_protocol="true""#)
}

async fn through(house: &House, front: Front, header: &[u8]) -> Client {
    let mut address = house.address(front).clone();
    address.port = balancer(address.port, header.to_vec()).await;
    let address = address.to_string();
    let client = Client::connect(&address, house.folder(), Options::default());
    client.await.expect("the gateway accepts the header")
}

#[tokio::test]
async fn a_balancer_names_the_client_over_every_transport() {
    for threads in ["1", "2"] {
        let house = House::start(behind_balancer().property("threads", threads)).await;
        for front in FRONTS {
            for header in [V1.to_vec(), v2()] {
                let client = through(&house, front, &header).await;
                client.works().await;
                assert_eq!(clients(&house), ["203.0.113.7:4711"]);
                drop(client);
                eventually("it has gone", || clients(&house).is_empty()).await;
            }
        }
        // The health check of a balancer.
        let client = through(&house, Front::Socket, b"PROXY UNKNOWN\r\n").await;
        client.works().await;
        assert!(clients(&house)[0].starts_with("127.0.0.1:"));
        drop(client);
        house.end().await;
    }
}

/// The limits count clients, not the balancer.
#[tokio::test]
async fn the_limits_of_an_address_are_those_of_the_client() {
    let plan = behind_balancer().property("max_connections_per_address", "2");
    let house = House::start(plan).await;
    for front in [Front::Socket, Front::WebSocket] {
        let mut admitted = Vec::new();
        for client in 1..=3 {
            let header = format!("PROXY TCP4 203.0.113.{client} 192.0.2.9 4711 443\r\n");
            for _ in 0..2 {
                let client = through(&house, front, header.as_bytes()).await;
                client.works().await;
                admitted.push(client);
            }
        }
        let header = b"PROXY TCP4 203.0.113.2 192.0.2.9 4711 443\r\n";
        let mut address = house.address(front).clone();
        address.port = balancer(address.port, header.to_vec()).await;
        let address = address.to_string();
        let refused = Client::connect(&address, house.folder(), Options::default());
        let code = match refused.await {
            Ok(client) => within(client.server.echo("x")).await.unwrap_err().code(),
            Err(error) => error.code(),
        };
        assert_eq!(code, ErrorCode::ConnectReject);
        drop(admitted);
        eventually("they have gone", || house.gateway().connections() == 0).await;
    }
    house.end().await;
}

#[tokio::test]
async fn a_connection_without_a_header_is_closed() {
    let house = House::start(behind_balancer()).await;
    let mut silent = Raw::connect(house.address(Front::Socket)).await;
    let mut slow = Raw::connect(house.address(Front::WebSocket)).await;
    slow.send(b"PROXY TCP4 203.0").await;
    let began = Instant::now();
    for front in FRONTS {
        for bytes in [
            echo(1, "x").frame(),
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            vec![0x16; 600],
            b"PROXY TCP4 203.0.113.7 192.0.2.9 4711 99999\r\n".to_vec(),
            [b"PROXY TCP4 ".as_slice(), &[b'1'; 500]].concat(),
        ] {
            let mut raw = Raw::connect(house.address(front)).await;
            raw.send(&bytes).await;
            raw.closed().await;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(4), "each at once");
    let client = through(&house, Front::Socket, V1).await;
    client.works().await;
    silent.closed().await;
    slow.closed().await;
    assert!(began.elapsed() < Duration::from_secs(8));
    assert_eq!(house.gateway().connections(), 1);
    drop(client);
    house.end().await;
}

/// A WebSocket client that sends this header.
async fn forwarded(house: &House, header: &str) -> Result<Peer, Error> {
    let port = house.address(Front::WebSocket).port;
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut request = format!("ws://127.0.0.1:{port}/").into_client_request()?;
    let value = header.parse().expect("it is a header");
    request.headers_mut().insert("X-Forwarded-For", value);
    let (socket, _) = client_async(request, socket).await?;
    Ok(Peer(socket))
}

#[tokio::test]
async fn trusted_proxies_alone_name_the_client_of_a_websocket() {
    for (trusted, header, client) in [
        ("127.0.0.0/8", "203.0.113.7", "203.0.113.7:0"),
        ("127.0.0.0/8", "203.0.113.7:4711", "203.0.113.7:4711"),
        ("127.0.0.1", "2001:db8::1", "[2001:db8::1]:0"),
        ("127.0.0.1", "[2001:db8::1]:4711", "[2001:db8::1]:4711"),
        // What the client itself has sent stands before it.
        (
            "127.0.0.1",
            "10.0.0.1, 6.6.6.6, 203.0.113.7",
            "203.0.113.7:0",
        ),
        (
            "127.0.0.1,10.0.0.0/8",
            "6.6.6.6, 203.0.113.7, 10.9.9.9",
            "203.0.113.7:0",
        ),
        ("127.0.0.1,::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7:0"),
        // A hop that is no address ends the chain at the proxy that has named it.
        (
            "127.0.0.1,10.0.0.0/8",
            "203.0.113.7, unknown, 10.9.9.9",
            "10.9.9.9:0",
        ),
        ("127.0.0.1", "unknown", "127.0.0.1:"),
        ("127.0.0.1", "", "127.0.0.1:"),
        // Not the proxy that is trusted.
        ("127.0.0.2", "203.0.113.7", "127.0.0.1:"),
        ("::1", "127.0.0.1", "127.0.0.1:"),
    ] {
        let attribute = format!(r#" forwarded_for="{trusted}""#);
        let house = House::start(Plan::direct().at_fronts(&attribute)).await;
        let mut page = forwarded(&house, header).await.unwrap();
        assert_eq!(page.call(&echo(1, "x")).await.errcode, 0);
        let seen = clients(&house);
        assert!(seen[0].starts_with(client), "{trusted} {header}: {seen:?}");
        drop(page);
        house.end().await;
    }
}

#[tokio::test]
async fn the_limits_of_an_address_are_those_of_the_client_that_a_proxy_names() {
    let plan = Plan::direct()
        .at_fronts(r#" forwarded_for="127.0.0.1""#)
        .property("max_connections_per_address", "1");
    let house = House::start(plan).await;
    let mut pages = Vec::new();
    for client in 1..=3 {
        let page = forwarded(&house, &format!("203.0.113.{client}")).await;
        pages.push(page.unwrap());
    }
    // A client that invents addresses before its own gains nothing.
    let refused = forwarded(&house, "198.51.100.1, 203.0.113.2").await;
    let Err(Error::Http(response)) = refused else {
        panic!("it was let in")
    };
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(pages);
    house.end().await;
}

/// The header comes first and the end of the client last, over a socket that is split.
#[tokio::test]
async fn a_header_in_pieces_is_read() {
    let house = House::start(behind_balancer()).await;
    let mut raw = Raw::connect(house.address(Front::Socket)).await;
    for piece in V1.chunks(7) {
        raw.send(piece).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(raw.call(&echo(1, "x")).await.errcode, 0);
    raw.0.shutdown().await.unwrap();
    assert_eq!(within(raw.0.read(&mut [0; 8])).await.unwrap(), 0);
    house.end().await;
}
