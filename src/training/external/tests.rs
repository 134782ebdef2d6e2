//! Stories about programs that train, told by shell scripts; the folder is `$1`.

use super::*;
use crate::domain::npy;
use serde_json::json;
use std::fs;

/// What a good program leaves, with the model in a folder of its own.
const GOOD: &str = r#"
mkdir $1/models && printf weights > $1/models/10.onnx && printf more > $1/20.onnx
cat > $1/result.json <<'END'
{"version": 1, "by": "sh", "checkpoints": [
  {"file": "models/10.onnx", "step": 10, "metrics": {"validation.accuracy": 0.75, "epoch": 1}, "more": []},
  {"file": "./20.onnx", "step": 20}]}
END
"#;

/// A request that lends what a story holds.
struct Story {
    command: TrainCommand,
    task: Task,
    classes: Vec<String>,
    shape: Vec<usize>,
    ids: Vec<SampleId>,
    inputs: Matrix,
    labels: Matrix,
    folder: tempfile::TempDir,
}

impl Story {
    /// Three samples of shape `[1, 2]` and three classes.
    fn of(script: &str) -> Self {
        let mut command = TrainCommand::new(["sh", "-c", script, "sh"].map(str::to_owned).to_vec());
        command.seconds = 120; // a bound for the tests themselves
        Self {
            command,
            task: Task::Classification,
            classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
            shape: vec![1, 2],
            ids: ["x", "y,\"z\"", "w"].map(SampleId::from).to_vec(),
            inputs: Matrix::new(3, 2, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap(),
            labels: Matrix::new(3, 1, vec![2.0, 0.0, 1.0]).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn set(&self) -> ExternalSet<'_> {
        ExternalSet { ids: &self.ids, inputs: &self.inputs, labels: &self.labels }
    }

    fn request(&self) -> ExternalRequest<'_> {
        ExternalRequest {
            command: &self.command,
            task: self.task,
            classes: &self.classes,
            shape: &self.shape,
            seed: 7,
            train: self.set(),
            validation: self.set(),
            previous: None,
            folder: self.folder.path(),
            workplace: None,
        }
    }

    /// What comes of it; nothing is left of the folder, whatever that is.
    #[track_caller]
    fn run(&self) -> Result<Vec<ExternalCheckpoint>, ExternalError> {
        let answer = train_external(&self.request(), &mut |_| ControlFlow::Continue(()));
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 0, "a folder is left");
        answer
    }
}

/// What a script runs into.
#[track_caller]
fn failure(script: &str) -> ExternalError {
    let error = Story::of(script).run().unwrap_err();
    assert!(error.is_retryable(), "{error}");
    error
}

/// What is wrong with what a script leaves.
#[track_caller]
fn problem(script: &str) -> ResultProblem {
    let error = failure(&format!("echo spoken; {script}"));
    let ExternalError::Result { problem, last } = error else { panic!("{error}") };
    assert_eq!(last, "spoken");
    problem
}

/// A script that writes a result.
fn writes(result: &Value) -> String {
    format!("printf weights > $1/m.onnx; cat > $1/result.json <<'END'\n{result}\nEND\n")
}

/// A script that lists these files.
fn lists(files: &[&str]) -> String {
    let listed: Vec<Value> = files.iter().map(|file| json!({ "file": file, "step": 1 })).collect();
    writes(&json!({ "version": 1, "checkpoints": listed }))
}

#[test]
fn what_a_program_leaves_is_read_and_what_it_claims_is_told_as_a_claim() {
    let found = Story::of(GOOD).run().unwrap();
    let claimed = [("epoch".to_owned(), 1.0), ("validation.accuracy".to_owned(), 0.75)];
    assert_eq!(
        found,
        [
            ExternalCheckpoint { onnx: b"weights".to_vec(), step: 10, claimed: claimed.into() },
            ExternalCheckpoint { onnx: b"more".to_vec(), step: 20, claimed: BTreeMap::new() },
        ]
    );
}

#[test]
fn a_program_is_given_all_that_it_may_learn_from() {
    let mut story = Story::of("");
    let folder = story.folder.path().join("asked");
    fs::create_dir(&folder).unwrap();
    let model = story.folder.path().join("production");
    fs::write(&model, "old weights").unwrap();
    story.command.settings.insert("depth".to_owned(), "3".to_owned());
    let none = Matrix::new(0, 2, Vec::new()).unwrap();
    let nobody = ExternalSet { ids: &[], inputs: &none, labels: &none };
    let request = ExternalRequest { previous: Some(&model), validation: nobody, ..story.request() };
    request::check(&request).unwrap();
    request::write(&request, &folder).unwrap();
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let told: Value = serde_json::from_slice(&read("request.json")).unwrap();
    let files = |what: &str, count: usize| {
        json!({
            "count": count,
            "inputs": format!("{what}-inputs.npy"),
            "labels": format!("{what}-labels.npy"),
            "samples": format!("{what}-samples.csv"),
        })
    };
    assert_eq!(
        told,
        json!({
            "version": 1, "task": "classification", "classes": ["a", "b", "c"], "shape": [1, 2], "seed": 7,
            "folder": folder, "previous": "previous.onnx", "settings": { "depth": "3" },
            "limits": { "seconds": 120, "memory_mb": null },
            "train": files("train", 3), "validation": files("validation", 0),
        })
    );
    assert_eq!(read("previous.onnx"), b"old weights");
    assert_eq!(read("train-samples.csv"), b"index,id\n0,x\n1,\"y,\"\"z\"\"\"\n2,w\n");
    let (inputs, labels) = (read("train-inputs.npy"), read("train-labels.npy"));
    let header = npy::parse(&inputs).unwrap();
    assert_eq!((header.descr.as_str(), header.shape.as_slice()), ("<f4", &[3, 1, 2][..]));
    let values =
        inputs[header.offset..].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    assert_eq!(values.collect::<Vec<_>>(), story.inputs.data());
    let header = npy::parse(&labels).unwrap();
    assert_eq!((header.descr.as_str(), header.shape.as_slice()), ("<i8", &[3][..]));
    let values =
        labels[header.offset..].chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()));
    assert_eq!(values.collect::<Vec<_>>(), [2, 0, 1]);
    assert_eq!(npy::parse(&read("validation-inputs.npy")).unwrap().shape, [0, 1, 2]);
}

#[test]
fn labels_have_the_form_of_their_task() {
    for (task, labels, descr, shape) in [
        (Task::MultiLabel, vec![0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0], "<f4", vec![3, 3]),
        (Task::Regression, vec![0.5, -1.0, 2.0], "<f4", vec![3]),
        (Task::Segmentation, vec![0.0, 1.0, 2.0, 2.0, 1.0, 0.0], "<i8", vec![3, 1, 2]),
    ] {
        let mut story = Story::of("");
        (story.task, story.shape) = (task, vec![1, 1, 2]);
        story.labels = Matrix::new(3, labels.len() / 3, labels).unwrap();
        let request = story.request();
        request::check(&request).unwrap();
        request::write(&request, story.folder.path()).unwrap();
        let file = fs::read(story.folder.path().join("validation-labels.npy")).unwrap();
        let header = npy::parse(&file).unwrap();
        assert_eq!((header.descr.as_str(), &header.shape), (descr, &shape), "{task:?}");
        let width = if descr == "<i8" { 8 } else { 4 };
        assert_eq!(file.len() - header.offset, width * shape.iter().product::<usize>());
    }
}

#[test]
fn progress_is_heard_and_talk_is_not_taken_for_it() {
    let story = Story::of(&format!(
        r#"echo hello; echo '{{"epoch":'; echo '{{"epoch": 1, "epochs": 2, "loss": 0.5, "message": "warm", "x": []}}'
        echo '[3]'; echo '{{"epoch": 2.5, "validation.accuracy": 1}}'; {GOOD}"#
    ));
    let mut heard: Vec<ExternalProgress> = Vec::new();
    let found = train_external(&story.request(), &mut |progress| {
        if heard.last() != Some(progress) {
            heard.push(progress.clone());
        }
        ControlFlow::Continue(())
    });
    assert_eq!(found.unwrap().len(), 2);
    let numbers = |name: &str, value: f64| BTreeMap::from([(name.to_owned(), value)]);
    assert_eq!(
        heard,
        [
            ExternalProgress::default(),
            ExternalProgress {
                lines: 1,
                epoch: Some(1),
                epochs: Some(2),
                numbers: numbers("loss", 0.5),
                message: Some("warm".to_owned()),
            },
            ExternalProgress {
                lines: 2,
                numbers: numbers("validation.accuracy", 1.0),
                ..ExternalProgress::default()
            },
        ]
    );
}

#[test]
fn a_training_that_is_broken_off_is_ended_in_the_middle() {
    let story = Story::of(r#"echo '{"epoch": 1}'; sleep 600 & wait"#);
    let error = train_external(&story.request(), &mut |progress| {
        if progress.epoch.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap_err();
    assert_eq!(error, ExternalError::Interrupted);
    assert!(!error.is_retryable());
    assert_eq!(fs::read_dir(story.folder.path()).unwrap().count(), 0);
    // And one that never says a word.
    let silent = Story::of("exec sleep 600");
    let mut asked = 0;
    let error = train_external(&silent.request(), &mut |_| {
        asked += 1;
        if asked > 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(error, Err(ExternalError::Interrupted));
}

#[test]
fn a_program_that_fails_is_quoted_even_where_it_left_a_result() {
    let error = failure(&format!("{GOOD} echo epoch 3; echo no such column >&2; exit 3"));
    let text =
        "the training program failed with exit status: 3; its last lines:\nepoch 3\nno such column";
    assert_eq!(error.to_string(), text);
    let error = failure(&format!("{GOOD} kill -KILL $$"));
    assert_eq!(
        error.to_string(),
        "the training program failed with signal: 9 (SIGKILL); it said nothing"
    );
}

#[test]
fn a_program_that_hangs_is_ended_at_its_limit_with_its_last_lines() {
    let mut story = Story::of("echo begin; sleep 600 & wait");
    story.command.seconds = 1;
    let error = story.run().unwrap_err();
    assert_eq!(error, ExternalError::TimedOut { seconds: 1, last: "begin".to_owned() });
    assert!(error.is_retryable());
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_eats_memory_is_ended() {
    let mut story = Story::of("echo hungry; dd if=/dev/zero bs=200M count=1 | sleep 600");
    story.command.memory_mb = Some(50);
    let error = story.run().unwrap_err();
    let ExternalError::Memory { mebibytes, limit: 50, ref last } = error else { panic!("{error}") };
    assert!(mebibytes >= 50 && last == "hungry" && error.is_retryable());
}

#[test]
fn a_program_that_is_none_is_not_tried_again() {
    let mut story = Story::of("");
    let plain = story.folder.path().join("plain");
    fs::write(&plain, GOOD).unwrap();
    for word in ["/no/such/program", plain.to_str().unwrap()] {
        story.command.command = vec![word.to_owned()];
        let error =
            train_external(&story.request(), &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(error, ExternalError::NoProgram { .. }) && !error.is_retryable());
        assert!(error.to_string().contains(word), "{error}");
    }
    for words in [vec![], vec![String::new()]] {
        story.command.command = words;
        let none = train_external(&story.request(), &mut |_| ControlFlow::Continue(()));
        assert_eq!(none, Err(ExternalError::NoCommand));
    }
}

#[test]
fn a_program_that_ends_well_without_a_result_has_not_trained() {
    assert_eq!(problem("true"), ResultProblem::Absent);
    assert_eq!(problem("mkdir $1/result.json"), ResultProblem::Absent);
    assert_eq!(problem("mkfifo $1/result.json"), ResultProblem::Absent);
    assert_eq!(problem(&lists(&[])), ResultProblem::NoCheckpoints);
    assert!(matches!(problem("ln -s /etc/hostname $1/result.json"), ResultProblem::Outside { .. }));
}

#[test]
fn a_result_that_is_half_written_or_of_another_form_is_told() {
    for text in ["", r#"{"version": 1, "checkpoints": [{"file": "m.on"#, r#"{"loss": NaN}"#] {
        let found = problem(&format!("printf '%s' '{text}' > $1/result.json"));
        assert!(matches!(found, ResultProblem::NoJson { .. }), "{text}: {found}");
    }
    for (result, found) in [
        (json!({ "checkpoints": [] }), "null"),
        (json!({ "version": 2, "checkpoints": 0 }), "2"),
        (json!({ "version": "1" }), "\"1\""),
        (json!([1]), "null"),
    ] {
        let found = ResultProblem::Version { found: found.to_owned() };
        assert_eq!(problem(&writes(&result)), found);
    }
    for (checkpoints, named) in [
        (json!(null), "null"),
        (json!({}), "map"),
        (json!([{ "step": 1 }]), "missing field `file`"),
        (json!([{ "file": "m.onnx" }]), "missing field `step`"),
        (json!([{ "file": "m.onnx", "step": -1 }]), "-1"),
    ] {
        let found = problem(&writes(&json!({ "version": 1, "checkpoints": checkpoints })));
        assert!(matches!(found, ResultProblem::Schema { .. }), "{found}");
        assert!(found.to_string().contains(named), "{found}");
    }
    let found = problem(&lists(&["m.onnx"; CHECKPOINTS_MAX + 1]));
    assert_eq!(found, ResultProblem::TooMany { found: 1001 });
}

#[test]
fn a_claim_that_is_no_finite_number_is_refused() {
    for value in [json!(null), json!("0.9"), json!([])] {
        let metrics =
            json!({ "file": "m.onnx", "step": 1, "metrics": { "validation.loss": value } });
        let found = problem(&writes(&json!({ "version": 1, "checkpoints": [metrics] })));
        assert!(matches!(found, ResultProblem::Metric { .. }), "{found}");
        assert!(found.to_string().contains("\"validation.loss\" of the checkpoint \"m.onnx\""));
    }
}

#[test]
fn a_checkpoint_is_a_file_in_the_folder_that_the_program_was_given() {
    let outside = |script: &str, file: &str| {
        let found = problem(&format!("{script} {}", lists(&[file])));
        assert_eq!(found, ResultProblem::Outside { file: file.to_owned() });
    };
    outside("", "/etc/hostname");
    outside("", "../m.onnx");
    outside("mkdir $1/a;", "a/../m.onnx");
    outside("ln -s /etc/hostname $1/link.onnx;", "link.onnx");
    outside("ln -s /etc $1/etc;", "etc/hostname");
    let missing = |script: &str, file: &str| {
        let found = problem(&format!("{script} {}", lists(&[file])));
        assert_eq!(found, ResultProblem::NoFile { file: file.to_owned() });
    };
    missing("", "absent.onnx");
    missing("", "");
    missing("", "m.onnx/x");
    missing("mkdir $1/a;", "a");
    missing("mkfifo $1/pipe;", "pipe");
    missing("ln -s nothing $1/dangling;", "dangling");
    let empty = problem(&format!(": > $1/e.onnx; {}", lists(&["m.onnx", "e.onnx"])));
    assert_eq!(empty, ResultProblem::Empty { file: "e.onnx".to_owned() });
    for twice in ["m.onnx", "./m.onnx", "link.onnx"] {
        let found = problem(&format!("ln -s m.onnx $1/link.onnx; {}", lists(&["m.onnx", twice])));
        assert_eq!(found, ResultProblem::Twice { file: twice.to_owned() });
    }
    let large = format!("truncate -s 2147483648 $1/l.onnx; {}", lists(&["m.onnx", "l.onnx"]));
    assert!(matches!(problem(&large), ResultProblem::TooLarge { bytes: 2_147_483_655, .. }));
    // A link to a file of the same folder, such as `best.onnx`, is as good as the file.
    let linked = format!("ln -s m.onnx $1/best.onnx; {}", lists(&["best.onnx"]));
    assert_eq!(Story::of(&linked).run().unwrap()[0].onnx, b"weights");
}

#[test]
fn a_request_that_cannot_be_is_refused_before_anything_is_started() {
    #[track_caller]
    fn refused(change: impl FnOnce(&mut Story), words: &str) {
        let mut story = Story::of("exit 99");
        change(&mut story);
        let error = story.run().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.is_retryable());
    }
    refused(|s| s.classes.truncate(1), "1 classes; the task needs at least 2");
    refused(|s| s.inputs = Matrix::default(), "no labelled samples");
    refused(|s| s.ids.truncate(2), "3 train samples have 2 ids and 3 labels");
    refused(|s| s.shape = vec![3], "train inputs have 2 numbers each; 3 are expected");
    refused(|s| s.task = Task::MultiLabel, "train labels have 1 numbers each; 3 are expected");
    for (value, shown) in [(3.0, "3"), (0.5, "0.5"), (-1.0, "-1"), (f32::NAN, "NaN")] {
        let labels = Matrix::new(3, 1, vec![0.0, value, 1.0]).unwrap();
        let words = format!("a label of train sample 1 is {shown}; the index of one of 3 classes");
        refused(|s| s.labels = labels, &words);
    }
    let inputs = Matrix::new(3, 2, vec![0.0, 1.0, 2.0, 3.0, 4.0, f32::INFINITY]).unwrap();
    refused(|s| s.inputs = inputs, "value 1 of train sample 2 is not a finite number");
}

#[test]
fn a_folder_that_cannot_be_written_says_so_and_may_be_tried_again() {
    let story = Story::of(GOOD);
    let absent = story.folder.path().join("absent");
    let request = ExternalRequest { folder: &absent, ..story.request() };
    let error = train_external(&request, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, ExternalError::Write { .. }) && error.is_retryable());
    assert!(error.to_string().contains("absent"), "{error}");
}
