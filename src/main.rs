//! The `gleaner` program. Everything it does is in the library; see [`gleaner::cli`].

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before any other thread exists: the environment can be changed safely only then.
    gleaner::inference::runtime::forbid_telemetry();
    gleaner::telemetry::hide_answered_panics();
    gleaner::cli::main()
}
