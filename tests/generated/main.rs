//! Generated proxies and servants against each other: every type of the IDL,
//! inherited operations, and calls back.

// The attribute tells clippy that the helpers in these are tests too.
#[cfg(test)]
mod calls;
