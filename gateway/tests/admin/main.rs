//! The admin server over real sockets, and its page in a real browser.
//!
//! It needs Debian's package `chromium`.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod client;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod live;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod operate;
#[cfg(test)]
mod page;
#[cfg(test)]
mod program;
#[cfg(test)]
mod shown;
