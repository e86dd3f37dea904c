//! A minimal HTTP client.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The answer to a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Each line in lower case.
    headers: Vec<String>,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.iter();
        lines
            .filter_map(|line| line.split_once(": "))
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).expect(&self.body)
    }
}

/// Sends `GET path` with the server's address as `Host`.
pub(crate) async fn get(server: SocketAddr, path: &str) -> Answer {
    send(
        server,
        &format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n"),
    )
    .await
}

/// Sends the bytes of a request, and reads the answer to its end.
pub(crate) async fn send(server: SocketAddr, request: &str) -> Answer {
    let mut socket = TcpStream::connect(server).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect(&text);
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    Answer {
        status: status.parse().unwrap(),
        headers: lines.map(str::to_lowercase).collect(),
        body: body.to_owned(),
    }
}
