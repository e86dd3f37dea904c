//! What client, gateway and server share: the code generated from `idl/test.idl`.

tce_runtime::include_idl!(test);
