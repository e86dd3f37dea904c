//! The runtime of the subcommands that call servers.

use tokio::runtime::Builder;

use crate::console::CommandError;

/// Runs a future to its end, in a runtime of one thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::Failed(format!("can't start the I/O runtime: {error}")))?;
    let output = runtime.block_on(future);
    // Does not wait for a host name lookup, which runs in a thread of its own.
    runtime.shutdown_background();
    Ok(output)
}
