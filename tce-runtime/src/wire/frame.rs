//! Frames: how messages follow one another in a byte stream
//! (`spec/wire.md`, section 1).

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status};

use super::{FrameError, Limits};

/// Magic, size, compress, encrypt and version, in bytes.
pub const FRAME_HEADER_SIZE: usize = 14;
/// The version that we write, as Java and JavaScript do; nobody reads it.
pub const VERSION: u32 = 0x0000_0100;
/// A payload of more bytes than this is worth compressing.
pub const COMPRESS_THRESHOLD: usize = 100;

const MAGIC: u32 = 0xEFD2_BB99;
/// What `size` counts beside the payload: itself, compress, encrypt, version.
const SIZE_OVERHEAD: usize = 10;
/// How much an inflated payload grows by at a time.
const INFLATE_STEP: usize = 32 << 10;

/// Whether payloads that leave are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Never: what every peer can read.
    #[default]
    None,
    /// With zlib, from more than [`COMPRESS_THRESHOLD`] bytes on, where it is
    /// shorter.
    Zlib,
}

/// The fields of a frame's header that a reader could want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The length of the payload as it travels, padding included.
    pub payload_size: usize,
    /// Whether the payload is a zlib stream.
    pub compressed: bool,
    /// The sender's version; ignored.
    pub version: u32,
}

impl FrameHeader {
    /// Reads a header, checked against `limits`.
    ///
    /// # Errors
    /// Where the bytes are no header, or announce what we don't take.
    pub fn parse(bytes: &[u8; FRAME_HEADER_SIZE], limits: &Limits) -> Result<Self, FrameError> {
        let magic = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if magic != MAGIC {
            return Err(FrameError::Magic(magic));
        }
        let size = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let payload_size = match usize::try_from(size) {
            Ok(len) if len > limits.max_frame => {
                return Err(FrameError::TooLarge {
                    size,
                    limit: limits.max_frame,
                });
            }
            Ok(len) if len > SIZE_OVERHEAD => len - SIZE_OVERHEAD,
            _ => return Err(FrameError::Empty(size)),
        };
        let compressed = match bytes[8] {
            0 => false,
            1 => true,
            other => return Err(FrameError::Compression(other)),
        };
        if bytes[9] != 0 {
            return Err(FrameError::Encryption(bytes[9]));
        }
        let version = u32::from_be_bytes([bytes[10], bytes[11], bytes[12], bytes[13]]);
        Ok(Self {
            payload_size,
            compressed,
            version,
        })
    }
}

/// Opens a frame at the end of `out`: the payload goes behind it, then
/// [`finish_frame`] closes it. Returns where the frame begins.
///
/// ```
/// use tce_runtime::wire::{Compression, Deframer, Limits, VERSION, begin_frame, finish_frame};
///
/// let mut out = Vec::new();
/// let start = begin_frame(&mut out);
/// out.extend_from_slice(b"payload");
/// finish_frame(&mut out, start, Compression::None, VERSION);
///
/// let mut input = out.as_slice();
/// let mut deframer = Deframer::new(Limits::default());
/// let frame = deframer.next(&mut input)?.unwrap();
/// assert_eq!(frame.payload, b"payload");
/// # Ok::<(), tce_runtime::wire::FrameError>(())
/// ```
pub fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_SIZE]);
    start
}

/// Closes the frame that begins at `start`. A size that does not fit 32 bits
/// is cut to the largest, which every reader refuses; who sends checks first.
pub fn finish_frame(out: &mut Vec<u8>, start: usize, compression: Compression, version: u32) {
    let payload = start + FRAME_HEADER_SIZE;
    let wanted = compression == Compression::Zlib && out.len() - payload > COMPRESS_THRESHOLD;
    let stream = if wanted {
        deflate(&out[payload..])
    } else {
        None
    };
    if let Some(stream) = &stream {
        out.truncate(payload);
        out.extend_from_slice(stream);
    }
    let size = u32::try_from(out.len() - payload + SIZE_OVERHEAD).unwrap_or(u32::MAX);
    let header = &mut out[start..payload];
    header[..4].copy_from_slice(&MAGIC.to_be_bytes());
    header[4..8].copy_from_slice(&size.to_be_bytes());
    header[8] = u8::from(stream.is_some());
    header[10..].copy_from_slice(&version.to_be_bytes());
}

/// The zlib stream of `plain`, where it is shorter.
fn deflate(plain: &[u8]) -> Option<Vec<u8>> {
    let mut stream = Vec::with_capacity(plain.len());
    let status = Compress::new(Level::fast(), true)
        .compress_vec(plain, &mut stream, FlushCompress::Finish)
        .ok()?;
    (status == Status::StreamEnd).then_some(stream)
}

/// A frame that has been read.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    /// Its payload, inflated: one message.
    pub payload: &'a [u8],
}

/// Cuts a byte stream into frames, whatever pieces it arrives in.
///
/// A frame that lies whole in the input is not copied. Of one that is cut off,
/// the bytes that came are kept: memory grows with what has arrived, never with
/// what is announced.
#[derive(Debug)]
pub struct Deframer {
    limits: Limits,
    carry: Vec<u8>,
    carry_is_done: bool,
    frames: u64,
    inflated: Vec<u8>,
}

impl Deframer {
    /// A reader at the border between two frames.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            carry: Vec::new(),
            carry_is_done: false,
            frames: 0,
            inflated: Vec::new(),
        }
    }

    /// The number of the frame that has begun and not ended, counted from the
    /// first: who reads on a clock tells by it whether it is still the same.
    #[must_use]
    pub fn partial(&self) -> Option<u64> {
        (!self.carry.is_empty() && !self.carry_is_done).then_some(self.frames)
    }

    /// Takes the next frame from the front of `input`; nothing where the input
    /// is used up before a frame ends.
    ///
    /// # Errors
    /// What makes the stream unreadable from here on.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'a>>, FrameError> {
        if self.carry_is_done {
            self.carry = Vec::new();
            self.carry_is_done = false;
        }
        // One large frame must not cost an idle connection its size for ever.
        self.inflated.clear();
        self.inflated.shrink_to(INFLATE_STEP);
        let (header, payload) = if self.carry.is_empty() {
            let Some(header) = peek_header(input, &self.limits)? else {
                self.carry.extend_from_slice(std::mem::take(input));
                return Ok(None);
            };
            let end = FRAME_HEADER_SIZE + header.payload_size;
            let Some((frame, rest)) = input.split_at_checked(end) else {
                self.carry.extend_from_slice(std::mem::take(input));
                return Ok(None);
            };
            *input = rest;
            (header, &frame[FRAME_HEADER_SIZE..])
        } else {
            let Some(header) = self.top_up(input)? else {
                return Ok(None);
            };
            self.carry_is_done = true;
            (header, &self.carry[FRAME_HEADER_SIZE..])
        };
        self.frames += 1;
        if !header.compressed {
            return Ok(Some(Frame { header, payload }));
        }
        inflate(payload, &mut self.inflated, self.limits.max_inflated)?;
        Ok(Some(Frame {
            header,
            payload: &self.inflated,
        }))
    }

    /// Completes the frame in `carry` with no more bytes than it needs.
    fn top_up(&mut self, input: &mut &[u8]) -> Result<Option<FrameHeader>, FrameError> {
        move_up_to(FRAME_HEADER_SIZE, &mut self.carry, input);
        let Some(header) = peek_header(&self.carry, &self.limits)? else {
            return Ok(None);
        };
        let end = FRAME_HEADER_SIZE + header.payload_size;
        move_up_to(end, &mut self.carry, input);
        Ok((self.carry.len() == end).then_some(header))
    }
}

/// The header at the front of `bytes`, if it is there whole. A wrong magic is
/// told from the first four bytes: who speaks HTTP to us need not wait.
fn peek_header(bytes: &[u8], limits: &Limits) -> Result<Option<FrameHeader>, FrameError> {
    if let Some(header) = bytes.first_chunk::<FRAME_HEADER_SIZE>() {
        return FrameHeader::parse(header, limits).map(Some);
    }
    match bytes
        .first_chunk::<4>()
        .map(|magic| u32::from_be_bytes(*magic))
    {
        Some(magic) if magic != MAGIC => Err(FrameError::Magic(magic)),
        _ => Ok(None),
    }
}

/// Moves bytes from `input` until `carry` is `len` long.
fn move_up_to(len: usize, carry: &mut Vec<u8>, input: &mut &[u8]) {
    let missing = len.saturating_sub(carry.len()).min(input.len());
    let (taken, rest) = input.split_at(missing);
    carry.extend_from_slice(taken);
    *input = rest;
}

/// Inflates a zlib stream; what follows its end is padding (the Java client's).
fn inflate(stream: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), FrameError> {
    let mut decompress = Decompress::new(true);
    let mut used = 0;
    loop {
        if out.len() == out.capacity() {
            out.reserve(INFLATE_STEP.min(limit.saturating_sub(out.len()) + 1));
        }
        let (len, rest) = (out.len(), stream.get(used..).unwrap_or_default());
        let status = decompress
            .decompress_vec(rest, out, FlushDecompress::None)
            .map_err(|_| FrameError::Inflate)?;
        used = usize::try_from(decompress.total_in()).map_err(|_| FrameError::Inflate)?;
        if out.len() > limit {
            return Err(FrameError::Bomb { limit });
        }
        match status {
            Status::StreamEnd => return Ok(()),
            // No progress though there is room: the stream is cut off.
            _ if out.len() == len && out.len() < out.capacity() => return Err(FrameError::Inflate),
            _ => {}
        }
    }
}
