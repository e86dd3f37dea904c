//! What is below redb: the file, and the file with writes that only seem to happen.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// The bytes of a piece of a [`Overlay`].
const BLOCK: usize = 4096;

/// A file that this process has locked. The lock ends when this is dropped.
#[derive(Debug)]
pub(super) struct LockedFile(pub(super) File);

impl StorageBackend for LockedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// Storage that can be opened again: clones are the same storage.
#[derive(Debug, Clone)]
pub(super) struct SharedStorage(pub(super) Arc<dyn StorageBackend>);

impl StorageBackend for SharedStorage {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// Storage whose writes stay in memory: what redb repairs when it opens a file does not change the
/// file.
#[derive(Debug)]
pub(super) struct Overlay {
    below: SharedStorage,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    /// By number; each has [`BLOCK`] bytes.
    blocks: BTreeMap<u64, Vec<u8>>,
    len: u64,
    /// The length of the storage below that counts: less once the length was cut.
    len_below: u64,
}

impl Overlay {
    pub(super) fn new(below: SharedStorage) -> io::Result<Self> {
        let len = below.len()?;
        Ok(Self {
            below,
            written: Mutex::new(Written {
                blocks: BTreeMap::new(),
                len,
                len_below: len,
            }),
        })
    }

    /// A block as it is below; zeros behind the end.
    fn block_below(&self, number: u64, len_below: u64) -> io::Result<Vec<u8>> {
        let mut block = vec![0; BLOCK];
        let start = number * BLOCK as u64;
        let held = len_below.saturating_sub(start).min(BLOCK as u64);
        if let Ok(held) = usize::try_from(held)
            && held > 0
        {
            self.below.read(start, &mut block[..held])?;
        }
        Ok(block)
    }
}

/// The pieces of a range: the block's number, the range within the block and that within the data.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let within = usize::try_from(at % BLOCK as u64).unwrap_or(0);
        let count = (BLOCK - within).min(len - done);
        let range = done..done + count;
        done += count;
        Some((at / BLOCK as u64, within, range))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > written.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, range) in pieces(offset, out.len()) {
            let count = range.len();
            let part = &mut out[range];
            match written.blocks.get(&number) {
                Some(block) => part.copy_from_slice(&block[within..within + count]),
                None => {
                    let block = self.block_below(number, written.len_below)?;
                    part.copy_from_slice(&block[within..within + count]);
                }
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        if len < written.len {
            written.len_below = written.len_below.min(len);
            let kept = len.div_ceil(BLOCK as u64);
            written.blocks.split_off(&kept);
            let within = usize::try_from(len % BLOCK as u64).unwrap_or(0);
            if let Some(block) = written.blocks.get_mut(&(len / BLOCK as u64)) {
                block[within..].fill(0);
            }
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        for (number, within, range) in pieces(offset, data.len()) {
            let len_below = written.len_below;
            let block = match written.blocks.entry(number) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(self.block_below(number, len_below)?)
                }
            };
            block[within..within + range.len()].copy_from_slice(&data[range]);
        }
        Ok(())
    }
}
