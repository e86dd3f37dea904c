//! Many connections at once, at the program itself: what an idle one costs,
//! and whether calls flow while others come.

#![expect(
    clippy::expect_used,
    reason = "a test that can't do its part fails, and says which"
)]

mod gateway;
mod idle;
mod tls;
