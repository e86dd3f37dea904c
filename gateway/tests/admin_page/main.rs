//! The admin page, in a real browser.
//!
//! It needs Debian's package `chromium`.

#[cfg(test)]
mod browser;
#[cfg(test)]
mod shown;
