//! Work that blocks or takes a while, where it keeps no other task waiting.

use tokio::runtime::Handle;

/// Does `work` on a thread for such work, or here where there is no runtime. A panic goes on to whoever waits.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let Ok(runtime) = Handle::try_current() else { return work() };
    match runtime.spawn_blocking(work).await {
        Ok(done) => done,
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels blocking work, and then nobody polls this.
            Err(_) => std::future::pending().await,
        },
    }
}
