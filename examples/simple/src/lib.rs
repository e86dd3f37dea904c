//! What the server and the client share: the code generated from `idl/test.idl`.

tce_runtime::include_idl!(test);
