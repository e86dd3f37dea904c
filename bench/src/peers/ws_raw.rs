//! The floor for WebSocket: one binary message for each text, by tungstenite over tokio's TCP, as
//! in the fastest straightforward program.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config, client_async_with_config,
    tungstenite::{Bytes, Message, protocol::WebSocketConfig},
};

use super::tcp::{connect, listen, serve_each};
use crate::{
    case::LoadShape,
    control::ReceiveCounter,
    endpoint::{ServerAddress, ServerSetup},
    load::LoadGenerator,
    meter::{Measurement, Meter},
    payload::Payload,
};

type Socket = WebSocketStream<TcpStream>;

/// tungstenite clears its read buffer before each read: with the default of 128 KiB that costs more
/// than larger reads save.
fn config() -> Option<WebSocketConfig> {
    Some(
        WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(64 * 1024),
    )
}

pub(super) async fn server(setup: ServerSetup) -> Result<()> {
    let (listener, address) = listen().await?;
    setup.ready.announce(&address.to_string())?;
    match setup.case.shape {
        LoadShape::Oneway => {
            serve_each(listener, |stream| {
                count(stream, Arc::clone(&setup.received))
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
        // One write answers all messages of one read.
        while let Some(received) = message {
            match received? {
                Message::Binary(text) => socket.feed(Message::Binary(text)).await?,
                Message::Close(_) => return Ok(()),
                other => bail!("unexpected message {other:?}"),
            }
            message = socket.next().now_or_never().flatten();
        }
        socket.flush().await?;
    }
    Ok(())
}

async fn count(stream: TcpStream, received: Arc<ReceiveCounter>) -> Result<()> {
    let mut socket = accept_async_with_config(stream, config()).await?;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Binary(text) => received.record(&text),
            Message::Close(_) => return Ok(()),
            other => bail!("unexpected message {other:?}"),
        }
    }
    Ok(())
}

pub(super) async fn client(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    match load.case.shape {
        LoadShape::Oneway => send_oneway(server, load).await,
        _ => call_in_batches(server, load).await,
    }
}

async fn open(server: &ServerAddress) -> Result<Socket> {
    let stream = connect(&server.endpoint).await?;
    let url = format!("ws://{}/", server.endpoint);
    let (socket, _) = client_async_with_config(url, stream, config()).await?;
    Ok(socket)
}

async fn call_in_batches(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    let shape = load.case.shape;
    let meter = Arc::new(Meter::new(shape.connections(), load.extent)?);
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
    while meter.has_more(nth) {
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

/// Sends all texts and reads all answers. Both at once: a large batch exceeds the sockets' buffers.
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
            let answer = receiver
                .next()
                .await
                .context("the server closed the connection")??;
            ensure!(answer.is_binary(), "unexpected message {answer:?}");
            payload.check(nth, &answer.into_data())?;
        }
        Ok(())
    };
    tokio::try_join!(send, receive)?;
    Ok(())
}

async fn send_oneway(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    let mut socket = open(server).await?;
    let meter = Meter::new(1, load.extent)?;
    let payload = Payload::new(0, load.case.payload);
    let text = Bytes::copy_from_slice(payload.text().as_bytes());
    let sender = async {
        let mut sent = 0;
        while meter.has_more(sent) {
            socket.feed(Message::Binary(text.clone())).await?;
            sent += 1;
            // A socket that is always writable would keep the clock's task from running.
            tokio::task::coop::consume_budget().await;
        }
        socket.close(None).await?;
        Ok(sent)
    };
    load.measure_oneway(server.control, &meter, sender).await
}
