//! The wire format alone: bytes in, values out, and back.

// The attribute tells clippy that the helpers in these are tests too.
#[cfg(test)]
mod frames;
#[cfg(test)]
mod values;
