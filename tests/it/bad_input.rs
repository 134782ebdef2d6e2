//! What is wrong with the input, told by the program: one clear error that names the thing, the value and the way out, the
//! exit code that says who has to do something, and a state that is as good as before.

use crate::program::{FAILED, Folder, STATE, WORKFLOW, WRONG, pool, smooth, stderr, told};
use crate::training::{Data, Problem, one_each};
use gleaner::domain::definition::{ScheduleSpec, TrainerSpec};
use gleaner::domain::matrix::Matrix;
use gleaner::domain::task::Task as Kind;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// An ONNX model for so many values and classes, trained a little.
pub(crate) fn model(values: usize, classes: u32) -> Vec<u8> {
    let labels: Vec<u32> = (0..30).map(|row| row % classes).collect();
    let cell = |row: usize, value: usize| if value == labels[row] as usize { 1.0 } else { 0.1 };
    let cells = (0..30).flat_map(|row| (0..values).map(move |value| (row, value)));
    let inputs = Matrix::new(30, values, cells.map(|(row, value)| cell(row, value)).collect());
    let spec = TrainerSpec {
        epochs: 50,
        batch: 30,
        learning_rate: 0.2,
        schedule: ScheduleSpec::Constant,
        checkpoints: 1,
        ..TrainerSpec::default()
    };
    let problem = Problem {
        kind: Kind::Classification,
        shape: vec![values],
        classes: classes as usize,
        train: Data { inputs: inputs.unwrap(), labels: one_each(&labels) },
        validation: Data::default(),
    };
    problem.trained(&spec, 1).unwrap().remove(0).onnx
}

// --- the workflow file -----------------------------------------------------------------------------------------------

#[test]
fn a_missing_workflow_is_named() {
    let folder = Folder::new();
    let output = folder.gleaner(&["run", "elsewhere.toml"]).output().unwrap();
    told(&output, WRONG, &["elsewhere.toml", "No such file"]);
    assert!(!folder.path("state").exists(), "nothing was begun");
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_line() {
    let folder = Folder::new();
    folder.write("workflow.toml", WORKFLOW.replace("[pool]", "[pool"));
    told(&folder.run(&[]), WRONG, &["workflow.toml:4: not valid TOML"]);
    assert!(!folder.path("state").exists(), "nothing was begun");
}

#[test]
fn every_problem_of_a_workflow_is_told_at_once_with_its_line() {
    let folder = Folder::new();
    let bad = WORKFLOW
        .replace("test = 0.2", "test = 0.9")
        .replace("batch = 3", "batchsize = 3")
        .replace("epochs = 5", "epochs = 0")
        .replace("target = 0.99", "target = \"high\"");
    folder.write("workflow.toml", bad);
    let words = [
        "workflow.toml:8",
        "leave nothing to train on",
        "workflow.toml:10",
        "batchsize",
        "batch",
        "workflow.toml:13",
        "epochs",
        "workflow.toml:15",
        "target",
    ];
    told(&folder.run(&[]), WRONG, &words);
    told(&folder.gleaner(&["validate", "workflow.toml"]).output().unwrap(), WRONG, &words);
    assert!(!folder.path("state").exists(), "nothing was begun");
}

#[test]
fn an_override_that_no_workflow_has_is_refused_with_the_nearest_that_it_has() {
    let folder = Folder::new();
    told(&folder.run(&["trainer.epoch=3"]), WRONG, &["trainer.epoch", "epochs"]);
    assert!(!folder.path("state").exists(), "nothing was begun");
}

// --- the pool --------------------------------------------------------------------------------------------------------

#[test]
fn an_empty_pool_is_refused() {
    let folder = Folder::new();
    folder.write("header.csv", "x,y,label\n");
    folder.refuses(&["pool.path=header.csv"], &["header.csv", "no samples", "at least one"]);
    folder.write("nothing.csv", "");
    folder.refuses(&["pool.path=nothing.csv"], &["nothing.csv", "is empty", "at least one"]);
}

#[test]
fn a_batch_larger_than_the_pool_is_refused() {
    let words = ["selector.batch is 1000", "only 36 samples"];
    Folder::new().refuses(&["selector.batch=1000"], &words);
}

#[test]
fn a_label_outside_the_class_list_is_told_with_its_line() {
    let words = ["pool.csv:4", "\"b\"", "pool.classes"];
    Folder::new().refuses(&["pool.classes=[\"a\", \"c\"]"], &words);
}

#[test]
fn a_value_that_is_no_finite_number_is_told_with_its_line() {
    for value in ["nan", "inf", "1e39", "eleven", ""] {
        let folder = Folder::new();
        let line: &'static str = Box::leak(format!("{value},1,a").into_boxed_str());
        folder.write("pool.csv", pool(|at| (at == 5).then_some(line)));
        folder.refuses(&[], &["pool.csv:5", "\"x\"", value]);
    }
}

// --- the model -------------------------------------------------------------------------------------------------------

#[test]
fn a_missing_or_broken_model_is_refused_before_anything_is_recorded() {
    let folder = Folder::new();
    let set = &["selector.model=given.onnx"];
    folder.refuses(set, &["given.onnx", "No such file"]);
    let whole = model(2, 3);
    for broken in [&whole[..0], &whole[..whole.len() / 2], b"not a model at all".as_slice()] {
        folder.write("given.onnx", broken);
        folder.refuses(set, &["given.onnx", "is no ONNX model"]);
    }
}

#[test]
fn a_model_for_other_samples_or_classes_is_refused_with_both_numbers() {
    let folder = Folder::new();
    let set = &["selector.model=given.onnx"];
    folder.write("given.onnx", model(4, 3));
    folder.refuses(set, &["given.onnx", "[?, 4]", "[?, 2]"]);
    folder.write("given.onnx", model(2, 4));
    folder.refuses(set, &["given.onnx", "[?, 4]", "[?, 3]", "one score per class"]);
}

#[test]
fn scores_that_are_no_finite_numbers_fail_the_run_and_are_no_picks() {
    let folder = Folder::new();
    folder.write("given.onnx", model(2, 3));
    // Finite for themselves, but not times a weight.
    folder.write("pool.csv", pool(|line| [41, 44, 47].contains(&line).then_some("3e38,-3e38,c")));
    let set = ["selector.model=given.onnx", "pool.validation=0.1", "pool.test=0.1"];
    let output = folder.run(&set);
    told(&output, FAILED, &[]);
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot be scored: `logits` of row"), "{said}");
    assert!(!said.contains('\u{1b}'), "escape codes where nobody looks at a terminal: {said}");
    let log = folder.gleaner(&["log", "--json"]).output().unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    assert!(log.contains("CycleFailed") && !log.contains("BatchSelected"), "{log}");
    // As long as the cause stays, so does the failure.
    told(&folder.gleaner(&["resume"]).output().unwrap(), FAILED, &[]);
}

// --- the state directory ---------------------------------------------------------------------------------------------

#[test]
fn a_newer_state_directory_is_left_alone() {
    let folder = Folder::new();
    assert!(folder.run(&[]).status.success());
    let format = fs::read_to_string(folder.path("state/format")).unwrap();
    folder.write("state/format", "999\n");
    let words = ["format 999", "use a newer gleaner"];
    for arguments in [&["status"][..], &["resume"], &["run", "workflow.toml"], &["jobs"]] {
        told(&folder.gleaner(arguments).output().unwrap(), STATE, &words);
    }
    folder.write("state/format", format);
    assert_eq!(folder.digest(), smooth());
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let below_a_file = folder.gleaner(&["--state", "pool.csv/state", "run", "workflow.toml"]);
    // `--state` twice is wrong usage, so the folder's own is taken out.
    let mut command = Command::new(below_a_file.get_program());
    command.current_dir(folder.root()).args(below_a_file.get_args().skip(2));
    told(&command.output().unwrap(), STATE, &["pool.csv/state", "cannot be written"]);
}

#[test]
#[cfg(unix)]
fn a_read_only_directory_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    fs::create_dir(folder.path("state")).unwrap();
    fs::set_permissions(folder.path("state"), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.path("state/probe"), "").is_ok() {
        eprintln!("SKIPPED: permissions do not bind this user");
        return;
    }
    told(&folder.run(&[]), STATE, &["state cannot be written", "Permission denied"]);
    assert_eq!(fs::read_dir(folder.path("state")).unwrap().count(), 0, "nothing was begun");
}

/// A file may have so many blocks of 512 bytes and no more; a disk that is full behaves alike.
#[cfg(unix)]
fn with_little_room(command: &Command, blocks: u32) -> Output {
    let mut shell = Command::new("sh");
    // Ignored, the signal becomes the error that a write answers with.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    shell.arg("-c").arg(script).arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null()).output().unwrap()
}

#[test]
#[cfg(unix)]
fn a_run_that_finds_no_room_stops_with_an_error_and_goes_on_where_there_is_some() {
    let mut codes = Vec::new();
    for blocks in [1, 2, 4, 8, 12, 16, 24, 32, 64] {
        let folder = Folder::new();
        let run = folder.gleaner(&["run", "workflow.toml"]);
        let output = with_little_room(&run, blocks);
        let error = stderr(&output);
        let code = output.status.code();
        assert!(!error.contains("panicked"), "{blocks}: {error}");
        assert!(
            code.is_some_and(|code| [0, 1, 2, FAILED, STATE].contains(&code)),
            "{blocks}: {error}"
        );
        codes.push(code.unwrap());
        if code != Some(0) {
            assert!(error.contains("error: ") || code == Some(FAILED), "{blocks}: {error}");
            let begun = folder.gleaner(&["status"]).output().unwrap().status.success();
            folder.recovers(if begun { &["resume"] } else { &["run", "workflow.toml"] });
        }
    }
    assert!(codes.iter().any(|code| *code != 0), "there was always room: {codes:?}");
}

// --- the machine -----------------------------------------------------------------------------------------------------

#[test]
fn a_run_without_a_runtime_that_may_install_none_says_what_was_tried() {
    let folder = Folder::new();
    let bare = |arguments: &[&str]| {
        let mut command = folder.gleaner(arguments);
        command.env_clear().env("PATH", "/nonexistent").env("HOME", folder.root());
        command.output().unwrap()
    };
    if bare(&["run", "workflow.toml", "--no-install"]).status.success() {
        eprintln!("SKIPPED: this machine has an onnxruntime of its own");
        return;
    }
    fs::remove_dir_all(folder.path("state")).unwrap();
    let words =
        ["no onnxruntime", "forbidden", "gleaner runtime install", "ORT_DYLIB_PATH", "tried"];
    told(&bare(&["run", "workflow.toml", "--no-install"]), 1, &words);
    folder.recovers(&["run", "workflow.toml"]);
}

#[test]
fn a_runtime_that_the_user_named_must_work() {
    let folder = Folder::new();
    folder.write("no.so", "not a library");
    let library = folder.path("no.so");
    let named = |path: &Path| {
        let mut command = folder.gleaner(&["run", "workflow.toml"]);
        command.env("ORT_DYLIB_PATH", path).output().unwrap()
    };
    told(&named(&library), 1, &["ORT_DYLIB_PATH", "no.so"]);
    folder.recovers(&["run", "workflow.toml"]);
}
