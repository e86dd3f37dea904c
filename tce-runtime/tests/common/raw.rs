//! Peers that write and read raw bytes: they implement `spec/wire.md` without
//! the runtime's own code.

use tce_runtime::config::Endpoint;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::watching::within;

pub(crate) const MAGIC: [u8; 4] = [0xEF, 0xD2, 0xBB, 0x99];
/// The frame's `version` as the existing Python implementation sends it.
pub(crate) const PYTHON: [u8; 4] = [1, 0, 0, 0];

/// A message, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) msgtype: u8,
    pub(crate) sequence: u32,
    pub(crate) calltype: u8,
    pub(crate) ifidx: u16,
    pub(crate) opidx: u16,
    pub(crate) errcode: u32,
    pub(crate) paramsize: u8,
    pub(crate) call_id: u16,
    pub(crate) extra: Vec<(String, String)>,
    pub(crate) params: Vec<u8>,
}

/// A marshalled string.
pub(crate) fn string(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("it is short");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// A marshalled int.
pub(crate) fn int(number: i32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

impl Message {
    /// A twoway call of an operation of the probe.
    pub(crate) fn call(sequence: u32, opidx: u16, params: Vec<u8>) -> Self {
        Self {
            msgtype: 1,
            sequence,
            calltype: 0x01,
            ifidx: 2,
            opidx,
            params,
            ..Self::default()
        }
    }

    /// A RETURN that matches its call by the sequence alone, as errors of
    /// legacy servants do.
    pub(crate) fn returning(sequence: u32, errcode: u32, params: Vec<u8>) -> Self {
        Self {
            msgtype: 1,
            sequence,
            calltype: 0x02,
            errcode,
            params,
            ..Self::default()
        }
    }

    pub(crate) fn with_extra(mut self, pairs: &[(&str, &str)]) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        self.extra = pairs.iter().map(owned).collect();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.msgtype];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.push(self.calltype);
        bytes.extend(self.ifidx.to_be_bytes());
        bytes.extend(self.opidx.to_be_bytes());
        bytes.extend(self.errcode.to_be_bytes());
        bytes.push(self.paramsize);
        bytes.extend(self.call_id.to_be_bytes());
        let count = u32::try_from(self.extra.len()).expect("the extra is small");
        bytes.extend(count.to_be_bytes());
        for (key, value) in &self.extra {
            bytes.extend(string(key));
            bytes.extend(string(value));
        }
        bytes.extend(&self.params);
        bytes
    }

    /// As a frame that the Python implementation would send.
    pub(crate) fn frame(&self) -> Vec<u8> {
        frame(0, &self.bytes())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut rest = Cursor(bytes);
        let mut message = Self {
            msgtype: rest.byte(),
            sequence: rest.number(4),
            calltype: rest.byte(),
            ifidx: rest.short(),
            opidx: rest.short(),
            errcode: rest.number(4),
            paramsize: rest.byte(),
            call_id: rest.short(),
            ..Self::default()
        };
        for _ in 0..rest.number(4) {
            message.extra.push((rest.string(), rest.string()));
        }
        message.params = rest.0.to_vec();
        message
    }

    pub(crate) fn extra(&self, key: &str) -> Option<&str> {
        let pair = self.extra.iter().find(|(name, _)| name == key);
        pair.map(|(_, value)| value.as_str())
    }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn number(&mut self, size: usize) -> u32 {
        let (number, rest) = self.0.split_at(size);
        self.0 = rest;
        number
            .iter()
            .fold(0, |number, byte| (number << 8) | u32::from(*byte))
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.number(1)).expect("it is one byte")
    }

    fn short(&mut self) -> u16 {
        u16::try_from(self.number(2)).expect("it is two bytes")
    }

    fn string(&mut self) -> String {
        let length = self.number(4) as usize;
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(text.to_vec()).expect("it is UTF-8")
    }
}

/// A frame with this payload, which the caller compresses if `compress` is 1.
pub(crate) fn frame(compress: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len() + 10).expect("it is short");
    let mut bytes = MAGIC.to_vec();
    bytes.extend(size.to_be_bytes());
    bytes.extend([compress, 0]);
    bytes.extend(PYTHON);
    bytes.extend(payload);
    bytes
}

/// A received frame.
#[derive(Debug)]
pub(crate) struct ReceivedFrame {
    pub(crate) compress: u8,
    pub(crate) version: [u8; 4],
    pub(crate) message: Message,
}

/// One end of a socket.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// A client of a server.
    pub(crate) async fn connect(endpoint: &Endpoint) -> Self {
        let socket = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
            .await
            .expect("the server listens");
        socket.set_nodelay(true).expect("the socket is open");
        Self(socket)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes))
            .await
            .expect("the peer accepts the bytes");
    }

    /// The next frame; `None` once the peer has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<ReceivedFrame> {
        let mut header = [0; 14];
        within(self.0.read_exact(&mut header)).await.ok()?;
        assert_eq!(header[..4], MAGIC);
        let size = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let mut payload = vec![0; size as usize - 10];
        within(self.0.read_exact(&mut payload)).await.ok()?;
        let plain = match header[8] {
            0 => payload,
            _ => inflate(&payload),
        };
        assert_eq!(header[9], 0, "frames are never encrypted");
        Some(ReceivedFrame {
            compress: header[8],
            version: [header[10], header[11], header[12], header[13]],
            message: Message::parse(&plain),
        })
    }

    /// The message of the next frame.
    pub(crate) async fn message(&mut self) -> Message {
        self.next().await.expect("the connection is open").message
    }

    /// Sends a call and reads the next message.
    pub(crate) async fn call(&mut self, call: &Message) -> Message {
        self.send(&call.frame()).await;
        self.message().await
    }

    /// Waits until the peer closes the connection, orderly or by a reset.
    pub(crate) async fn closed(&mut self) {
        let mut rest = [0; 4096];
        while let Ok(1..) = within(self.0.read(&mut rest)).await {}
    }
}

fn inflate(stream: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(stream);
    std::io::Read::read_to_end(&mut decoder, &mut plain).expect("it is a zlib stream");
    plain
}

/// A zlib stream of these bytes.
pub(crate) fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let level = flate2::Compression::best();
    let mut encoder = flate2::read::ZlibEncoder::new(plain, level);
    std::io::Read::read_to_end(&mut encoder, &mut stream).expect("compression in memory succeeds");
    stream
}

/// A server whose answers the test writes byte by byte.
pub(crate) struct RawServer(TcpListener);

impl RawServer {
    pub(crate) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Self(listener.expect("there is a free port"))
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let port = self.0.local_addr().expect("it listens").port();
        format!("tcp://127.0.0.1:{port}")
            .parse()
            .expect("it is an endpoint")
    }

    pub(crate) async fn accept(&self) -> Raw {
        let (socket, _) = within(self.0.accept()).await.expect("a client connects");
        Raw(socket)
    }
}
