//! Generated proxies and servants against each other: inherited operations,
//! every kind of call, and calls back. The types of an IDL are in the table of
//! `transports`.

// The attribute tells clippy that the helpers in these are tests too.
#[cfg(test)]
mod calls;
