//! The admin server, over real sockets.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod client;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod page;
