//! What a training promises: the same labels and seed give the same bytes, and the file serves what was trained.

use gleaner::domain::definition::{
    Augment, ClassWeights, GraphSpec, LossSpec, Normalise, OptimizerSpec, ProviderChoice,
    ScheduleSpec, TrainerSpec,
};
use gleaner::domain::matrix::Matrix;
use gleaner::domain::task::Task as Kind;
use gleaner::inference::{LoadOptions, Predictions, Scores, load};
use gleaner::training::{
    Labelled, TaskRequest, TrainRequest, TrainedCheckpoint, TrainingError, built_in, remarks, train,
};
use std::ops::ControlFlow;

/// Rows with their labels.
#[derive(Clone, Default)]
pub(crate) struct Data {
    pub(crate) inputs: Matrix,
    pub(crate) labels: Matrix,
}

impl Data {
    pub(crate) fn labelled(&self) -> Labelled<'_> {
        Labelled { inputs: &self.inputs, labels: &self.labels }
    }
}

/// A task on some data.
#[derive(Clone)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) shape: Vec<usize>,
    pub(crate) classes: usize,
    pub(crate) train: Data,
    pub(crate) validation: Data,
}

impl Problem {
    /// Trains; `resume` is the state that an interrupted training left, and `most` after how many epochs this one is.
    pub(crate) fn trained_on(
        &self,
        spec: &TrainerSpec,
        seed: u64,
        resume: Option<&[u8]>,
        most: usize,
    ) -> (Result<Vec<TrainedCheckpoint>, TrainingError>, Vec<u8>) {
        let mut left = Vec::new();
        let task = built_in(&TaskRequest {
            task: self.kind,
            spec,
            shape: &self.shape,
            classes: self.classes,
            train: self.train.labelled(),
        });
        let request = TrainRequest {
            spec,
            train: self.train.labelled(),
            validation: self.validation.labelled(),
            seed,
            resume,
        };
        let result = task.and_then(|task| {
            train(&*task, &request, &mut |progress| {
                let Some(state) = progress.state else { return ControlFlow::Continue(()) };
                left = state();
                if progress.epoch >= most {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
        });
        (result, left)
    }

    pub(crate) fn trained(
        &self,
        spec: &TrainerSpec,
        seed: u64,
    ) -> Result<Vec<TrainedCheckpoint>, TrainingError> {
        self.trained_on(spec, seed, None, usize::MAX).0
    }

    /// Why this cannot be trained.
    #[track_caller]
    pub(crate) fn refused(&self, spec: &TrainerSpec, words: &str) {
        let error = self.trained(spec, 1).map(drop).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }

    /// What an ONNX file answers for the validation rows.
    pub(crate) fn served(&self, onnx: &[u8], provider: ProviderChoice) -> Predictions {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), onnx).unwrap();
        let options = LoadOptions {
            scores: Scores::Free,
            provider,
            batch: 8,
            ..LoadOptions::new(file.path(), &self.shape)
        };
        load(&options).unwrap().predict(&self.validation.inputs).unwrap()
    }
}

/// Classes as the trainer takes labels.
pub(crate) fn one_each(classes: &[u32]) -> Matrix {
    Matrix::new(classes.len(), 1, classes.iter().map(|&class| class as f32).collect()).unwrap()
}

/// Three overlapping clouds in four dimensions, the same each time.
pub(crate) fn clouds(rows: usize) -> Data {
    let labels: Vec<u32> = [0, 1, 2].into_iter().cycle().take(rows).collect();
    let value = |row: usize, column: usize| {
        let noise = ((row * 31 + column * 17) % 13) as f32 / 13.0 - 0.5;
        let centre = if u32::try_from(column) == Ok(labels[row]) { 1.0 } else { 0.0 };
        centre + noise
    };
    let data = (0..rows).flat_map(|row| (0..4).map(move |column| (row, column)));
    let data = data.map(|(row, column)| value(row, column)).collect();
    Data { inputs: Matrix::new(rows, 4, data).unwrap(), labels: one_each(&labels) }
}

/// Learns from 60 rows of clouds, is measured on 30.
pub(crate) fn three_clouds() -> Problem {
    Problem {
        kind: Kind::Classification,
        shape: vec![2, 2],
        classes: 3,
        train: clouds(60),
        validation: clouds(30),
    }
}

pub(crate) fn spec() -> TrainerSpec {
    TrainerSpec {
        graph: GraphSpec::Mlp(vec![8, 5]),
        epochs: 12,
        batch: 7,
        learning_rate: 0.02,
        checkpoints: 4,
        ..TrainerSpec::default()
    }
}

fn trained(spec: &TrainerSpec, seed: u64) -> Result<Vec<TrainedCheckpoint>, TrainingError> {
    three_clouds().trained(spec, seed)
}

/// Everything that a training can be asked for, one of each.
fn many_specs() -> Vec<TrainerSpec> {
    let sgd = OptimizerSpec::Sgd { momentum: 0.9 };
    vec![
        spec(),
        TrainerSpec { optimizer: sgd, schedule: ScheduleSpec::Constant, warmup: 2, ..spec() },
        TrainerSpec { optimizer: OptimizerSpec::AdamW, weight_decay: 0.01, ..spec() },
        TrainerSpec { normalise: Normalise::Standard, patience: Some(1), ..spec() },
        TrainerSpec {
            schedule: ScheduleSpec::Step { every: 3, factor: 0.5 },
            loss: Some(LossSpec::Focal { gamma: 2.0 }),
            class_weights: ClassWeights::Balanced,
            checkpoints: 1,
            ..spec()
        },
        TrainerSpec {
            graph: GraphSpec::Cnn(vec![3]),
            augment: Augment { flip: true, shift: 1 },
            label_smoothing: 0.1,
            ..spec()
        },
    ]
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    for spec in many_specs() {
        let first = trained(&spec, 7).unwrap();
        assert_eq!(first, trained(&spec, 7).unwrap());
        assert_ne!(first.last().unwrap().onnx, trained(&spec, 8).unwrap().last().unwrap().onnx);
    }
}

#[test]
fn a_training_that_is_cut_off_after_any_epoch_ends_with_the_same_bytes() {
    let problem = three_clouds();
    for spec in many_specs() {
        let smooth = problem.trained(&spec, 7).unwrap();
        for most in 1..=spec.epochs {
            let (result, state) = problem.trained_on(&spec, 7, None, most);
            assert!(matches!(result, Err(TrainingError::Interrupted)));
            let (result, _) = problem.trained_on(&spec, 7, Some(&state), usize::MAX);
            assert_eq!(result.unwrap(), smooth, "cut off after epoch {most} of {spec:?}");
            if smooth.last().unwrap().metrics["epoch"] <= most as f64 {
                break; // patience was out
            }
        }
        // Cut off after each epoch, one after the other.
        let mut state = None;
        for most in 1..=spec.epochs {
            let (result, next) = problem.trained_on(&spec, 7, state.as_deref(), most);
            state = Some(next).filter(|next: &Vec<u8>| !next.is_empty()).or(state);
            if let Ok(saved) = result {
                assert_eq!(saved, smooth);
            }
        }
        let (result, _) = problem.trained_on(&spec, 7, state.as_deref(), usize::MAX);
        assert_eq!(result.unwrap(), smooth);
    }
}

#[test]
fn a_state_of_another_training_or_a_damaged_one_is_as_good_as_none() {
    let (problem, spec) = (three_clouds(), spec());
    let smooth = problem.trained(&spec, 7).unwrap();
    let (_, state) = problem.trained_on(&spec, 7, None, 5);
    let (_, of_another_seed) = problem.trained_on(&spec, 8, None, 5);
    let mut other_labels = problem.clone();
    other_labels.train = clouds(59);
    let (_, of_other_labels) = other_labels.trained_on(&spec, 7, None, 5);
    let mut damaged = Vec::from([of_another_seed, of_other_labels, Vec::new(), vec![0; 100]]);
    for place in (0..state.len()).step_by(97) {
        let mut bytes = state.clone();
        bytes[place] ^= 1;
        damaged.push(bytes);
        damaged.push(state[..place].to_vec());
    }
    for bytes in damaged {
        let mut steps = 0;
        let task = built_in(&TaskRequest {
            task: problem.kind,
            spec: &spec,
            shape: &problem.shape,
            classes: 3,
            train: problem.train.labelled(),
        });
        let request = TrainRequest {
            spec: &spec,
            train: problem.train.labelled(),
            validation: problem.validation.labelled(),
            seed: 7,
            resume: Some(&bytes),
        };
        let _ = train(&*task.unwrap(), &request, &mut |progress| {
            steps = progress.step;
            ControlFlow::Break(())
        });
        assert_eq!(steps, 1, "it begins anew");
    }
    let (result, _) = problem.trained_on(&spec, 7, Some(&state), usize::MAX);
    assert_eq!(result.unwrap(), smooth);
}

#[test]
fn every_graph_and_optimizer_learns() {
    for graph in [GraphSpec::Softmax, GraphSpec::Mlp(vec![16]), GraphSpec::Cnn(vec![8])] {
        for optimizer in [
            OptimizerSpec::Adam,
            OptimizerSpec::AdamW,
            OptimizerSpec::Sgd { momentum: 0.0 },
            OptimizerSpec::Sgd { momentum: 0.9 },
        ] {
            let spec = TrainerSpec { graph: graph.clone(), optimizer, epochs: 60, ..spec() };
            let last = trained(&spec, 1).unwrap().pop().unwrap();
            let least = if matches!(graph, GraphSpec::Cnn(_)) { 0.6 } else { 0.8 };
            assert!(last.metrics["validation.accuracy"] > least, "{spec:?}: {:?}", last.metrics);
        }
    }
}

#[test]
fn checkpoints_are_few_in_order_and_hold_the_best() {
    for most in 1..=6 {
        let saved = trained(&TrainerSpec { checkpoints: most, ..spec() }, 5).unwrap();
        assert!((1..=most).contains(&saved.len()), "{} of {most}", saved.len());
        assert!(saved.is_sorted_by(|a, b| a.step < b.step));
        let best = saved.iter().map(|checkpoint| checkpoint.metrics["validation.loss"]);
        let best = best.fold(f64::INFINITY, f64::min);
        let all = trained(&TrainerSpec { checkpoints: 100, ..spec() }, 5).unwrap();
        let best_of_all = all.iter().map(|checkpoint| checkpoint.metrics["validation.loss"]);
        assert_eq!(best.to_bits(), best_of_all.fold(f64::INFINITY, f64::min).to_bits());
    }
}

#[test]
fn impatience_ends_a_training_that_gets_no_better() {
    let spec = TrainerSpec { epochs: 400, patience: Some(2), learning_rate: 0.5, ..spec() };
    let last = trained(&spec, 1).unwrap().pop().unwrap();
    assert!(last.metrics["epoch"] < 400.0, "{:?}", last.metrics);
}

#[test]
fn a_training_without_validation_saves_its_end() {
    let problem = Problem { train: clouds(10), validation: Data::default(), ..three_clouds() };
    let saved = problem.trained(&TrainerSpec { checkpoints: 1, ..spec() }, 1).unwrap();
    assert_eq!(saved.len(), 1);
    assert_eq!(saved[0].step, 12 * 2);
}

#[test]
fn a_watcher_may_break_off_after_any_step() {
    let (problem, spec) = (three_clouds(), spec());
    let task = built_in(&TaskRequest {
        task: problem.kind,
        spec: &spec,
        shape: &problem.shape,
        classes: 3,
        train: problem.train.labelled(),
    });
    let request = TrainRequest {
        spec: &spec,
        train: problem.train.labelled(),
        validation: problem.validation.labelled(),
        seed: 1,
        resume: None,
    };
    let mut seen = (0, 0);
    let result = train(&*task.unwrap(), &request, &mut |progress| {
        seen = (progress.epoch, progress.step);
        if progress.step == 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    // 9 steps an epoch.
    assert_eq!((result, seen), (Err(TrainingError::Interrupted), (2, 20)));
}

#[test]
fn what_cannot_be_trained_is_refused_with_the_reason() {
    let good =
        Problem { shape: vec![4], train: clouds(6), validation: clouds(6), ..three_clouds() };
    let check = |change: &dyn Fn(&mut Problem), words: &str| {
        let mut problem = good.clone();
        change(&mut problem);
        problem.refused(&spec(), words);
    };
    let relabelled = |labels: &[f32]| Matrix::new(labels.len(), 1, labels.to_vec()).unwrap();
    check(&|problem| problem.shape = vec![5], "asks for 5");
    check(&|problem| problem.shape = vec![4, 0], "[4, 0] has no values");
    check(&|problem| problem.shape = vec![usize::MAX, 2], "needs");
    check(&|problem| problem.classes = 1, "there are 1 classes");
    check(&|problem| problem.classes = 2, "is class 2, but there are 2 classes");
    check(&|problem| problem.train.labels = relabelled(&[0.0, 1.0]), "have 2 labels");
    check(
        &|problem| problem.train.labels = relabelled(&[0.0, 1.0, 0.5, 0.0, 0.0, 0.0]),
        "the label of train sample 2 is class 0.5",
    );
    check(
        &|problem| problem.validation.labels = relabelled(&[0.0, 1.0, -1.0, 0.0, 0.0, 0.0]),
        "the label of validation sample 2 is class -1",
    );
    check(
        &|problem| problem.train.labels = Matrix::new(6, 2, vec![0.0; 12]).unwrap(),
        "a label of train samples has 2 numbers, the task asks for 1",
    );
    check(&|problem| problem.train = Data::default(), "no labelled samples");
    check(
        &|problem| {
            let mut data = problem.train.inputs.data().to_vec();
            data[5] = f32::NAN;
            problem.train.inputs = Matrix::new(6, 4, data).unwrap();
        },
        "value 1 of train sample 1 is not a finite number",
    );
    for (spec, words) in [
        (TrainerSpec { epochs: 0, ..spec() }, "trainer.epochs is 0"),
        (TrainerSpec { batch: 0, ..spec() }, "trainer.batch is 0"),
        (TrainerSpec { checkpoints: 0, ..spec() }, "trainer.checkpoints is 0"),
        (TrainerSpec { learning_rate: f64::NAN, ..spec() }, "trainer.learning_rate is NaN"),
        (TrainerSpec { weight_decay: -1.0, ..spec() }, "trainer.weight_decay is -1"),
        (TrainerSpec { patience: Some(0), ..spec() }, "trainer.patience is 0"),
        (TrainerSpec { warmup: 12, ..spec() }, "trainer.warmup is 12"),
        (TrainerSpec { label_smoothing: 1.0, ..spec() }, "trainer.label_smoothing is 1"),
        (TrainerSpec { graph: GraphSpec::Mlp(vec![8, 0]), ..spec() }, "trainer.hidden is [8, 0]"),
        (TrainerSpec { graph: GraphSpec::Cnn(vec![]), ..spec() }, "trainer.channels is []"),
        (
            TrainerSpec { graph: GraphSpec::Cnn(vec![2]), ..spec() },
            "conv needs an image of shape [channels, height, width]",
        ),
        (TrainerSpec { augment: Augment { flip: true, shift: 0 }, ..spec() }, "trainer.augment"),
        (TrainerSpec { loss: Some(LossSpec::Dice), ..spec() }, "trainer.loss is dice"),
        (TrainerSpec { loss: Some(LossSpec::Mse), ..spec() }, "trainer.loss is mse"),
        (
            TrainerSpec { class_weights: ClassWeights::Given(vec![1.0]), ..spec() },
            "trainer.class_weights is 1 numbers; it must be one for each of the 3 classes",
        ),
        (
            TrainerSpec { class_weights: ClassWeights::Given(vec![1.0, -1.0, 0.0]), ..spec() },
            "trainer.class_weights is [1.0, -1.0, 0.0]",
        ),
        (
            TrainerSpec { optimizer: OptimizerSpec::Sgd { momentum: 1.0 }, ..spec() },
            "trainer.momentum is 1",
        ),
        (
            TrainerSpec { schedule: ScheduleSpec::Step { every: 0, factor: 0.5 }, ..spec() },
            "trainer.step_every is 0",
        ),
        (
            TrainerSpec { schedule: ScheduleSpec::Step { every: 1, factor: f64::NAN }, ..spec() },
            "trainer.step_factor is NaN",
        ),
    ] {
        good.refused(&spec, words);
    }
}

#[test]
fn a_class_without_samples_is_a_remark_and_no_error() {
    let mut problem = three_clouds();
    let labels = (0..30).map(|row| (row % 2) as f32).collect();
    problem.validation.labels = Matrix::new(30, 1, labels).unwrap();
    let (spec, classes) = (spec(), 3);
    let train = problem.train.labelled();
    let task = built_in(&TaskRequest {
        task: problem.kind,
        spec: &spec,
        shape: &problem.shape,
        classes,
        train,
    });
    let validation = problem.validation.labelled();
    let request = TrainRequest { spec: &spec, train, validation, seed: 1, resume: None };
    assert_eq!(
        remarks(&*task.unwrap(), &request),
        ["no validation sample has a label of 1 of the 3 classes: 2"]
    );
    assert!(problem.trained(&spec, 1).is_ok());
}

#[test]
fn a_loss_that_is_no_number_any_more_tells_where_and_hands_out_the_last_good_model() {
    let problem = three_clouds();
    let sgd = OptimizerSpec::Sgd { momentum: 0.9 };
    let spec = TrainerSpec {
        optimizer: sgd,
        learning_rate: 1e30,
        schedule: ScheduleSpec::Constant,
        ..spec()
    };
    let error = problem.trained(&spec, 1).unwrap_err();
    assert!(error.to_string().contains("trainer.learning_rate"), "{error}");
    let TrainingError::Diverged { epoch: 1, last_good: None, .. } = error else {
        panic!("{error:?}");
    };
    // A rate that is harmless at first: the weights of a warm-up's first epochs are good.
    let spec = TrainerSpec { learning_rate: 3e38, warmup: 11, epochs: 40, ..spec };
    let tamed = TrainerSpec { graph: GraphSpec::Softmax, ..spec };
    let mut problem = problem;
    let tiny: Vec<f32> = problem.train.inputs.data().iter().map(|x| x * 1e-37).collect();
    problem.train.inputs = Matrix::new(60, 4, tiny).unwrap();
    match problem.trained(&tamed, 1) {
        Err(TrainingError::Diverged { epoch, step, last_good, .. }) => {
            assert!(step > 9 * (epoch as u64 - 1) && step <= 9 * epoch as u64, "{epoch} {step}");
            if epoch > 1 {
                let good = last_good.unwrap();
                assert!(good.validation_answers.first_non_finite().is_none());
                assert!(good.metrics["epoch"] < epoch as f64);
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn weights_ruined_by_the_very_last_step_are_no_checkpoint() {
    let spec = TrainerSpec {
        graph: GraphSpec::Softmax,
        optimizer: OptimizerSpec::Sgd { momentum: 0.0 },
        learning_rate: 1e39, // infinite as an f32
        schedule: ScheduleSpec::Constant,
        epochs: 1,
        batch: 60, // one step, whose loss is that of the weights before it
        ..spec()
    };
    let diverged =
        TrainingError::Diverged { epoch: 1, step: 1, learning_rate: 1e39, last_good: None };
    assert_eq!(trained(&spec, 1).unwrap_err(), diverged);
    let unmeasured = Problem { validation: Data::default(), ..three_clouds() };
    assert_eq!(unmeasured.trained(&spec, 1).unwrap_err(), diverged);
}

/// Where [`training_of_a_process_with_so_many_threads`] writes its model.
const MODEL_FILE: &str = "GLEANER_TEST_MODEL_FILE";

#[test]
#[ignore = "the process that `any_number_of_threads_gives_the_same_bytes` starts"]
fn training_of_a_process_with_so_many_threads() {
    let Ok(file) = std::env::var(MODEL_FILE) else { return };
    // Matrices and images large enough to be spread over threads.
    let (rows, width) = (300_u32, 256);
    let labels: Vec<u32> = (0..rows).map(|row| row % 3).collect();
    let rows = labels.len();
    let data = (0..rows * width).map(|place| (place * 31 % 97) as f32 / 97.0 - 0.5).collect();
    let inputs = Matrix::new(rows, width, data).unwrap();
    let data = Data { inputs, labels: one_each(&labels) };
    let problem = Problem {
        kind: Kind::Classification,
        shape: vec![16, 16],
        classes: 3,
        train: data.clone(),
        validation: data,
    };
    let mut bytes = Vec::new();
    for graph in [GraphSpec::Mlp(vec![256, 192]), GraphSpec::Cnn(vec![16, 32])] {
        let spec = TrainerSpec { graph, epochs: 3, batch: 150, ..spec() };
        bytes.extend(problem.trained(&spec, 3).unwrap().pop().unwrap().onnx);
    }
    std::fs::write(file, &bytes).unwrap();
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let models = ["1", "2", "7"].map(|threads| {
        let file = dir.path().join(threads);
        let test = "training::training_of_a_process_with_so_many_threads";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored"])
            .env("RAYON_NUM_THREADS", threads)
            .env(MODEL_FILE, &file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        std::fs::read(file).unwrap()
    });
    assert!(models.iter().all(|model| *model == models[0]));
}
