//! What a proxy calls.

/// An operation of an interface, as it is called.
///
/// ```
/// use tce_runtime::wire::Operation;
///
/// const ECHO: Operation = Operation::new("test::Server::echo", 2, 0);
/// assert_eq!(ECHO.opidx(), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    name: &'static str,
    ifidx: u16,
    opidx: u16,
}

impl Operation {
    /// An operation by its name in the IDL and its indices on the wire.
    #[must_use]
    pub const fn new(name: &'static str, ifidx: u16, opidx: u16) -> Self {
        Self { name, ifidx, opidx }
    }

    /// The name in the IDL: `module::Interface::operation`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The interface index.
    #[must_use]
    pub const fn ifidx(&self) -> u16 {
        self.ifidx
    }

    /// The operation index within the interface.
    #[must_use]
    pub const fn opidx(&self) -> u16 {
        self.opidx
    }
}
