//! What users of the work frame rely on.

mod interface;
