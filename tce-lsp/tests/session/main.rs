//! A language server as editors have it: sessions of messages over pipes.

#![expect(clippy::unwrap_used, reason = "a test whose session breaks off fails")]

mod actions;
mod client;
mod completion;
mod diagnostics;
mod format;
mod hover;
mod navigation;
mod outline;
mod protocol;
mod rename;
mod speed;

/// A file with errors of several kinds, and names that are fine for all that.
/// The character in the comment is two code units for an editor.
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

/// What it imports.
const BASE: &str = "\
module base {
    struct Id { long value; };
    interface Root { void ping(); };
}
";
