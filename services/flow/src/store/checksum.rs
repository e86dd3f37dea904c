//! Checksums of records and snapshots.

use sha2::{Digest, Sha256};

/// The bytes of a checksum: so many of a SHA-256.
const LENGTH: usize = 8;

fn of(parts: &[&[u8]]) -> [u8; LENGTH] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let digest = hash.finalize();
    std::array::from_fn(|at| digest[at])
}

/// Appends the checksum of the bytes and of the key that they are stored under.
pub(super) fn append(key: u64, bytes: &mut Vec<u8>) {
    let sum = of(&[&key.to_be_bytes(), bytes]);
    bytes.extend(sum);
}

/// The bytes without their checksum; `None` if it does not fit.
pub(super) fn verified(key: u64, bytes: &[u8]) -> Option<&[u8]> {
    let (content, sum) = bytes.split_last_chunk::<LENGTH>()?;
    (of(&[&key.to_be_bytes(), content]) == *sum).then_some(content)
}
