//! Properties whose values are one of a few words.

use super::value::{Find, Value, expect};
use crate::config::Endpoint;

/// Declares types whose values are one of a few words.
macro_rules! choices {
    ($($(#[doc = $doc:literal])+ $name:ident ($right:literal) {
        $($(#[doc = $choice_doc:literal])+ $choice:ident = $word:literal,)+
    })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $choice_doc])+ $choice,)+
        }

        impl Value for $name {
            const RIGHT: &'static str = $right;

            fn read(text: &str, _: Find<'_>) -> Result<Self, String> {
                let choices = [$(($word, Self::$choice)),+];
                let choice = choices.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
                expect(choice.map(|(_, choice)| choice), text)
            }

            fn show(&self, _: &[Endpoint]) -> String {
                match self {
                    $(Self::$choice => $word,)+
                }
                .to_owned()
            }
        }
    )+};
}

choices! {
    /// Who turns a connection's `__token__` into a user id.
    Auth ("none, token, jwt or interface") {
        /// Nobody but what the program brings along.
        None = "none",
        /// The token is the user id: for closed networks.
        Token = "token",
        /// A signed JSON Web Token, one claim of which is the user id.
        Jwt = "jwt",
        /// A servant behind `auth_endpoint`.
        Interface = "interface",
    }
    /// What the second login of a user does.
    SecondLogin ("replace or refuse") {
        /// It closes the first connection.
        Replace = "replace",
        /// It is refused while the first connection lives.
        Refuse = "refuse",
    }
    /// What carries the messages of MQ endpoints.
    Broker ("broker or memory") {
        /// The broker that each endpoint names.
        Broker = "broker",
        /// Queues within the process: for tests, and servants in the same program.
        Memory = "memory",
    }
}
