//! Generated proxies call generated servants: inherited operations, every kind of
//! call, and calls back; doubles and the test server. The tests of `transports` cover the types of an IDL.

// The attribute marks the helpers in these modules as test code for clippy.
#[cfg(test)]
mod calls;
#[cfg(test)]
mod doubles;
#[cfg(test)]
mod testing;
