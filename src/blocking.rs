//! Work that blocks or takes a while, where it keeps no other task waiting.

use tokio::runtime::Handle;
use tokio::task::JoinError;

/// Does `work` on a thread for such work (every tokio runtime has some), or here where there is no runtime.
///
/// # Errors
/// Work that panicked; there is no panic to catch where there is no runtime.
pub(crate) async fn attempt<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await,
        Err(_) => Ok(work()),
    }
}

/// As [`attempt`]; a panic goes on to whoever waits.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match attempt(work).await {
        Ok(done) => done,
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels blocking work, and then nobody polls this.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Waits for work on a thread where no runtime is; what would be [`blocking`] elsewhere is then done on it.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    futures_lite::future::block_on(work)
}
