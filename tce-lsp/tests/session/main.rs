//! The language server as editors use it: sessions of messages over pipes.

#![expect(clippy::unwrap_used, reason = "a test whose session breaks off fails")]

mod actions;
mod client;
mod completion;
mod diagnostics;
mod folding;
mod format;
mod hover;
mod inlay_hints;
mod navigation;
mod outline;
mod protocol;
mod rename;
mod speed;
mod vscode;
mod watching;
mod workspace;
mod workspace_symbols;

/// A file with errors of several kinds, and valid names.
/// The character in the comment has two UTF-16 code units.
const SHOP: &str = "\
import base
import nowhere
module shop {
    /// What is ordered.
    struct Order {
        base::Id id;
        /* 𝄞 */ strng item;
        Price price
    };
    sequence<Order> Orders;
    struct Price { double amount; };
    /// Where orders go.
    [index=7]
    interface Shop extends base::Root {
        /// Places an order.
        long place(Order order, string user);
        Orders list(;
        void cancel(long order);
    };
}
";

/// The file that it imports.
const BASE: &str = "\
module base {
    struct Id { long value; };
    interface Root { void ping(); };
}
";
