//! A program outside of Gleaner: started without a shell, listened to line by line, and ended with all that it started.
//!
//! This is the one place that starts programs on somebody's behalf; what they are given and what they answer is the
//! caller's. Nothing here waits by the clock: two threads read the program's pipes, a third waits for its end, and all three
//! write to the channel that the caller's thread reads.
//!
//! **Groups.** On Unix a program leads a process group of its own, and the whole group is killed at its end, however it ends:
//! a child that it left in the background neither lives on nor keeps anybody waiting for a pipe that it holds. A process that
//! left the group (`setsid`) is not found any more; its pipes are given up after [`GRACE`]. On Windows a program is
//! ended with its children through `taskkill`, and what it leaves after a regular end lives on.
//!
//! **Memory.** On Linux the resident memory of the group, as `/proc` tells it, is looked at every [`LOOK`]: a page that
//! two processes share counts twice, and a peak between two looks is not seen. Elsewhere a limit of memory is not enforced.
//!
//! A program that outlives Gleaner itself (`kill -9`) gets a broken pipe with its next line, and nobody reads what it does.

use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
mod memory;

/// How long a program may say nothing before its listener is asked whether to go on.
pub const TICK: Duration = Duration::from_millis(50);
/// How often a program's memory is looked at.
pub const LOOK: Duration = Duration::from_millis(200);
/// How long the pipes of a program that has ended are read on, where a process outside of its group holds them open.
pub const GRACE: Duration = Duration::from_secs(2);
/// The longest line, in bytes: what a line has beyond that is dropped.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// How much of the end of each of a program's two outputs is kept, in bytes.
pub const TAIL_BYTES: usize = 4 * 1024;
/// Lines that wait for the listener: a program that says more waits for it. Enough for 4 MiB at the very most.
const LINES: usize = 64;

/// What to run, and within which limits.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// The program and its arguments. A program without a `/` is looked for in `PATH`.
    pub words: &'a [String],
    /// The last argument, which the program is given as an absolute path.
    pub argument: &'a Path,
    /// The folder in which it runs, and from which a program like `./train` is looked for; `None`: the current one.
    pub folder: Option<&'a Path>,
    /// How long it may run.
    pub time_max: Duration,
    /// How many bytes the group may hold in memory; enforced on Linux only.
    pub memory_max: Option<u64>,
}

/// How a program ended, and its last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// The end of its standard output, without blanks around: whole lines, at most [`TAIL_BYTES`].
    pub output: String,
    /// The end of its error output, likewise.
    pub complaints: String,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, or by a signal from elsewhere.
    Exit(ExitStatus),
    /// By us: it ran longer than it may.
    Time,
    /// By us: its group held more bytes than it may.
    Memory {
        /// How many.
        bytes: u64,
    },
    /// By us: its listener asked for it.
    Stopped,
}

/// A program that is not running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Trying again does not help.
    #[error("{program:?} is no program that can be started: {reason}")]
    NoProgram {
        /// Its first word.
        program: String,
        /// Why not.
        reason: String,
    },
    /// The machine could not, this time.
    #[error("{program:?} could not be started: {reason}")]
    Machine {
        /// Its first word.
        program: String,
        /// Why not.
        reason: String,
    },
}

/// What the threads beside a program say.
enum News {
    /// A line of its standard output.
    Line(String),
    /// Standard output is closed; its end.
    Output(String),
    /// Error output is closed; its end.
    Complaints(String),
    /// It has ended, and so has its group.
    Ended(io::Result<ExitStatus>),
}

/// Runs a program to its end.
///
/// `listen` is called with each line of its standard output, and with `None` whenever there was none for [`TICK`]; it may break
/// off. Bytes that are no UTF-8 arrive as `U+FFFD`. Standard input is empty.
///
/// When this returns, the program is reaped, and all that was left in its group has been sent `SIGKILL`.
///
/// # Errors
/// [`StartError::NoProgram`] where it does not exist, may not be executed or is no program, and [`StartError::Machine`] where the
/// system has no room for one more process or thread now.
pub fn run(
    program: &Program<'_>,
    listen: &mut dyn FnMut(Option<&str>) -> ControlFlow<()>,
) -> Result<Outcome, StartError> {
    let name = program.words.first().map(String::as_str).unwrap_or_default();
    let failed = |error: io::Error| start_error(name, &error);
    let mut command = Command::new(resolved(name, program.folder).map_err(failed)?);
    command
        .args(program.words.get(1..).unwrap_or_default())
        .arg(std::path::absolute(program.argument).map_err(failed)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(folder) = program.folder {
        command.current_dir(folder);
    }
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let start = now();
    let mut child = command.spawn().map_err(failed)?;
    let id = child.id();
    let (output, complaints) = (child.stdout.take(), child.stderr.take());
    let (tell, news) = sync_channel(LINES);
    let spawned = spawn("output", tell.clone(), move |tell| {
        let tail =
            output.map_or_else(String::new, |pipe| read_lines(pipe, |line| said(tell, line)));
        let _ = tell.send(News::Output(tail)); // nobody listens after the grace
    })
    .and_then(|()| {
        spawn("complaints", tell.clone(), move |tell| {
            let tail = complaints.map_or_else(String::new, |pipe| read_lines(pipe, |_| true));
            let _ = tell.send(News::Complaints(tail)); // likewise
        })
    });
    if let Err(error) = spawned {
        let _ = end(id); // it is reaped below, and that it was there is all that can be said
        let _ = child.wait();
        return Err(failed(error));
    }
    // The thread that waits owns the child: on failure to make it, the child is dropped with the closure.
    spawn("end", tell, move |tell| {
        let _ = tell.send(News::Ended(reap(child))); // its listener waits for just this
    })
    .map_err(|error| {
        let _ = end(id); // a zombie until Gleaner ends, on a machine that cannot make threads
        failed(error)
    })?;
    hear(program, id, start, &news, listen).map_err(failed)
}

/// A thread beside the program.
fn spawn(
    name: &str,
    tell: SyncSender<News>,
    work: impl FnOnce(&SyncSender<News>) + Send + 'static,
) -> io::Result<()> {
    let named = std::thread::Builder::new().name(format!("program-{name}"));
    named.spawn(move || work(&tell)).map(drop)
}

/// Hands a line on; `false` where nobody listens any more.
fn said(tell: &SyncSender<News>, line: &[u8]) -> bool {
    tell.send(News::Line(String::from_utf8_lossy(line).into_owned())).is_ok()
}

/// Listens until the program has ended and its pipes are closed.
fn hear(
    program: &Program<'_>,
    id: u32,
    start: Instant,
    news: &Receiver<News>,
    listen: &mut dyn FnMut(Option<&str>) -> ControlFlow<()>,
) -> io::Result<Outcome> {
    let mut ending: Option<Ended> = None;
    let mut exit: Option<(ExitStatus, Instant)> = None;
    let (mut output, mut complaints) = (None, None);
    let (mut looked, mut asked) = (start, start);
    loop {
        let line = match news.recv_timeout(TICK) {
            Ok(News::Line(line)) => Some(line),
            Ok(News::Output(tail)) => {
                output = Some(tail);
                None
            }
            Ok(News::Complaints(tail)) => {
                complaints = Some(tail);
                None
            }
            Ok(News::Ended(status)) => {
                exit = Some((status?, now()));
                None
            }
            Err(RecvTimeoutError::Timeout) => None,
            // All three threads are gone: what was to be heard is heard.
            Err(RecvTimeoutError::Disconnected) if exit.is_some() => break,
            Err(RecvTimeoutError::Disconnected) => {
                end(id)?;
                return Err(io::Error::other("nobody waits for it"));
            }
        };
        let time = now();
        if let Some((_, since)) = exit {
            let is_heard = output.is_some() && complaints.is_some();
            if is_heard || time.duration_since(since) > GRACE {
                break;
            }
        }
        if ending.is_some() {
            continue; // its listener has nothing to decide any more
        }
        let is_due = time.duration_since(asked) >= TICK;
        if line.is_some() || is_due {
            asked = time;
            if listen(line.as_deref()).is_break() {
                ending = Some(Ended::Stopped);
            }
        }
        if exit.is_some() {
            continue; // too late for a limit
        }
        if ending.is_none() && time.duration_since(start) > program.time_max {
            ending = Some(Ended::Time);
        }
        if let Some(most) = program.memory_max.filter(|_| time.duration_since(looked) >= LOOK) {
            looked = time;
            let bytes = resident(id);
            if ending.is_none() && bytes > most {
                ending = Some(Ended::Memory { bytes });
            }
        }
        if ending.is_some() {
            end(id)?;
        }
    }
    let ended = match (ending, exit) {
        (Some(ending), _) => ending,
        (None, Some((status, _))) => Ended::Exit(status),
        (None, None) => return Err(io::Error::other("nobody knows how it ended")),
    };
    let (output, complaints) = (output.unwrap_or_default(), complaints.unwrap_or_default());
    Ok(Outcome { ended, output, complaints })
}

/// Where a program like `./train` lies: the system leaves open from which folder such a path is looked for.
fn resolved(name: &str, folder: Option<&Path>) -> io::Result<PathBuf> {
    match folder {
        Some(folder) if Path::new(name).components().count() > 1 => {
            std::path::absolute(folder.join(name))
        }
        Some(_) | None => Ok(PathBuf::from(name)),
    }
}

fn start_error(program: &str, error: &io::Error) -> StartError {
    /// `ENOEXEC`: executable, and no program for this machine.
    const NO_PROGRAM: i32 = 8;
    let (program, reason) = (program.to_owned(), error.to_string());
    let is_absent = matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
    );
    if is_absent || cfg!(unix) && error.raw_os_error() == Some(NO_PROGRAM) {
        StartError::NoProgram { program, reason }
    } else {
        StartError::Machine { program, reason }
    }
}

/// Reads lines to the end, or until `each` says with `false` that nobody wants more; answers the last of them.
fn read_lines(mut pipe: impl Read, mut each: impl FnMut(&[u8]) -> bool) -> String {
    let mut piece = vec![0; 16 * 1024];
    let (mut line, mut tail) = (Vec::new(), Vec::new());
    let mut take = |line: &mut Vec<u8>| {
        while line.last().is_some_and(u8::is_ascii_whitespace) {
            line.pop();
        }
        keep(&mut tail, line);
        let is_wanted = each(line);
        line.clear();
        is_wanted
    };
    'pipe: loop {
        let read = match pipe.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break, // as good as closed
        };
        let whole = piece.get(..read).unwrap_or_default();
        for part in whole.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(line.len());
            line.extend(part.get(..room.min(part.len())).unwrap_or_default());
            if part.ends_with(b"\n") && !take(&mut line) {
                break 'pipe;
            }
        }
    }
    if !line.is_empty() {
        take(&mut line);
    }
    String::from_utf8_lossy(&tail).trim().to_owned()
}

/// Appends a line to the end that is kept; a line that is longer than the end is cut in front.
fn keep(tail: &mut Vec<u8>, line: &[u8]) {
    tail.extend(line.get(line.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default());
    tail.push(b'\n');
    if tail.len() > TAIL_BYTES {
        let over = tail.len() - TAIL_BYTES;
        // Up to the next whole line, where there is one.
        let after = tail.iter().skip(over).position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let cut = if over + after < tail.len() { over + after } else { over };
        tail.drain(..cut);
    }
}

/// Waits for a program's end, ends what it left in its group, and frees its number.
///
/// In this order: until the program is reaped, its number and its group's cannot be given to anybody else.
fn reap(mut child: Child) -> io::Result<ExitStatus> {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
            end(child.id())?;
        }
    }
    child.wait()
}

/// Ends a program and all that is in its group.
#[cfg(unix)]
fn end(id: u32) -> io::Result<()> {
    use rustix::io::Errno;
    use rustix::process::{Pid, Signal, kill_process_group};
    let group = i32::try_from(id).ok().and_then(Pid::from_raw);
    match group.map(|group| kill_process_group(group, Signal::KILL)) {
        // Gone already; macOS says so of a group of zombies with EPERM.
        Some(Ok(()) | Err(Errno::SRCH | Errno::PERM)) => Ok(()),
        Some(Err(error)) => Err(error.into()),
        None => Err(io::Error::other("its number is no process")),
    }
}

/// Ends a program and its children.
#[cfg(not(unix))]
fn end(id: u32) -> io::Result<()> {
    let id = id.to_string();
    Command::new("taskkill").args(["/F", "/T", "/PID", &id]).output().map(drop)
}

/// How many bytes the group holds in memory.
#[cfg(target_os = "linux")]
fn resident(group: u32) -> u64 {
    memory::resident(Path::new("/proc"), group)
}

/// Not known here, so no limit is ever reached.
#[cfg(not(target_os = "linux"))]
const fn resident(_group: u32) -> u64 {
    0
}

#[expect(clippy::disallowed_methods, reason = "how long a program runs is real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(unix)]
#[cfg(test)]
#[path = "program/tests.rs"]
mod tests;
