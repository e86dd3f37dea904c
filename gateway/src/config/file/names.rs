//! What the servers of a file are made of.

use super::{definitions::Endpoints, interfaces::Interfaces};
use crate::config::Override;

/// The names that servers use.
pub(super) struct Definitions<'a> {
    pub(super) interfaces: Interfaces<'a>,
    pub(super) endpoints: Endpoints,
    /// What goes over their properties.
    pub(super) overrides: &'a [Override],
}
