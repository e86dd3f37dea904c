//! `--verbose`: what is sent and returned.

use std::{io, io::Write, time::Instant};

use tce_dynamic::{CallTarget, UndecodedBytes};
use tce_runtime::{Returned, RpcError};

use crate::console::{Console, Count};

/// A call whose messages are printed.
pub(super) struct CallTrace {
    begun: Instant,
}

impl CallTrace {
    pub(super) fn begin() -> Self {
        Self {
            begun: Instant::now(),
        }
    }

    /// Prints the CALL.
    pub(super) fn sent(
        &self,
        target: &CallTarget<'_>,
        params: &[u8],
        extra: &[(String, String)],
        is_oneway: bool,
        console: &mut Console,
    ) -> io::Result<()> {
        let operation = &target.operation;
        writeln!(
            console.err,
            "> CALL {}{}: interface {}, operation {}, {} of parameters",
            operation.name(),
            if is_oneway { ", oneway" } else { "" },
            operation.ifidx(),
            operation.opidx(),
            Count(params.len(), "byte"),
        )?;
        for (key, value) in extra {
            writeln!(console.err, "> extra {key:?}: {value:?}")?;
        }
        Ok(())
    }

    /// Prints the RETURN, or that a oneway call has left.
    pub(super) fn ended(
        &self,
        result: &Result<Option<Returned<UndecodedBytes>>, RpcError>,
        console: &mut Console,
    ) -> io::Result<()> {
        let time = self.begun.elapsed();
        match result {
            Ok(None) => writeln!(console.err, "< accepted after {time:.1?}")?,
            Ok(Some(returned)) => {
                let size = Count(returned.value.0.len(), "byte");
                writeln!(console.err, "< RETURN after {time:.1?}, {size} of result")?;
                for (key, value) in returned.extra.iter() {
                    writeln!(console.err, "< extra {key:?}: {value:?}")?;
                }
            }
            Err(error) => writeln!(console.err, "< {} after {time:.1?}", error.code())?,
        }
        Ok(())
    }
}
