//! The generated modules that the tests share.

tce_runtime::include_idl!(test, zoo);
