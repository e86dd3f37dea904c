//! The code generated from `idl/test.idl`, shared by server and client.

tce_runtime::include_idl!(test);
