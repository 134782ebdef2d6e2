//! The Python of this machine, asked briefly: where packages lie, and pip. Knows nothing about models.
//!
//! A Python that hangs or is broken costs its time limit and an explanation, never the run.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Starting Python takes 20 ms to a second; a network home directory may take some more.
const BRIEFLY: Duration = Duration::from_secs(15);

/// Prints the folders of the packages `onnxruntime` and `nvidia`, without importing them and without looking into the
/// working directory; an empty line for one that is not there.
const WHERE: &str = "\
import importlib.util, sys
sys.path[:] = [p for p in sys.path if p]
for name in ('onnxruntime', 'nvidia'):
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    print(places[0] if places else '')
";

/// Programs that may be a Python, the active environment's first.
fn programs() -> Vec<PathBuf> {
    let inside = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(std::env::var_os);
    let active = active.filter(|prefix| !prefix.is_empty());
    let absolute = active.filter_map(|prefix| std::path::absolute(prefix).ok());
    let mut programs: Vec<_> = absolute.map(|prefix| prefix.join(inside)).collect();
    programs.extend(["python3", "python"].map(PathBuf::from));
    programs
}

/// Where the first Python that works keeps packages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Packages {
    /// The program that was asked.
    pub(super) python: PathBuf,
    /// The folder of the package `onnxruntime`, or that of `onnxruntime-gpu`, which bears the same name.
    pub(super) onnxruntime: Option<PathBuf>,
    /// The folder of NVIDIA's packages.
    pub(super) nvidia: Option<PathBuf>,
}

/// Asks the active Python where its packages are.
pub(super) fn packages() -> Result<Packages, String> {
    let mut failures = Vec::new();
    for python in programs() {
        match run(&python, ["-c", WHERE], BRIEFLY) {
            Ok(output) => {
                let mut lines = output.lines().map(|line| {
                    let line = line.trim();
                    (!line.is_empty()).then(|| PathBuf::from(line))
                });
                let onnxruntime = lines.next().flatten();
                let nvidia = lines.next().flatten();
                return Ok(Packages { python, onnxruntime, nvidia });
            }
            Err(reason) => failures.push(format!("{}: {reason}", python.display())),
        }
    }
    Err(format!("no Python answered ({})", failures.join("; ")))
}

/// The first Python that has pip. (An environment made by `uv` has none.)
pub(super) fn with_pip() -> Result<PathBuf, String> {
    let mut failures = Vec::new();
    for python in programs() {
        match run(&python, ["-m", "pip", "--version"], BRIEFLY) {
            Ok(_) => return Ok(python),
            Err(reason) => failures.push(format!("{}: {reason}", python.display())),
        }
    }
    Err(format!("no Python with pip was found ({})", failures.join("; ")))
}

/// What a program is given of this process's environment, because Python and pip need it: where programs and homes are,
/// the user's settings for them, proxies and certificates. Everything else may hold secrets that are none of their business.
const NEEDED: [&str; 27] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LANGUAGE",
    "TMPDIR",
    "TEMP",
    "TMP",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "NETRC",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    // Windows
    "SYSTEMROOT",
    "COMSPEC",
    "PATHEXT",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "PROGRAMDATA",
];
const NEEDED_FAMILIES: [&str; 6] = ["LC_", "XDG_", "PIP_", "PYTHON", "PYENV_", "CONDA_"];

fn is_needed(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy().to_ascii_uppercase(); // proxies are known in lower case, too
    NEEDED.contains(&name.as_str()) || NEEDED_FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Without the `user:password@` of every URL: what a program complains of goes into logs. A password may hold nearly
/// anything, so a URL loses all up to its last `@`.
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let ends = |c: char| c.is_whitespace() || "\"'<>".contains(c);
        let authority = part.find(ends).unwrap_or(part.len());
        let secret = part.get(..authority).and_then(|host| host.rfind('@'));
        clean.push_str("://");
        clean.push_str(secret.and_then(|at| part.get(at + 1..)).unwrap_or(part));
    }
    clean
}

/// Runs a program to its end, or kills it after `limit` without a word from it. Gives what it printed, or the end of
/// what it complained.
///
/// It starts in the root folder, because Python looks for its own modules in the working directory first, and whose that
/// is we do not know. Relative `arguments` would mean something else there.
pub(super) fn run<A: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    limit: Duration,
) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(std::env::vars_os().filter(|(variable, _)| is_needed(variable)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let output = drain(child.stdout.take());
    let complaints = drain(child.stderr.take());
    let result = output.recv_timeout(limit);
    if result == Err(RecvTimeoutError::Timeout) {
        stop(&mut child);
        return Err(format!("it did not answer within {} s", limit.as_secs()));
    }
    let complaints = complaints.recv_timeout(BRIEFLY).unwrap_or_default();
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(result.unwrap_or_default());
    }
    let last = complaints.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(2);
    let mut last: Vec<_> = last.collect();
    last.reverse();
    Err(if last.is_empty() { status.to_string() } else { without_passwords(&last.join(" ")) })
}

/// Reads a pipe to its end on a thread of its own, so that the child never waits for us and we never for the pipe.
fn drain(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        // Nobody listens any more after a timeout.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn stop(child: &mut Child) {
    // It may have ended by itself in between; waiting then only clears it away.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<String, String> {
        run(Path::new("sh"), ["-c", script], limit)
    }

    #[test]
    fn a_program_that_works_gives_what_it_printed() {
        assert_eq!(sh("echo out; echo err >&2", BRIEFLY), Ok("out\n".into()));
    }

    #[test]
    fn a_program_that_fails_gives_the_end_of_its_complaint() {
        let error = sh("echo first >&2; echo second >&2; echo third >&2; exit 3", BRIEFLY);
        assert_eq!(error, Err("second third".into()));
        assert!(run(Path::new("/no/such/program"), [""], BRIEFLY).is_err());
    }

    #[test]
    fn a_program_knows_little_of_us() {
        let seen = sh("env; pwd", BRIEFLY).unwrap();
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "cargo gives it to tests");
        assert!(seen.contains("PATH=") && !seen.contains("CARGO_MANIFEST_DIR"), "{seen}");
        assert_eq!(seen.lines().last(), Some("/"));
        for (name, needed) in [("https_proxy", true), ("PIP_INDEX_URL", true), ("TOKEN", false)] {
            assert_eq!(is_needed(OsStr::new(name)), needed, "{name}");
        }
    }

    #[test]
    fn no_password_is_in_a_complaint() {
        for (said, shown) in [
            ("no https://user:pass@host:80/simple today", "no https://host:80/simple today"),
            ("'ftp://token@host' and http://a:b@c, d@e", "'ftp://host' and http://c, d@e"),
            ("https://user:p/a?s#s@host/simple", "https://host/simple"),
            ("https://user:p@ss@host", "https://host"),
            ("nothing://", "nothing://"),
        ] {
            assert_eq!(without_passwords(said), shown);
        }
        let error = sh("echo see https://user:pass@host >&2; exit 1", BRIEFLY);
        assert_eq!(error, Err("see https://host".into()));
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let error = sh("exec sleep 600", Duration::from_millis(1)).expect_err("it never answers");
        assert!(error.contains("did not answer"), "{error}");
    }
}
