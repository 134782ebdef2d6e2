//! A process that is going to die, and what it said until then.

use super::SelftestError;
use crate::faults::Fault;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Nothing that a child is asked for takes so long; one that does hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// Which work a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Every lane, for ever.
    Everything,
    /// One campaign, to its end.
    Campaign,
    /// Opens a state directory, reads and verifies all of it.
    Inspect,
}

impl Role {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Campaign => "campaign",
            Self::Inspect => "inspect",
        }
    }
}

/// How children are started: this very program, with its hidden subcommand.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Children do not sync: a harness that sees must then find lost events.
    pub without_barrier: bool,
    /// Children say facts before they are acknowledged: a harness that sees must then find lost events.
    pub early: bool,
}

/// A running child.
pub(super) struct Child {
    process: std::process::Child,
    output: JoinHandle<Vec<String>>,
    errors: JoinHandle<String>,
    ended: mpsc::Receiver<()>,
}

/// A child that is no more.
pub(super) struct Ended {
    /// How it ended.
    pub(super) status: ExitStatus,
    /// What it printed, line by line.
    pub(super) lines: Vec<String>,
    /// What it complained about.
    pub(super) errors: String,
    /// It had to be killed because it did not end.
    pub(super) hung: bool,
}

impl Ended {
    /// Whether it came so far as to have its stores open.
    pub(super) fn was_open(&self) -> bool {
        self.lines.first().is_some_and(|line| line == "opened")
    }

    /// Whether it died of a signal that nobody sent, or of a panic that got away.
    pub(super) fn crashed(&self) -> bool {
        self.errors.contains("panicked at") || self.status.code() == Some(101)
    }

    /// Whether SIGABRT ended it, as planned faults do.
    pub(super) fn aborted(&self) -> bool {
        self.status.signal() == Some(6)
    }

    /// Whether SIGKILL ended it.
    pub(super) fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

impl Program {
    /// Starts a child.
    pub(super) fn start(
        &self,
        role: Role,
        folder: &Path,
        fault: Option<(u64, Fault)>,
    ) -> Result<Child, SelftestError> {
        let mut command = Command::new(&self.path);
        command.arg("selftest-child").arg(role.name()).arg(folder);
        if let Some((number, fault)) = fault {
            command.arg("--fault").arg(format!("{number}:{}", fault.name()));
        }
        if self.without_barrier {
            command.arg("--without-barrier");
        }
        if self.early {
            command.arg("--early");
        }
        Self::spawn(command)
    }

    /// Has `gleaner repair` do what it can.
    pub(super) fn repair(&self, state: &Path, copy: Option<&Path>) -> Result<Ended, SelftestError> {
        let mut command = Command::new(&self.path);
        command.arg("--state").arg(state).arg("repair");
        if let Some(copy) = copy {
            command.arg("--copy").arg(copy);
        }
        Self::spawn(command)?.wait()
    }

    fn spawn(mut command: Command) -> Result<Child, SelftestError> {
        // Nothing of the parent's environment is needed.
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(SelftestError::Child)?;
        let (Some(stdout), Some(mut stderr)) = (process.stdout.take(), process.stderr.take())
        else {
            return Err(SelftestError::Harness("a child without output".to_owned()));
        };
        let (sender, ended) = mpsc::channel::<()>();
        let output = std::thread::spawn(move || {
            let _until_the_end = sender;
            said_lines(stdout).collect()
        });
        let errors = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _cut_short = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ok(Child { process, output, errors, ended })
    }

    /// Has a child do its work to the end.
    pub(super) fn finish(
        &self,
        role: Role,
        folder: &Path,
        fault: Option<(u64, Fault)>,
    ) -> Result<Ended, SelftestError> {
        self.start(role, folder, fault)?.wait()
    }
}

impl Child {
    /// Lets it work for so long, or until it ends.
    pub(super) fn work_for(&self, time: Duration) {
        let _whichever_comes_first = self.ended.recv_timeout(time);
    }

    /// Sends a signal; it may have ended just now.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ended_already = kill_process(pid, signal);
        }
    }

    /// Waits for its end.
    pub(super) fn wait(self) -> Result<Ended, SelftestError> {
        let hung =
            matches!(self.ended.recv_timeout(HANGS_AFTER), Err(mpsc::RecvTimeoutError::Timeout));
        if hung {
            self.signal(Signal::KILL);
        }
        self.end(hung)
    }

    /// Kills it.
    pub(super) fn kill(self) -> Result<Ended, SelftestError> {
        self.signal(Signal::KILL);
        self.end(false)
    }

    fn end(mut self, hung: bool) -> Result<Ended, SelftestError> {
        let status = self.process.wait().map_err(SelftestError::Child)?;
        let lost = |_| SelftestError::Harness("a reader of a child's output died".to_owned());
        let lines = self.output.join().map_err(lost)?;
        let errors = self.errors.join().map_err(lost)?;
        Ok(Ended { status, lines, errors, hung })
    }
}

/// The whole lines that a child says. One that its end cut short was not said.
pub fn said_lines(pipe: impl Read) -> impl Iterator<Item = String> {
    let mut pipe = BufReader::new(pipe);
    std::iter::from_fn(move || {
        let mut line = String::new();
        pipe.read_line(&mut line).ok()?;
        line.strip_suffix('\n').map(str::to_owned)
    })
}
