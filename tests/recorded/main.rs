//! Frames recorded from existing implementations: each decodes to the recorded
//! values, which encode to the same bytes (`spec/wire.md`).

// The attribute marks the helpers in these modules as test code for clippy.
#[cfg(test)]
mod frames;
#[cfg(test)]
mod typed;
#[cfg(test)]
mod vectors;
