//! The floor for WebSocket: one binary message a text, by tungstenite over tokio's TCP, as the
//! fastest straightforward program would do it.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config, client_async_with_config,
    tungstenite::{Bytes, Message, protocol::WebSocketConfig},
};

use super::{
    Stand,
    tcp::{connect, listen, serve_each},
};
use crate::{
    case::Shape,
    control::Received,
    load::Load,
    meter::{Measurement, Meter},
    payload::Payload,
    process::Address,
};

type Socket = WebSocketStream<TcpStream>;

/// tungstenite clears its read buffer before each read: its default of 128 KiB costs more than it
/// saves.
fn config() -> Option<WebSocketConfig> {
    Some(
        WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(64 * 1024),
    )
}

pub(super) async fn server(stand: Stand) -> Result<()> {
    let (listener, address) = listen().await?;
    stand.ready.announce(&address.to_string())?;
    match stand.case.shape {
        Shape::Oneway => {
            serve_each(listener, |stream| {
                count(stream, Arc::clone(&stand.received))
            })
            .await
        }
        _ => serve_each(listener, echo).await,
    }
}

async fn echo(stream: TcpStream) -> Result<()> {
    let mut socket = accept_async_with_config(stream, config()).await?;
    while let Some(first) = socket.next().await {
        let mut message = Some(first);
        // All that one read brought is answered by one write.
        while let Some(received) = message {
            match received? {
                Message::Binary(text) => socket.feed(Message::Binary(text)).await?,
                Message::Close(_) => return Ok(()),
                other => bail!("{other:?} was not expected"),
            }
            message = socket.next().now_or_never().flatten();
        }
        socket.flush().await?;
    }
    Ok(())
}

async fn count(stream: TcpStream, received: Arc<Received>) -> Result<()> {
    let mut socket = accept_async_with_config(stream, config()).await?;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Binary(text) => received.note(&text),
            Message::Close(_) => return Ok(()),
            other => bail!("{other:?} was not expected"),
        }
    }
    Ok(())
}

pub(super) async fn client(server: &Address, load: &Load) -> Result<Measurement> {
    match load.case.shape {
        Shape::Oneway => send_oneway(server, load).await,
        _ => call_in_batches(server, load).await,
    }
}

async fn open(server: &Address) -> Result<Socket> {
    let stream = connect(&server.endpoint).await?;
    let url = format!("ws://{}/", server.endpoint);
    let (socket, _) = client_async_with_config(url, stream, config()).await?;
    Ok(socket)
}

async fn call_in_batches(server: &Address, load: &Load) -> Result<Measurement> {
    let shape = load.case.shape;
    let meter = Arc::new(Meter::new(shape.connections())?);
    let mut callers = JoinSet::new();
    for connection in 0..shape.connections() {
        let first = connection * shape.in_flight();
        let payloads = (first..first + shape.in_flight())
            .map(|caller| Payload::new(caller, load.case.payload))
            .collect();
        let socket = open(server).await?;
        callers.spawn(exchange_in_a_loop(socket, payloads, Arc::clone(&meter)));
    }
    load.measure(&meter, callers).await
}

async fn exchange_in_a_loop(
    mut socket: Socket,
    payloads: Vec<Payload>,
    meter: Arc<Meter>,
) -> Result<u64> {
    let texts: Vec<_> = payloads
        .iter()
        .map(|payload| Bytes::copy_from_slice(payload.text().as_bytes()))
        .collect();
    let calls = u64::try_from(payloads.len())?;
    let mut counted = 0;
    let mut nth = 0;
    while !meter.is_over() {
        let started = Instant::now();
        exchange(&mut socket, &texts, &payloads, nth).await?;
        nth += 1;
        if meter.is_measuring() {
            counted += calls;
            meter.record(started.elapsed());
        }
    }
    socket.close(None).await?;
    Ok(counted)
}

/// Sends all texts and reads them back: beside each other, since a large batch is more than the
/// sockets' buffers have to hold.
async fn exchange(
    socket: &mut Socket,
    texts: &[Bytes],
    payloads: &[Payload],
    nth: u64,
) -> Result<()> {
    let (mut sender, mut receiver) = socket.split();
    let send = async {
        for text in texts {
            sender.feed(Message::Binary(text.clone())).await?;
        }
        Ok(sender.flush().await?)
    };
    let receive = async {
        for payload in payloads {
            let answer = receiver.next().await.context("the server is gone")??;
            ensure!(answer.is_binary(), "{answer:?} was not expected");
            payload.check(nth, &answer.into_data())?;
        }
        Ok(())
    };
    tokio::try_join!(send, receive)?;
    Ok(())
}

async fn send_oneway(server: &Address, load: &Load) -> Result<Measurement> {
    let mut socket = open(server).await?;
    let meter = Meter::new(1)?;
    let payload = Payload::new(0, load.case.payload);
    let text = Bytes::copy_from_slice(payload.text().as_bytes());
    let sender = async {
        let mut sent = 0;
        while !meter.is_over() {
            socket.feed(Message::Binary(text.clone())).await?;
            sent += 1;
            // A socket that always has room would leave no time for the clock.
            tokio::task::coop::consume_budget().await;
        }
        socket.close(None).await?;
        Ok(sent)
    };
    load.measure_oneway(server.control, &meter, sender).await
}
