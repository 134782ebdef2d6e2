//! The real binary, killed with SIGKILL at random instants and resumed: it ends with the history it would have had.

use crate::support::workflows;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Kills that one campaign survives before the next one begins.
const KILLS_PER_CAMPAIGN: usize = 10;

pub(crate) fn gleaner(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner"));
    command.arg("--state").arg(state).args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A run of a workflow with other values for its keys.
pub(crate) fn run(state: &Path, file: &Path, set: &[&str]) -> Command {
    let mut command = gleaner(state, &["run"]);
    command.arg(file);
    for set in set {
        command.args(["--set", set]);
    }
    command
}

pub(crate) fn status(state: &Path) -> Option<serde_json::Value> {
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

/// Kills runs at random instants within `longest` until there were `most` kills, and resumes each: every run ends as the
/// smooth one.
fn survives(most: usize, longest: Duration, run: &dyn Fn(&Path) -> Command) {
    survives_alike(most, longest, run, &|_| String::new());
}

/// The same, where what `told` says of a state directory must be the same, too.
fn survives_alike(
    most: usize,
    longest: Duration,
    run: &dyn Fn(&Path) -> Command,
    told: &dyn Fn(&Path) -> String,
) {
    let smooth = tempfile::tempdir().unwrap();
    assert!(run(smooth.path()).status().unwrap().success());
    let expected = status(smooth.path()).unwrap();
    assert_eq!(expected["state"], "ended");
    let expected_to_be_told = told(smooth.path());

    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut kills = 0;
    while kills < most {
        let dir = tempfile::tempdir().unwrap();
        let mut campaign_kills = 0;
        loop {
            let started = status(dir.path()).is_some();
            let mut command =
                if started { gleaner(dir.path(), &["resume"]) } else { run(dir.path()) };
            if campaign_kills == KILLS_PER_CAMPAIGN || kills == most {
                assert!(command.status().unwrap().success(), "after {kills} kills");
                break;
            }
            // xorshift64: the instants are random, and the same in every run of this test
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let delay = Duration::from_micros(random % u64::try_from(longest.as_micros()).unwrap());
            if kill_after(command.stdout(Stdio::piped()).spawn().unwrap(), delay) {
                kills += 1;
                campaign_kills += 1;
            } else {
                break; // it ended before the kill
            }
        }
        let found = status(dir.path()).unwrap();
        assert_eq!(found["state"], "ended");
        assert_eq!(found["production"], expected["production"], "after {kills} kills");
        assert_eq!(found["semantic_digest"], expected["semantic_digest"], "after {kills} kills");
        assert_eq!(told(dir.path()), expected_to_be_told, "after {kills} kills");
    }
}

#[test]
fn fifty_kills_change_nothing() {
    let set = ["stop.max_cycles=4", "stop.kpi=false", "trainer.epochs=20"];
    let file = workflows().join("digits.toml");
    survives(50, Duration::from_millis(600), &|state| run(state, &file, &set));
}

/// The page of the newest run without what another course of the same run may change.
fn report(state: &Path) -> String {
    let file = state.join("report.html");
    let mut command = gleaner(state, &["report", "--output", file.to_str().unwrap()]);
    assert!(command.status().unwrap().success());
    let mut page = std::fs::read_to_string(file).unwrap();
    for (begin, end) in [
        ("<time ", "</time>"),
        ("<span class=\"t\">", "</span>"),
        ("<section id=\"interruptions\">", "</section>"),
    ] {
        while let Some(from) = page.find(begin) {
            let to = from + page[from..].find(end).unwrap() + end.len();
            page.replace_range(from..to, "");
        }
    }
    page
}

#[test]
fn thirty_kills_change_nothing_in_the_report() {
    let set = ["stop.max_cycles=4", "stop.kpi=false", "trainer.epochs=20"];
    let file = workflows().join("digits-softmax.toml");
    let run = |state: &Path| run(state, &file, &set);
    survives_alike(30, Duration::from_millis(400), &run, &|state| {
        let page = report(state);
        assert!(page.contains("data:image/png") && page.contains(">sound</span>"), "{page}");
        page
    });
}

#[test]
fn a_training_that_is_killed_twenty_times_ends_with_the_same_model() {
    // Nearly all of the time goes into two trainings of a convolutional network.
    let set = ["stop.max_cycles=2", "stop.kpi=false", "trainer.epochs=120"];
    let file = workflows().join("digits-cnn.toml");
    survives(20, Duration::from_secs(2), &|state| run(state, &file, &set));
}

#[cfg(unix)]
#[test]
fn a_training_outside_that_is_killed_twenty_times_ends_with_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // A model to hand out, and a program that takes its time over it.
    let state = path("state");
    let softmax = workflows().join("digits-softmax.toml");
    let once = ["stop.max_cycles=1", "trainer.epochs=20"];
    assert!(run(&state, &softmax, &once).status().unwrap().success());
    let export = ["models", "export", path("model.onnx").to_str().unwrap()].map(str::to_owned);
    let export: Vec<&str> = export.iter().map(String::as_str).collect();
    assert!(gleaner(&state, &export).status().unwrap().success());
    let script = r#"
for epoch in 1 2 3 4; do echo "{\"epoch\":$epoch,\"epochs\":4}"; sleep 0.05; done
cp model.onnx "$1/model.onnx"
echo '{"version":1,"checkpoints":[{"file":"model.onnx","step":4,"metrics":{"validation.accuracy":0.5}}]}' > "$1/result.json"
"#;
    std::fs::write(path("train.sh"), script).unwrap();
    std::fs::copy(workflows().join("data/digits.csv"), path("digits.csv")).unwrap();
    let text = std::fs::read_to_string(workflows().join("digits-sklearn.toml")).unwrap();
    let text = text.replace("data/digits.csv", "digits.csv");
    let text = text.replace(r#"["python3", "external/train_sklearn.py"]"#, r#"["sh", "train.sh"]"#);
    std::fs::write(path("workflow.toml"), text).unwrap();
    let set = ["stop.max_cycles=3", "stop.kpi=false"];
    survives(20, Duration::from_millis(900), &|state| run(state, &path("workflow.toml"), &set));
}
