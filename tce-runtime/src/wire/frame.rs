//! Frames, which delimit messages in a byte stream (`spec/wire.md`, section 1).

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::{FrameError, Limits};

/// The size of a frame's header in bytes: magic, size, compress, encrypt and
/// version.
pub const FRAME_HEADER_SIZE: usize = 14;
/// The version that this runtime writes, as Java and JavaScript do; receivers
/// ignore it.
pub const VERSION: u32 = 0x0000_0100;
/// Payloads of more bytes than this are compressed where the endpoint says so.
pub const COMPRESS_THRESHOLD: usize = 100;

const MAGIC: u32 = 0xEFD2_BB99;
/// The offset of the field `compress` in a frame.
const COMPRESS_OFFSET: usize = 8;
/// The bytes that `size` counts beside the payload: size, compress, encrypt and
/// version.
const SIZE_OVERHEAD: usize = 10;
/// The bytes by which the buffer of an inflated payload grows at a time.
const INFLATE_STEP: usize = 32 << 10;

/// Whether sent payloads are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Never, which every peer can read.
    #[default]
    None,
    /// With zlib, for payloads of more than [`COMPRESS_THRESHOLD`] bytes, unless
    /// the zlib stream would be longer.
    Zlib,
}

/// The fields of a frame's header that vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The encoded length of the payload in bytes, padding included.
    pub payload_size: usize,
    /// Whether the payload is a zlib stream.
    pub compressed: bool,
    /// The sender's version, which this runtime ignores.
    pub version: u32,
}

impl FrameHeader {
    /// Decodes a header.
    ///
    /// # Errors
    /// Where the bytes are not a header, or it announces more than `limits`
    /// allow, an unknown compression or an encryption.
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

/// Begins a frame at the end of `out` and returns its offset. The payload is
/// appended to `out`, then [`finish_frame`] completes the frame.
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
#[inline]
pub fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_SIZE]);
    start
}

/// Completes the frame that begins at `start`: compresses its payload as
/// `compression` says and fills in the header.
///
/// A size that does not fit in 32 bits becomes `u32::MAX`, which every reader
/// refuses; the sender checks the size before.
#[inline]
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
    if let Some(header) = out[start..].first_chunk_mut::<FRAME_HEADER_SIZE>() {
        header[..4].copy_from_slice(&MAGIC.to_be_bytes());
        header[4..8].copy_from_slice(&size.to_be_bytes());
        header[8] = u8::from(stream.is_some());
        header[10..].copy_from_slice(&version.to_be_bytes());
    }
}

/// The frame header of a payload that is not compressed.
#[inline]
pub(crate) fn plain_header(payload_size: usize) -> [u8; FRAME_HEADER_SIZE] {
    let size = u32::try_from(payload_size + SIZE_OVERHEAD).unwrap_or(u32::MAX);
    let mut header = [0; FRAME_HEADER_SIZE];
    header[..4].copy_from_slice(&MAGIC.to_be_bytes());
    header[4..8].copy_from_slice(&size.to_be_bytes());
    header[10..].copy_from_slice(&VERSION.to_be_bytes());
    header
}

/// The zlib stream of `plain`, unless it is longer than `plain`.
#[cold]
fn deflate(plain: &[u8]) -> Option<Vec<u8>> {
    let mut stream = Vec::with_capacity(plain.len());
    let status = Compress::new(Level::fast(), true)
        .compress_vec(plain, &mut stream, FlushCompress::Finish)
        .ok()?;
    (status == Status::StreamEnd).then_some(stream)
}

/// A frame read from a byte stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    /// Its payload, inflated: one message.
    pub payload: &'a [u8],
}

/// Splits a byte stream, read in chunks of any size, into frames.
///
/// A frame that is complete in one chunk is not copied. The received bytes of
/// an incomplete one are kept: memory grows with the bytes received, never with
/// the announced size.
#[derive(Debug)]
pub struct Deframer {
    limits: Limits,
    /// The beginning of a frame that is not complete yet, or the frame that
    /// [`Deframer::next`] has just returned.
    carry: Vec<u8>,
    is_carry_returned: bool,
    /// The number of frames returned.
    frames: u64,
    inflated: Vec<u8>,
}

impl Deframer {
    /// A deframer that expects the beginning of a frame.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            carry: Vec::new(),
            is_carry_returned: false,
            frames: 0,
            inflated: Vec::new(),
        }
    }

    /// Changes the limits for the frames that follow.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The bytes of memory that are held between two chunks.
    #[must_use]
    pub fn held(&self) -> usize {
        self.carry.capacity() + self.inflated.capacity()
    }

    /// Frees the memory of frames that were returned. To be called after the
    /// frames of a chunk are handled: the next chunk may come late.
    pub fn release(&mut self) {
        if self.is_carry_returned {
            self.carry = Vec::new();
            self.is_carry_returned = false;
        }
        self.inflated = Vec::new();
    }

    /// Whether the next frame of `input` is compressed, as far as its header has
    /// arrived.
    #[must_use]
    pub fn is_next_compressed(&self, input: &[u8]) -> bool {
        let carried = if self.is_carry_returned {
            &[]
        } else {
            self.carry.as_slice()
        };
        let place = match COMPRESS_OFFSET.checked_sub(carried.len()) {
            Some(place) => input.get(place),
            None => carried.get(COMPRESS_OFFSET),
        };
        place.is_some_and(|compressed| *compressed != 0)
    }

    /// The index of the frame that is incomplete, if any. A reader with a time
    /// limit for a frame uses it to tell a slow frame from the next one.
    #[must_use]
    pub fn partial(&self) -> Option<u64> {
        (!self.carry.is_empty() && !self.is_carry_returned).then_some(self.frames)
    }

    /// Takes the payload of the next frame, if the whole frame is at the front of
    /// `input` and not compressed, as most are. Otherwise returns `None`, changes
    /// nothing, and [`Deframer::next`] finds out more.
    #[inline]
    pub fn next_plain<'i>(&mut self, input: &mut &'i [u8]) -> Option<&'i [u8]> {
        let header = input.first_chunk::<FRAME_HEADER_SIZE>()?;
        if !self.carry.is_empty()
            || header[..4] != MAGIC.to_be_bytes()
            || header[COMPRESS_OFFSET..COMPRESS_OFFSET + 2] != [0, 0]
        {
            return None;
        }
        let size = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let size = usize::try_from(size).ok()?;
        if size <= SIZE_OVERHEAD || size > self.limits.max_frame {
            return None;
        }
        let end = FRAME_HEADER_SIZE + size - SIZE_OVERHEAD;
        let (frame, rest) = input.split_at_checked(end)?;
        *input = rest;
        self.frames += 1;
        Some(&frame[FRAME_HEADER_SIZE..])
    }

    /// Takes the next frame from the front of `input`; `None` where the input
    /// ends before the frame does.
    ///
    /// # Errors
    /// Where the bytes are not a frame or exceed the limits. The stream can't be
    /// read any further then.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'a>>, FrameError> {
        if self.is_carry_returned {
            self.carry = Vec::new();
            self.is_carry_returned = false;
        }
        // An idle connection does not keep the memory of a large frame.
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
            self.is_carry_returned = true;
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

    /// Appends to `carry` as many bytes as its frame still needs.
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

/// The header at the front of `bytes`, once it is complete. A wrong magic is
/// refused after four bytes: a peer of another protocol may never send more.
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

/// Moves bytes from `input` until `carry` is `len` bytes long.
fn move_up_to(len: usize, carry: &mut Vec<u8>, input: &mut &[u8]) {
    let missing = len.saturating_sub(carry.len()).min(input.len());
    let (taken, rest) = input.split_at(missing);
    carry.extend_from_slice(taken);
    *input = rest;
}

/// Inflates a zlib stream. Bytes after its end are ignored: the Java client pads.
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
            // No progress though `out` has capacity: the stream is cut off.
            _ if out.len() == len && out.len() < out.capacity() => return Err(FrameError::Inflate),
            _ => {}
        }
    }
}
