//! Many connections to the program: the memory of an idle one, and the latency of
//! calls while others connect.

#![expect(
    clippy::expect_used,
    reason = "a test that can't do its part fails, and says which"
)]

mod drain;
mod gateway;
mod idle;
mod tls;
