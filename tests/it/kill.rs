//! The real binary, killed with SIGKILL at random instants and resumed: it ends with the history it would have had.

use crate::support::workflows;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const KILLS: usize = 50;

/// Kills that one campaign survives before the next one begins.
const KILLS_PER_CAMPAIGN: usize = 10;

fn gleaner(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner"));
    command.arg("--state").arg(state).args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run(state: &Path) -> Command {
    let file = workflows().join("digits.toml");
    let mut command = gleaner(state, &["run"]);
    command.arg(file).args(["--set", "stop.max_cycles=4", "--set", "stop.kpi=false"]);
    command.args(["--set", "trainer.epochs=20"]);
    command
}

fn status(state: &Path) -> Option<serde_json::Value> {
    let output = gleaner(state, &["status", "--json"]).stdout(Stdio::piped()).output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

/// Whether the child was still at work after `delay`, and died of SIGKILL.
fn kill_after(mut child: Child, delay: Duration) -> bool {
    let mut output = child.stdout.take().unwrap();
    let (ended, ending) = mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        drop(std::io::copy(&mut output, &mut std::io::sink())); // until the child ends
        drop(ended);
    });
    let _ = ending.recv_timeout(delay); // whichever comes first, the instant or the end
    drop(child.kill()); // it may have ended just now
    reader.join().unwrap();
    child.wait().unwrap().signal() == Some(9)
}

#[test]
fn fifty_kills_change_nothing() {
    let smooth = tempfile::tempdir().unwrap();
    assert!(run(smooth.path()).status().unwrap().success());
    let expected = status(smooth.path()).unwrap();
    assert_eq!(expected["state"], "ended");

    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut kills = 0;
    while kills < KILLS {
        let dir = tempfile::tempdir().unwrap();
        let mut campaign_kills = 0;
        loop {
            let started = status(dir.path()).is_some();
            let mut command =
                if started { gleaner(dir.path(), &["resume"]) } else { run(dir.path()) };
            if campaign_kills == KILLS_PER_CAMPAIGN || kills == KILLS {
                assert!(command.status().unwrap().success(), "after {kills} kills");
                break;
            }
            // xorshift64: the instants are random, and the same in every run of this test
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let delay = Duration::from_micros(random % 600_000);
            if kill_after(command.stdout(Stdio::piped()).spawn().unwrap(), delay) {
                kills += 1;
                campaign_kills += 1;
            } else {
                break; // it ended before the kill
            }
        }
        let found = status(dir.path()).unwrap();
        assert_eq!(found["state"], "ended");
        assert_eq!(found["semantic_digest"], expected["semantic_digest"], "after {kills} kills");
    }
}
