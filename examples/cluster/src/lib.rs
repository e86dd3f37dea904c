//! The code generated from `idl/test.idl`, shared by client, gateway and server.

tce_runtime::include_idl!(test);
