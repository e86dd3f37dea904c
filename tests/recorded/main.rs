//! Frames that the existing implementations sent: each decodes to what was
//! meant, and encodes again to the same bytes (`spec/wire.md`).

// The attribute tells clippy that the helpers in these are tests too.
#[cfg(test)]
mod frames;
#[cfg(test)]
mod typed;
#[cfg(test)]
mod vectors;
