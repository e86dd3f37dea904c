//! The wire format without I/O: bytes to values, and back.

// The attribute marks the helpers in these modules as test code for clippy.
#[cfg(test)]
mod frames;
#[cfg(test)]
mod values;
