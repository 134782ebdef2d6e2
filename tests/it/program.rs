//! The real program on a small workflow of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use tempfile::TempDir;

/// Wrong usage, workflow, pool, model or id.
pub(crate) const WRONG: i32 = 2;
/// A step failed for good.
pub(crate) const FAILED: i32 = 3;
/// The state directory cannot be used.
pub(crate) const STATE: i32 = 5;

pub(crate) const WORKFLOW: &str = "\
[run]
name = \"small\"
mode = \"development\"
[pool]
source = \"csv\"
path = \"pool.csv\"
validation = 0.2
test = 0.2
[selector]
batch = 3
seed_per_class = 1
[trainer]
epochs = 5
[kpi]
target = 0.99
[stop]
kpi = false
max_cycles = 2
[retry]
attempts = 2
backoff = \"1ms\"
";

/// A folder with a small workflow, its pool of 60 points in three classes, and room for a state directory.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("workflow.toml", WORKFLOW);
        folder.write("pool.csv", pool(|_| None));
        folder
    }

    /// A folder whose run is over.
    pub(crate) fn ended() -> Self {
        let folder = Self::new();
        assert!(folder.run(&[]).status.success());
        folder
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The program in this folder; its state is in `state`.
    pub(crate) fn gleaner(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner"));
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command.env_remove("GLEANER_STATE").args(["--state", "state"]).args(arguments);
        command
    }

    /// A run with `overrides`.
    pub(crate) fn running(&self, overrides: &[&str]) -> Command {
        let mut command = self.gleaner(&["run", "workflow.toml"]);
        for set in overrides {
            command.args(["--set", set]);
        }
        command
    }

    pub(crate) fn run(&self, overrides: &[&str]) -> Output {
        self.running(overrides).output().unwrap()
    }

    /// A run with `overrides` is refused for what `words` say, and nothing of it is recorded.
    pub(crate) fn refuses(&self, overrides: &[&str], words: &[&str]) {
        told(&self.run(overrides), WRONG, words);
        told(&self.gleaner(&["status"]).output().unwrap(), WRONG, &["gleaner run WORKFLOW"]);
    }

    /// The run that is here ends well, and as it would have ended without the trouble.
    pub(crate) fn recovers(&self, command: &[&str]) {
        let output = self.gleaner(command).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(self.digest(), smooth(), "not what a smooth run ends with");
    }

    pub(crate) fn digest(&self) -> String {
        let status = self.status();
        assert_eq!(status["state"], "ended", "{status}");
        status["semantic_digest"].as_str().unwrap().to_owned()
    }

    /// The production model's digest, and its file.
    pub(crate) fn production_model(&self) -> (String, PathBuf) {
        let digest = self.status()["production"].as_str().unwrap().to_owned();
        let model = self.path("state/artifacts").join(&digest[..2]).join(&digest[2..]);
        (digest, model)
    }

    fn status(&self) -> serde_json::Value {
        let status = self.gleaner(&["status", "--json"]).output().unwrap();
        serde_json::from_slice(&status.stdout).unwrap()
    }
}

/// A program at work, and what it has not yet been asked to show.
pub(crate) struct Live {
    pub(crate) child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Live {
    pub(crate) fn start(mut command: Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Waits for a line that holds `words`.
    pub(crate) fn until(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            if self.stdout.read_line(&mut line).unwrap() == 0 {
                let mut error = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
                panic!("it ended without saying {words:?}: {error}");
            }
        }
        line
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub(crate) fn end(mut self) -> Output {
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        Output { stdout: rest, ..self.child.wait_with_output().unwrap() }
    }
}

/// The semantic digest of a run of the unchanged workflow.
pub(crate) fn smooth() -> String {
    let folder = Folder::new();
    let output = folder.run(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    folder.digest()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The program ended with `code` and one error that holds all `words`; it neither panicked nor spoke of its inside.
#[track_caller]
pub(crate) fn told(output: &Output, code: i32, words: &[&str]) {
    let error = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(!error.contains("panicked"), "{error}");
}

/// 60 points around three corners; `change` may replace a line (from 2, as an editor counts).
pub(crate) fn pool(change: impl Fn(usize) -> Option<&'static str>) -> String {
    let mut text = "x,y,label\n".to_owned();
    for line in 2..62 {
        let (class, spread) = (line % 3, f64::from(u32::try_from(line).unwrap()) / 200.0);
        let (x, y) = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)][class];
        let usual = format!("{},{},{}", x + spread, y - spread, ["a", "b", "c"][class]);
        text.push_str(change(line).unwrap_or(&usual));
        text.push('\n');
    }
    text
}
