//! What a training promises: the same labels and seed give the same bytes, and the file serves what was trained.

use gleaner::domain::definition::{
    GraphSpec, OptimizerSpec, ProviderChoice, ScheduleSpec, TrainerSpec,
};
use gleaner::domain::matrix::Matrix;
use gleaner::inference::{LoadOptions, Scores, load};
use gleaner::training::{Labelled, TrainRequest, TrainedCheckpoint, TrainingError, train};
use std::ops::ControlFlow;

/// Three overlapping clouds in four dimensions, the same each time.
fn clouds(rows: usize) -> (Matrix, Vec<u32>) {
    let labels: Vec<u32> = [0, 1, 2].into_iter().cycle().take(rows).collect();
    let value = |row: usize, column: usize| {
        let noise = ((row * 31 + column * 17) % 13) as f32 / 13.0 - 0.5;
        let centre = if u32::try_from(column) == Ok(labels[row]) { 1.0 } else { 0.0 };
        centre + noise
    };
    let data = (0..rows).flat_map(|row| (0..4).map(move |column| (row, column)));
    let data = data.map(|(row, column)| value(row, column)).collect();
    (Matrix::new(rows, 4, data).unwrap(), labels)
}

fn spec() -> TrainerSpec {
    TrainerSpec {
        graph: GraphSpec::Mlp(vec![8, 5]),
        epochs: 12,
        batch: 7,
        optimizer: OptimizerSpec::Adam,
        learning_rate: 0.02,
        schedule: ScheduleSpec::Cosine,
        weight_decay: 0.0,
        patience: None,
        checkpoints: 4,
    }
}

/// Trains on 60 rows, measures on 30.
fn trained(spec: &TrainerSpec, seed: u64) -> Result<Vec<TrainedCheckpoint>, TrainingError> {
    let ((inputs, labels), (held_out, held_out_labels)) = (clouds(60), clouds(30));
    let request = TrainRequest {
        spec,
        shape: &[2, 2],
        classes: 3,
        train: Labelled { inputs: &inputs, labels: &labels },
        validation: Labelled { inputs: &held_out, labels: &held_out_labels },
        seed,
    };
    train(&request, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = trained(&spec(), 7).unwrap();
    assert_eq!(first, trained(&spec(), 7).unwrap());
    assert_ne!(first.last().unwrap().onnx, trained(&spec(), 8).unwrap().last().unwrap().onnx);
}

#[test]
fn every_graph_and_optimizer_learns() {
    for graph in [GraphSpec::Softmax, GraphSpec::Mlp(vec![16])] {
        for optimizer in [
            OptimizerSpec::Adam,
            OptimizerSpec::Sgd { momentum: 0.0 },
            OptimizerSpec::Sgd { momentum: 0.9 },
        ] {
            let spec = TrainerSpec { graph: graph.clone(), optimizer, epochs: 60, ..spec() };
            let last = trained(&spec, 1).unwrap().pop().unwrap();
            assert!(last.metrics["validation.accuracy"] > 0.8, "{spec:?}: {:?}", last.metrics);
        }
    }
}

#[test]
fn the_exported_file_serves_what_was_trained() {
    for graph in [GraphSpec::Softmax, GraphSpec::Mlp(vec![8, 5])] {
        let width = if graph == GraphSpec::Softmax { 4 } else { 5 };
        for checkpoint in trained(&TrainerSpec { graph: graph.clone(), ..spec() }, 3).unwrap() {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &checkpoint.onnx).unwrap();
            let mut predictor = load(&LoadOptions {
                scores: Scores::PerClass(3),
                provider: ProviderChoice::Cpu,
                batch: 8,
                ..LoadOptions::new(file.path(), &[2, 2])
            })
            .unwrap();
            let served = predictor.predict(&clouds(30).0).unwrap();
            assert_eq!(served.embedding.unwrap().cols(), width);
            for (served, trained) in
                served.logits.data().iter().zip(checkpoint.validation_logits.data())
            {
                assert!((served - trained).abs() < 1e-4, "{served} is not {trained}");
            }
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
    let (inputs, labels) = clouds(10);
    let spec = TrainerSpec { checkpoints: 1, ..spec() };
    let request = TrainRequest {
        spec: &spec,
        shape: &[4],
        classes: 3,
        train: Labelled { inputs: &inputs, labels: &labels },
        validation: Labelled { inputs: &Matrix::default(), labels: &[] },
        seed: 1,
    };
    let saved = train(&request, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(saved.len(), 1);
    assert_eq!(saved[0].step, 12 * 2);
}

#[test]
fn a_watcher_may_break_off() {
    let (inputs, labels) = clouds(10);
    let rows = Labelled { inputs: &inputs, labels: &labels };
    let spec = spec();
    let request = TrainRequest {
        spec: &spec,
        shape: &[4],
        classes: 3,
        train: rows,
        validation: rows,
        seed: 1,
    };
    let mut epochs = 0;
    let result = train(&request, &mut |progress| {
        epochs = progress.epoch;
        if epochs == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((result, epochs), (Err(TrainingError::Interrupted), 3));
}

#[test]
fn what_cannot_be_trained_is_refused_with_the_reason() {
    let (inputs, labels) = clouds(6);
    let good = spec();
    let check = |change: &dyn Fn(&mut TrainRequest<'_>), word: &str| {
        let rows = Labelled { inputs: &inputs, labels: &labels };
        let mut request = TrainRequest {
            spec: &good,
            shape: &[4],
            classes: 3,
            train: rows,
            validation: rows,
            seed: 1,
        };
        change(&mut request);
        let error = train(&request, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    check(&|request| request.shape = &[5], "asks for 5");
    check(&|request| request.shape = &[4, 0], "[4, 0] has no values");
    check(&|request| request.shape = &[usize::MAX, 2], "samples have 4 values");
    check(&|request| request.classes = 1, "there are 1 classes");
    check(&|request| request.classes = 2, "there are 2 classes");
    check(&|request| request.train.labels = &[0, 1], "have 2 labels");
    for (spec, word) in [
        (TrainerSpec { epochs: 0, ..spec() }, "trainer.epochs is 0"),
        (TrainerSpec { batch: 0, ..spec() }, "trainer.batch is 0"),
        (TrainerSpec { checkpoints: 0, ..spec() }, "trainer.checkpoints is 0"),
        (TrainerSpec { learning_rate: f64::NAN, ..spec() }, "trainer.learning_rate is NaN"),
        (TrainerSpec { weight_decay: -1.0, ..spec() }, "trainer.weight_decay is -1"),
        (TrainerSpec { patience: Some(0), ..spec() }, "trainer.patience is 0"),
        (TrainerSpec { graph: GraphSpec::Mlp(vec![8, 0]), ..spec() }, "trainer.hidden is [8, 0]"),
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
        let error = trained(&spec, 1).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let nothing = Labelled { inputs: &Matrix::default(), labels: &[] };
    let request = TrainRequest {
        spec: &good,
        shape: &[4],
        classes: 3,
        train: nothing,
        validation: nothing,
        seed: 1,
    };
    let error = train(&request, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error, TrainingError::NoSamples);
    let mut data = inputs.data().to_vec();
    data[5] = f32::NAN;
    let broken = Matrix::new(6, 4, data).unwrap();
    let rows = Labelled { inputs: &broken, labels: &labels };
    let request = TrainRequest {
        spec: &good,
        shape: &[4],
        classes: 3,
        train: rows,
        validation: rows,
        seed: 1,
    };
    let error = train(&request, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error, TrainingError::NonFinite { what: "train", row: 1, column: 1 });
}

#[test]
fn a_loss_that_is_no_number_any_more_names_the_learning_rate() {
    let sgd = OptimizerSpec::Sgd { momentum: 0.9 };
    let spec = TrainerSpec {
        optimizer: sgd,
        learning_rate: 1e30,
        schedule: ScheduleSpec::Constant,
        ..spec()
    };
    let error = trained(&spec, 1).unwrap_err();
    assert!(matches!(error, TrainingError::Diverged { .. }), "{error}");
    assert!(error.to_string().contains("trainer.learning_rate"), "{error}");
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
    let diverged = TrainingError::Diverged { epoch: 1, learning_rate: 1e39 };
    assert_eq!(trained(&spec, 1).unwrap_err(), diverged);
    let (inputs, labels) = clouds(60);
    let request = TrainRequest {
        spec: &spec,
        shape: &[4],
        classes: 3,
        train: Labelled { inputs: &inputs, labels: &labels },
        validation: Labelled { inputs: &Matrix::default(), labels: &[] },
        seed: 1,
    };
    assert_eq!(train(&request, &mut |_| ControlFlow::Continue(())).unwrap_err(), diverged);
}

/// Where [`training_of_a_process_with_so_many_threads`] writes its model.
const MODEL_FILE: &str = "GLEANER_TEST_MODEL_FILE";

#[test]
#[ignore = "the process that `any_number_of_threads_gives_the_same_bytes` starts"]
fn training_of_a_process_with_so_many_threads() {
    let Ok(file) = std::env::var(MODEL_FILE) else { return };
    // Matrices large enough to be spread over threads: above 192^3 multiplications.
    let (rows, width) = (300_u32, 256);
    let labels: Vec<u32> = (0..rows).map(|row| row % 3).collect();
    let rows = labels.len();
    let data = (0..rows * width).map(|place| (place * 31 % 97) as f32 / 97.0 - 0.5).collect();
    let inputs = Matrix::new(rows, width, data).unwrap();
    let spec =
        TrainerSpec { graph: GraphSpec::Mlp(vec![256, 192]), epochs: 3, batch: 300, ..spec() };
    let rows = Labelled { inputs: &inputs, labels: &labels };
    let request = TrainRequest {
        spec: &spec,
        shape: &[width],
        classes: 3,
        train: rows,
        validation: rows,
        seed: 3,
    };
    let saved = train(&request, &mut |_| ControlFlow::Continue(())).unwrap();
    std::fs::write(file, &saved.last().unwrap().onnx).unwrap();
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
