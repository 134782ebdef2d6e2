//! Where tracing events go: standard error, as `GLEANER_LOG` asks (`info`, `gleaner::engine=debug` ...; warnings only unless
//! set). And where panics go that are none.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sets the process's subscriber up; one that is there already stays. `verbosity` raises or lowers what is shown where
/// `GLEANER_LOG` does not say: 0 shows warnings, 1 steps, 2 details, less than 0 errors only. `json` writes JSON Lines.
pub fn init(verbosity: i8, json: bool) {
    let level = match verbosity {
        i8::MIN..=-1 => "error",
        0 => "warn,gleaner::engine=error", // what the engine warns of is shown as it happens, in words for people
        1 => "gleaner=info,warn",
        2..=i8::MAX => "gleaner=debug,info",
    };
    let filter = EnvFilter::try_from_env("GLEANER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(std::io::stderr);
    // An error only says that a host has set its own subscriber, which is the one that should be used.
    drop(if json { builder.json().try_init() } else { builder.try_init() });
}

/// Shows sled's panics as details only. It panics on damage that it did not expect; the store answers that as an error,
/// which says more to people. For programs, not for libraries: the panic hook belongs to the process.
pub fn hide_answered_panics() {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_some_and(|place| place.file().contains("sled-0.34")) {
            tracing::debug!(%panic, "sled gave up");
        } else {
            shown(panic);
        }
    }));
}
