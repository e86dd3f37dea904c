//! A TCP proxy to the broker that a test can cut.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use crate::common::watching::within;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// Incremented to end all connections.
    cuts: u32,
    /// Whether new connections are accepted.
    is_open: bool,
    /// Whether the broker's bytes are forwarded.
    is_heard: bool,
}

pub(crate) struct Wire {
    port: u16,
    state: watch::Sender<State>,
    /// The number of open connections.
    connections: Arc<watch::Sender<u32>>,
}

impl Wire {
    pub(crate) async fn to(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let (state, _) = watch::channel(State {
            cuts: 0,
            is_open: true,
            is_heard: true,
        });
        let connections = Arc::new(watch::channel(0).0);
        tokio::spawn(accept(
            listener,
            broker,
            state.clone(),
            Arc::clone(&connections),
        ));
        Self {
            port,
            state,
            connections,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections; accepts new ones.
    pub(crate) async fn cut(&self) {
        self.close().await;
        self.open();
    }

    /// Ends all connections, and new ones as soon as they are accepted.
    pub(crate) async fn close(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.is_open = false;
        });
        self.connections(0).await;
    }

    pub(crate) fn open(&self) {
        self.state.send_modify(|state| state.is_open = true);
    }

    /// Forwards the broker's bytes, or holds them back.
    pub(crate) fn hear(&self, is_heard: bool) {
        self.state.send_modify(|state| state.is_heard = is_heard);
    }

    /// Waits for this number of connections.
    pub(crate) async fn connections(&self, count: u32) {
        let mut connections = self.connections.subscribe();
        within(connections.wait_for(|now| *now == count))
            .await
            .expect("the sender is ours");
    }
}

async fn accept(
    listener: TcpListener,
    broker: u16,
    state: watch::Sender<State>,
    connections: Arc<watch::Sender<u32>>,
) {
    while let Ok((near, _)) = listener.accept().await {
        let changes = state.subscribe();
        let begun = *changes.borrow();
        if !begun.is_open {
            continue;
        }
        connections.send_modify(|count| *count += 1);
        let connections = Arc::clone(&connections);
        tokio::spawn(async move {
            // Without the broker the connection ends, too.
            if let Ok(far) = TcpStream::connect(("127.0.0.1", broker)).await {
                carry(near, far, changes, begun).await;
            }
            connections.send_modify(|count| *count -= 1);
        });
    }
}

async fn carry(near: TcpStream, far: TcpStream, mut state: watch::Receiver<State>, begun: State) {
    let (near_source, near_sink) = near.into_split();
    let (far_source, far_sink) = far.into_split();
    let heard = state.clone();
    tokio::select! {
        biased;
        _ = state.wait_for(|now| now.cuts != begun.cuts) => {}
        () = pump(near_source, far_sink, None) => {}
        () = pump(far_source, near_sink, Some(heard)) => {}
    }
}

async fn pump(
    mut source: OwnedReadHalf,
    mut sink: OwnedWriteHalf,
    mut heard: Option<watch::Receiver<State>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(size @ 1..) = source.read(&mut buffer).await {
        if let Some(heard) = &mut heard
            && heard.wait_for(|state| state.is_heard).await.is_err()
        {
            return;
        }
        if sink.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
}
