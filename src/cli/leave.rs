//! Leaving at once, in the middle of whatever other threads do.

/// Ends the process with this exit code, and runs nothing of what is meant for the end of one: a model may be running on
/// another thread, and onnxruntime would tear down beneath it what it runs on. What was acknowledged is on the disk.
#[expect(unsafe_code, reason = "there is no safe way to end a process without its destructors")]
pub(super) fn at_once(code: u8) -> ! {
    // SAFETY: it touches no memory of ours and does not return.
    unsafe { libc::_exit(code.into()) }
}
