//! What a name can be the name of.

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `module NAME { … }`
    Module,
    /// `struct NAME { … };`
    Struct,
    /// `sequence<…> NAME;`
    Sequence,
    /// `dictionary<…> NAME;`
    Dictionary,
    /// `interface NAME { … };`
    Interface,
    /// A member of a struct.
    Member,
    /// An operation of an interface.
    Operation,
    /// A parameter of an operation.
    Parameter,
}

impl Kind {
    /// Its name in a sentence.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Struct => "struct",
            Self::Sequence => "sequence",
            Self::Dictionary => "dictionary",
            Self::Interface => "interface",
            Self::Member => "member",
            Self::Operation => "operation",
            Self::Parameter => "parameter",
        }
    }

    /// Whether it is a type of values.
    #[must_use]
    pub fn is_value(self) -> bool {
        matches!(self, Self::Struct | Self::Sequence | Self::Dictionary)
    }
}
