//! The other side of a WebSocket, implemented by a library without TCE.

use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use tce_runtime::config::{Endpoint, Options, TlsConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_async, client_async,
    tungstenite::{self, protocol::CloseFrame, protocol::frame::coding::CloseCode},
};

use crate::common::{raw::Message, watching::within};

/// A WebSocket without TCE.
pub(crate) struct Peer(pub WebSocketStream<TcpStream>);

impl Peer {
    /// A client of an adapter.
    pub(crate) async fn connect(endpoint: &Endpoint) -> Self {
        let socket = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
        let socket = socket.await.expect("the server listens");
        socket.set_nodelay(true).expect("the socket is open");
        let url = format!("ws://{}:{}{}", endpoint.host, endpoint.port, endpoint.path);
        let (socket, response) = client_async(url, socket).await.expect("the server agrees");
        let extensions = response.headers().get("Sec-WebSocket-Extensions");
        assert_eq!(extensions, None, "no extension is negotiated");
        Self(socket)
    }

    pub(crate) async fn send(&mut self, message: tungstenite::Message) {
        within(self.0.send(message))
            .await
            .expect("the peer accepts the message");
    }

    /// Sends bytes as one binary message.
    pub(crate) async fn send_bytes(&mut self, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.send(tungstenite::Message::Binary(bytes.into())).await;
    }

    pub(crate) async fn next(&mut self) -> tungstenite::Message {
        let next = within(self.0.next()).await;
        next.expect("the connection is open")
            .expect("the message is valid")
    }

    /// The next message from our side, which has to be one binary message that
    /// holds exactly one frame, not compressed.
    pub(crate) async fn frame(&mut self) -> Message {
        let tungstenite::Message::Binary(bytes) = self.next().await else {
            panic!("not a binary message")
        };
        assert_eq!(bytes[..4], [0xEF, 0xD2, 0xBB, 0x99]);
        let size = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
        assert_eq!(bytes.len(), size as usize + 4, "one message is one frame");
        assert_eq!(bytes[8..10], [0, 0], "neither compressed nor encrypted");
        Message::parse(&bytes[14..])
    }

    pub(crate) async fn call(&mut self, call: &Message) -> Message {
        self.send_bytes(call.frame()).await;
        self.frame().await
    }

    /// Reads until our side sends a close frame, and returns its code.
    pub(crate) async fn close_code(&mut self) -> Option<CloseCode> {
        let close = self.close_frame().await?;
        Some(close.code)
    }

    /// Reads until our side sends a close frame.
    pub(crate) async fn close_frame(&mut self) -> Option<CloseFrame> {
        while let Some(next) = within(self.0.next()).await {
            match next {
                Ok(tungstenite::Message::Close(close)) => return close,
                Ok(_) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// Waits for the end of the socket, and answers control frames until then.
    pub(crate) async fn ended(&mut self) {
        while let Some(Ok(_)) = within(self.0.next()).await {}
    }
}

/// A server whose WebSocket messages the test writes.
pub(crate) struct PeerServer(TcpListener);

impl PeerServer {
    pub(crate) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Self(listener.expect("there is a free port"))
    }

    pub(crate) fn endpoint(&self, query: &str) -> String {
        let port = self.0.local_addr().expect("it listens").port();
        format!("ws://127.0.0.1:{port}/tce{query}")
    }

    pub(crate) async fn accept(&self) -> Peer {
        let socket = self.accept_bare().await;
        Peer(
            accept_async(socket)
                .await
                .expect("the client sends an upgrade request"),
        )
    }

    pub(crate) async fn accept_bare(&self) -> TcpStream {
        within(self.0.accept()).await.expect("a client connects").0
    }
}

/// Options of a server with a new certificate, and of a client that trusts it.
pub(crate) fn tls(folder: &Path) -> (Options, Options) {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).expect("the names are valid");
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    std::fs::write(&certificate, made.cert.pem()).expect("the folder is writable");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("the folder is writable");
    let server = TlsConfig {
        certificate: Some(certificate.clone()),
        key: Some(key),
        ..TlsConfig::default()
    };
    let client = TlsConfig {
        authority: Some(certificate),
        ..TlsConfig::default()
    };
    let with = |tls| Options {
        tls,
        ..Options::default()
    };
    (with(server), with(client))
}
