//! The generated modules that the tests share.

tce_runtime::include_idl!(test, zoo);

/// The parameters of `zoo::Keeper::many`, which are encoded as a tuple.
pub type ManyParameters = (u8, bool, i16, i32, i64, f32, f64, String);
