//! Who may do what.

mod token;
mod white_list;
mod caller;

pub use caller::{Access, AccessOptions, Caller, Denied, Need, Trust};
pub use token::{TokenEntry, TokenError, TokenFile};
pub use white_list::WhiteListError;
