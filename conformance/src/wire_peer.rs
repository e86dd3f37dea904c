//! The driver as client or server: it sends the bytes that a case says, and compares
//! those that come.

use std::{collections::VecDeque, io::Write, net::Ipv4Addr, time::Duration};

use flate2::{Compression, write::ZlibEncoder};
use futures_util::{SinkExt, StreamExt};
use tce_runtime::wire::{Deframer, Header, Limits, Message as Decoded};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async, client_async, tungstenite::Message as WebSocketMessage,
};

use crate::case::{ExpectedMessage, Message, Part, Text, WireMessage};

/// How long a message, or the end of a connection, is waited for.
const MESSAGE_TIME: Duration = Duration::from_secs(10);
/// The pause between parts that are sent one after another, so that they arrive so.
const PART_PAUSE: Duration = Duration::from_millis(5);
const MAGIC: u32 = 0xefd2_bb99;
/// Of the header of a frame, its magic excluded.
const FRAME_OVERHEAD: usize = 10;
/// As the existing implementation for Java sends it.
const VERSION: u32 = 0x100;
const READ_SIZE: usize = 64 << 10;
/// Of the RETURN that says why a connection is closed.
const GOODBYE_SEQUENCE: u32 = u32::MAX;

const CALL: u8 = 0x01;
const RETURN: u8 = 0x02;
const ONEWAY: u8 = 0x20;

enum Stream {
    Tcp(TcpStream),
    WebSocket(Box<WebSocketStream<TcpStream>>),
}

/// One end of a connection.
pub(crate) struct WirePeer {
    stream: Stream,
    deframer: Deframer,
    received: VecDeque<ReceivedMessage>,
    /// The sequence of the last CALL that was received.
    last_sequence: u32,
}

/// Accepts the connections of a testee.
pub(crate) struct WireListener {
    listener: TcpListener,
    is_websocket: bool,
}

impl WireListener {
    /// Listens on a free port; as the server of WebSockets, if asked.
    pub(crate) async fn bind(is_websocket: bool) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        Ok(Self {
            listener: listener.map_err(|error| error.to_string())?,
            is_websocket,
        })
    }

    pub(crate) fn port(&self) -> Result<u16, String> {
        let address = self.listener.local_addr();
        Ok(address.map_err(|error| error.to_string())?.port())
    }

    /// Takes the next connection that the testee opens.
    pub(crate) async fn accept(&self) -> Result<WirePeer, String> {
        let accepted = async {
            let (socket, _) = self
                .listener
                .accept()
                .await
                .map_err(|error| error.to_string())?;
            if !self.is_websocket {
                return Ok(WirePeer::over(Stream::Tcp(socket)));
            }
            let socket = accept_async(socket)
                .await
                .map_err(|error| error.to_string())?;
            Ok(WirePeer::over(Stream::WebSocket(Box::new(socket))))
        };
        let accepted = timeout(MESSAGE_TIME, accepted).await;
        accepted.map_err(|_| "the client does not connect".to_owned())?
    }
}

/// A key and its value in extra, which need not be UTF-8.
type Pair = (Vec<u8>, Vec<u8>);

/// A message that has arrived.
struct ReceivedMessage {
    header: Header,
    extra: Vec<Pair>,
    params: Vec<u8>,
}

impl WirePeer {
    /// Opens a connection to a testee; as the client of a WebSocket, if asked.
    pub(crate) async fn connect(port: u16, is_websocket: bool) -> Result<Self, String> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await;
        let socket = socket.map_err(|error| error.to_string())?;
        if !is_websocket {
            return Ok(Self::over(Stream::Tcp(socket)));
        }
        let handshake = client_async(format!("ws://127.0.0.1:{port}/"), socket);
        let opened = timeout(MESSAGE_TIME, handshake).await;
        let (socket, _) = opened
            .map_err(|_| "no WebSocket handshake in time")?
            .map_err(|error| error.to_string())?;
        Ok(Self::over(Stream::WebSocket(Box::new(socket))))
    }

    fn over(stream: Stream) -> Self {
        Self {
            stream,
            deframer: Deframer::new(Limits::default()),
            received: VecDeque::new(),
            last_sequence: 1,
        }
    }

    /// Sends a message of a case.
    pub(crate) async fn send(&mut self, message: &Message) -> Result<(), String> {
        let parts = match message {
            Message::Call(call) => {
                let oneway = if call.is_oneway { ONEWAY } else { 0 };
                vec![frame(call, CALL | oneway, self.last_sequence)]
            }
            Message::Return(it) => vec![frame(it, RETURN, self.last_sequence)],
            Message::Bytes(writes) => writes.iter().map(|parts| bytes_of(parts)).collect(),
        };
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                tokio::time::sleep(PART_PAUSE).await;
            }
            self.write(part?).await?;
        }
        Ok(())
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        let written = async {
            match &mut self.stream {
                Stream::Tcp(socket) => {
                    let written = socket.write_all(&bytes).await;
                    written.map_err(|error| error.to_string())
                }
                Stream::WebSocket(socket) => {
                    let sent = socket.send(WebSocketMessage::binary(bytes)).await;
                    sent.map_err(|error| error.to_string())
                }
            }
        };
        let written = timeout(MESSAGE_TIME, written).await;
        written.map_err(|_| "the testee does not read".to_owned())?
    }

    /// Receives a CALL and compares it.
    pub(crate) async fn expect_call(&mut self, expected: &ExpectedMessage) -> Result<(), String> {
        let received = self.next().await?;
        if !received.header.calltype.is_call() {
            return Err(format!("expected a CALL, not {:?}", received.header));
        }
        self.last_sequence = received.header.sequence;
        compare(expected, &received)
    }

    /// Receives a RETURN and compares it.
    pub(crate) async fn expect_return(&mut self, expected: &ExpectedMessage) -> Result<(), String> {
        let received = self.next().await?;
        if !received.header.calltype.is_return() {
            return Err(format!("expected a RETURN, not {:?}", received.header));
        }
        compare(expected, &received)
    }

    /// Waits for the end of the connection, before which its peer may say why.
    pub(crate) async fn expect_closed(&mut self) -> Result<(), String> {
        loop {
            while let Some(received) = self.received.pop_front() {
                if received.header.sequence != GOODBYE_SEQUENCE {
                    return Err(format!("expected the end, not {:?}", received.header));
                }
            }
            if !self.fill().await? {
                return Ok(());
            }
        }
    }

    async fn next(&mut self) -> Result<ReceivedMessage, String> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Ok(message);
            }
            if !self.fill().await? {
                return Err("the testee has closed the connection".to_owned());
            }
        }
    }

    /// Reads once; false at the end of the connection.
    async fn fill(&mut self) -> Result<bool, String> {
        let read = timeout(MESSAGE_TIME, read(&mut self.stream)).await;
        let read = read.map_err(|_| format!("nothing came within {MESSAGE_TIME:?}"))?;
        let Some(bytes) = read else {
            return Ok(false);
        };
        let mut input = bytes.as_slice();
        while let Some(frame) = self
            .deframer
            .next(&mut input)
            .map_err(|error| error.to_string())?
        {
            let message = Decoded::parse(frame.payload, &Limits::default());
            let message = message.map_err(|error| error.to_string())?;
            let pairs = message.extra.raw();
            self.received.push_back(ReceivedMessage {
                header: message.header,
                extra: pairs
                    .entries()
                    .map(|(key, value)| (key.to_vec(), value.to_vec()))
                    .collect(),
                params: message.params.to_vec(),
            });
        }
        Ok(true)
    }
}

/// The next bytes; `None` at the end.
async fn read(stream: &mut Stream) -> Option<Vec<u8>> {
    match stream {
        Stream::Tcp(socket) => {
            let mut bytes = vec![0; READ_SIZE];
            // A reset is an end, too.
            let count = socket.read(&mut bytes).await.unwrap_or(0);
            bytes.truncate(count);
            (count > 0).then_some(bytes)
        }
        Stream::WebSocket(socket) => match socket.next().await {
            Some(Ok(WebSocketMessage::Close(_)) | Err(_)) | None => None,
            Some(Ok(WebSocketMessage::Binary(bytes))) => Some(bytes.into()),
            Some(Ok(_)) => Some(Vec::new()),
        },
    }
}

fn compare(expected: &ExpectedMessage, received: &ReceivedMessage) -> Result<(), String> {
    let header = &received.header;
    let shown = || {
        received
            .extra
            .iter()
            .map(|(key, value)| {
                let text = |bytes| String::from_utf8_lossy(bytes);
                format!("{}: {}", text(key), text(value))
            })
            .collect::<Vec<_>>()
    };
    let check = |name: &str, expected: Option<u32>, actual: u32| match expected {
        Some(expected) if expected != actual => Err(format!(
            "{name}: expected {expected}, not {actual} ({:?})",
            shown()
        )),
        _ => Ok(()),
    };
    check("error", Some(expected.error), header.errcode)?;
    check("sequence", expected.sequence, header.sequence)?;
    check(
        "interface",
        expected.interface.map(Into::into),
        header.ifidx.into(),
    )?;
    check(
        "operation",
        expected.operation.map(Into::into),
        header.opidx.into(),
    )?;
    check(
        "call id",
        expected.call_id.map(Into::into),
        header.call_id.into(),
    )?;
    if let Some(extra) = &expected.extra
        && pairs_of(extra)? != received.extra
    {
        return Err(format!("extra: expected {extra:?}, not {:?}", shown()));
    }
    if let Some(params) = &expected.params {
        let params = bytes_of(params)?;
        if params != received.params {
            let (left, right) = (hex(&params), hex(&received.params));
            return Err(format!("parameters: expected {left}, not {right}"));
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A message as a frame.
fn frame(message: &WireMessage, calltype: u8, last_sequence: u32) -> Result<Vec<u8>, String> {
    let mut payload = vec![1];
    payload.extend(message.sequence.unwrap_or(last_sequence).to_be_bytes());
    payload.push(message.calltype.unwrap_or(calltype));
    payload.extend(message.interface.to_be_bytes());
    payload.extend(message.operation.to_be_bytes());
    payload.extend(message.error.to_be_bytes());
    // The number of parameters, which receivers ignore.
    payload.push(0);
    payload.extend(message.call_id.to_be_bytes());
    let mut pairs = pairs_of(&message.extra)?;
    pairs.extend((0..message.extra_pairs).map(|it| (format!("key{it}").into(), Vec::new())));
    put_length(&mut payload, pairs.len())?;
    for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
        put_length(&mut payload, text.len())?;
        payload.extend(text);
    }
    payload.extend(bytes_of(&message.params)?);
    if message.zlib {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        let compressed = encoder.write_all(&payload).and_then(|()| encoder.finish());
        payload = compressed.map_err(|error| error.to_string())?;
        payload.resize(payload.len() + message.padding, 0);
    }
    let mut frame = MAGIC.to_be_bytes().to_vec();
    put_length(&mut frame, payload.len() + FRAME_OVERHEAD)?;
    frame.extend([u8::from(message.zlib), 0]);
    frame.extend(VERSION.to_be_bytes());
    frame.extend(payload);
    Ok(frame)
}

fn put_length(out: &mut Vec<u8>, length: usize) -> Result<(), String> {
    let length = u32::try_from(length).map_err(|_| "the message is too long")?;
    out.extend(length.to_be_bytes());
    Ok(())
}

fn bytes_of(parts: &[Part]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Part::U8(number) => bytes.push(*number),
            Part::U32(number) => bytes.extend(number.to_be_bytes()),
            Part::Text(text) => {
                put_length(&mut bytes, text.len())?;
                bytes.extend(text.as_bytes());
            }
            Part::Hex(digits) => bytes.extend(unhex(digits)?),
            Part::Zeros(count) => bytes.resize(bytes.len() + count, 0),
            Part::Repeat { hex, times } => bytes.extend(unhex(hex)?.repeat(*times)),
        }
    }
    Ok(bytes)
}

fn pairs_of(extra: &[(Text, Text)]) -> Result<Vec<Pair>, String> {
    let bytes = |text: &Text| match text {
        Text::Utf8(text) => Ok(text.clone().into_bytes()),
        Text::Hex { hex } => unhex(hex),
    };
    let pairs = extra.iter();
    pairs
        .map(|(key, value)| Ok((bytes(key)?, bytes(value)?)))
        .collect()
}

fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    let byte = |at| {
        let digits = digits.get(at..at + 2)?;
        u8::from_str_radix(digits, 16).ok()
    };
    let bytes: Option<Vec<_>> = (0..digits.len()).step_by(2).map(byte).collect();
    bytes.ok_or_else(|| format!("{digits} is not hexadecimal"))
}
