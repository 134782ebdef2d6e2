//! Every task learns what it is for, and its file serves what was trained.

use crate::training::{Data, Problem, spec, three_clouds};
use gleaner::domain::definition::{
    Augment, ClassWeights, GraphSpec, LossSpec, Normalise, ProviderChoice, TrainerSpec,
};
use gleaner::domain::matrix::Matrix;
use gleaner::domain::task::Task as Kind;
use gleaner::training::TrainedCheckpoint;

#[path = "../../examples/own_task.rs"]
mod own_task;

/// Any numbers in [-0.5, 0.5), the same each time.
fn noise(place: usize) -> f32 {
    let mixed = (place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed >> 40) as f32) / (1 << 24) as f32 - 0.5
}

fn matrix(rows: usize, cols: usize, cell: impl Fn(usize, usize) -> f32) -> Matrix {
    let cells = (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col)));
    Matrix::new(rows, cols, cells.map(|(row, col)| cell(row, col)).collect()).unwrap()
}

fn both(
    kind: Kind,
    shape: &[usize],
    classes: usize,
    rows: impl Fn(std::ops::Range<usize>) -> Data,
) -> Problem {
    let (train, validation) = (rows(0..90), rows(90..130));
    Problem { kind, shape: shape.to_vec(), classes, train, validation }
}

/// Six values, large and off centre; each of three labels holds where two of them are above what is usual.
fn tags() -> Problem {
    both(Kind::MultiLabel, &[6], 3, |range| {
        let first = range.start;
        let inputs =
            matrix(range.len(), 6, |row, col| 100.0 + 10.0 * noise((first + row) * 6 + col));
        let labels = matrix(range.len(), 3, |row, class| {
            let row = inputs.row(row);
            f32::from(u8::from(row[2 * class] + row[2 * class + 1] > 200.0))
        });
        Data { inputs, labels }
    })
}

/// A line through four values, in thousands.
fn prices() -> Problem {
    both(Kind::Regression, &[4], 0, |range| {
        let first = range.start;
        let inputs = matrix(range.len(), 4, |row, col| noise((first + row) * 4 + col));
        let labels = matrix(range.len(), 1, |row, _| {
            let row = inputs.row(row);
            5000.0 + 3000.0 * row[0] - 2000.0 * row[1] + 1000.0 * row[2]
        });
        Data { inputs, labels }
    })
}

/// Bright boxes on dark ground, 8 x 8 pixels: which pixels are box?
fn boxes(channels: bool) -> Problem {
    let shape: &[usize] = if channels { &[1, 8, 8] } else { &[8, 8] };
    both(Kind::Segmentation, shape, 2, |range| {
        let first = range.start;
        let inside = |row: usize, pixel: usize| {
            let (y, x) = (pixel / 8, pixel % 8);
            let (top, left) = ((first + row) % 4, (first + row) / 4 % 5);
            (top..top + 4).contains(&y) && (left..left + 3).contains(&x)
        };
        let inputs = matrix(range.len(), 64, |row, pixel| {
            f32::from(u8::from(inside(row, pixel))) + noise((first + row) * 64 + pixel)
        });
        let labels = matrix(range.len(), 64, |row, pixel| f32::from(u8::from(inside(row, pixel))));
        Data { inputs, labels }
    })
}

#[track_caller]
fn reaches(problem: &Problem, spec: &TrainerSpec, metric: &str, least: f64) -> TrainedCheckpoint {
    let best =
        problem.trained(&TrainerSpec { checkpoints: 1, ..spec.clone() }, 1).unwrap().remove(0);
    let found = best.metrics[&format!("validation.{metric}")];
    assert!(found >= least, "{metric} is {found}, not {least}: {:?}", best.metrics);
    best
}

fn unet() -> TrainerSpec {
    TrainerSpec { graph: GraphSpec::Unet(vec![8, 16]), epochs: 15, batch: 10, ..spec() }
}

#[test]
fn many_labels_are_learnt_with_either_loss() {
    for loss in [None, Some(LossSpec::Focal { gamma: 2.0 })] {
        let normalise = Normalise::Standard;
        let class_weights = ClassWeights::Balanced;
        let spec = TrainerSpec { epochs: 60, normalise, loss, class_weights, ..spec() };
        reaches(&tags(), &spec, "micro_f1", 0.9);
        reaches(&tags(), &spec, "subset_accuracy", 0.7);
    }
}

#[test]
fn values_in_thousands_are_learnt_at_the_usual_rate() {
    for loss in [None, Some(LossSpec::Huber { delta: 1.0 })] {
        let spec = TrainerSpec { graph: GraphSpec::Softmax, epochs: 100, loss, ..spec() };
        let best = prices().trained(&spec, 1).unwrap().pop().unwrap();
        assert!(best.metrics["validation.rmse"] < 100.0, "{:?}", best.metrics);
        assert!(best.metrics["validation.mae"] <= best.metrics["validation.rmse"]);
    }
}

#[test]
fn masks_are_learnt_with_the_losses_of_classes_and_with_their_own() {
    for loss in [
        None,
        Some(LossSpec::Dice),
        Some(LossSpec::DiceCrossEntropy),
        Some(LossSpec::Focal { gamma: 1.0 }),
    ] {
        for channels in [true, false] {
            let spec = TrainerSpec { loss, ..unet() };
            reaches(&boxes(channels), &spec, "mean_iou", 0.8);
        }
    }
    let augment = Augment { flip: true, shift: 1 };
    reaches(&boxes(true), &TrainerSpec { augment, ..unet() }, "pixel_accuracy", 0.9);
}

#[test]
fn every_exported_file_serves_what_was_trained() {
    let mlp = TrainerSpec { normalise: Normalise::Standard, ..spec() };
    let cnn = TrainerSpec { graph: GraphSpec::Cnn(vec![4, 6]), ..spec() };
    let mut images = three_clouds();
    images.shape = vec![1, 8, 8];
    for data in [&mut images.train, &mut images.validation] {
        data.inputs = matrix(data.inputs.rows(), 64, |row, pixel| {
            data.inputs.row(row)[pixel / 16] + noise(row * 64 + pixel)
        });
    }
    let mut grey = images.clone();
    grey.shape = vec![8, 8];
    let softmax = TrainerSpec { graph: GraphSpec::Softmax, ..mlp.clone() };
    let standard = |spec: TrainerSpec| TrainerSpec { normalise: Normalise::Standard, ..spec };
    for (problem, spec, scores, embedding) in [
        (three_clouds(), &mlp, vec![3], Some(5)),
        (three_clouds(), &softmax, vec![3], Some(4)),
        (tags(), &mlp, vec![3], Some(5)),
        (prices(), &mlp, vec![1], Some(5)),
        (prices(), &softmax, vec![1], Some(4)),
        (images, &cnn, vec![3], Some(24)),
        (grey.clone(), &cnn, vec![3], Some(24)),
        (grey, &standard(cnn.clone()), vec![3], Some(24)),
        (boxes(true), &unet(), vec![2, 8, 8], None),
        (boxes(false), &standard(unet()), vec![2, 8, 8], None),
    ] {
        for checkpoint in problem.trained(spec, 3).unwrap() {
            let served = problem.served(&checkpoint.onnx, ProviderChoice::Cpu);
            assert_eq!(served.score_shape, scores);
            assert_eq!(served.embedding.map(|embedding| embedding.cols()), embedding);
            let trained = &checkpoint.validation_answers;
            assert_eq!(served.logits.rows(), trained.rows());
            let most = trained.data().iter().fold(1.0_f32, |most, x| most.max(x.abs()));
            for (served, trained) in served.logits.data().iter().zip(trained.data()) {
                assert!((served - trained).abs() < 1e-4 * most, "{served} is not {trained}");
            }
        }
    }
}

#[test]
fn a_network_that_does_not_fit_its_task_is_told_before_anything_is_read() {
    boxes(true)
        .refused(&spec(), "the network answers with shape [2], but the task needs [2, 8, 8]");
    three_clouds().refused(&unet(), "the network answers with shape [3, 2, 2]");
    let deep = TrainerSpec { graph: GraphSpec::Unet(vec![2; 5]), ..unet() };
    boxes(true).refused(&deep, "sides that can be halved 4 times");
    let deep = TrainerSpec { graph: GraphSpec::Cnn(vec![2; 3]), ..unet() };
    three_clouds().refused(&deep, "at least 2 x 2 pixels, and 1 x 1 are left");
    let mut off = boxes(true);
    off.train.labels = matrix(90, 64, |_, pixel| if pixel == 9 { 2.0 } else { 0.0 });
    off.refused(&unet(), "the label of train sample 0 has a pixel, number 9, that is class 2");
    let mut off = tags();
    off.train.labels = matrix(90, 3, |_, _| 0.5);
    off.refused(&spec(), "has 0.5 for a class, but needs 1 or 0");
    let mut off = prices();
    off.train.labels = matrix(90, 1, |row, _| if row == 3 { f32::NAN } else { 0.0 });
    off.refused(&spec(), "the label of train sample 3 is NaN, which is no finite number");
}

/// A backbone for the pictures of [`boxes`]: a network that was trained for something else, whose embedding is used.
fn backbone() -> Vec<u8> {
    let mut problem = boxes(true);
    problem.kind = Kind::Classification;
    for data in [&mut problem.train, &mut problem.validation] {
        data.labels = matrix(data.labels.rows(), 1, |row, _| data.labels.row(row)[0]);
    }
    let spec = TrainerSpec { graph: GraphSpec::Cnn(vec![4]), epochs: 3, ..spec() };
    problem.trained(&spec, 1).unwrap().pop().unwrap().onnx
}

#[test]
fn a_frozen_backbone_and_its_head_are_one_file_that_answers_as_both() {
    let backbone = backbone();
    // The heads learn from embeddings: which corner is the box in?
    let mut problem = boxes(true);
    problem.kind = Kind::Classification;
    problem.classes = 4;
    for (data, first) in [(&mut problem.train, 0), (&mut problem.validation, 90)] {
        data.labels = matrix(data.labels.rows(), 1, |row, _| ((first + row) % 4) as f32);
    }
    let embed = |data: &Data| {
        let seen = Problem { validation: data.clone(), ..problem.clone() };
        seen.served(&backbone, ProviderChoice::Cpu).embedding.unwrap()
    };
    let mut on_embeddings = problem.clone();
    on_embeddings.train.inputs = embed(&problem.train);
    on_embeddings.validation.inputs = embed(&problem.validation);
    on_embeddings.shape = vec![on_embeddings.train.inputs.cols()];
    for graph in [GraphSpec::Softmax, GraphSpec::Mlp(vec![12])] {
        let spec = TrainerSpec { graph, normalise: Normalise::Standard, epochs: 40, ..spec() };
        let head = on_embeddings.trained(&spec, 1).unwrap().pop().unwrap();
        let whole = gleaner::training::combine(&backbone, &head.onnx).unwrap();
        let two = on_embeddings.served(&head.onnx, ProviderChoice::Cpu);
        let one = problem.served(&whole, ProviderChoice::Cpu);
        assert_eq!(one.score_shape, [4]);
        for (one, two) in [
            (one.logits.data(), two.logits.data()),
            (one.embedding.unwrap().data(), two.embedding.unwrap().data()),
        ] {
            assert_eq!(one.len(), two.len());
            assert!(one.iter().zip(two).all(|(one, two)| (one - two).abs() < 1e-4));
        }
        // The whole is a backbone, too: names that are taken are told apart.
        let again = TrainerSpec { graph: GraphSpec::Softmax, epochs: 1, ..spec };
        let seen = Problem { validation: problem.train.clone(), ..problem.clone() };
        let mut next = on_embeddings.clone();
        next.train.inputs = seen.served(&whole, ProviderChoice::Cpu).embedding.unwrap();
        next.validation = next.train.clone();
        next.validation.labels = next.train.labels.clone();
        next.shape = vec![next.train.inputs.cols()];
        let head = next.trained(&again, 1).unwrap().pop().unwrap().onnx;
        let twice = gleaner::training::combine(&whole, &head).unwrap();
        let served = seen.served(&twice, ProviderChoice::Cpu);
        let apart = next.served(&head, ProviderChoice::Cpu);
        let pairs = served.logits.data().iter().zip(apart.logits.data());
        assert!(pairs.into_iter().all(|(one, two)| (one - two).abs() < 1e-4));
    }
}

#[test]
fn what_cannot_become_one_file_is_refused_with_the_reason() {
    let backbone = backbone();
    let mlp = three_clouds().trained(&spec(), 1).unwrap().pop().unwrap().onnx;
    let flat = Problem { shape: vec![4], ..three_clouds() };
    let narrow = flat.trained(&spec(), 1).unwrap().pop().unwrap().onnx;
    for (backbone, head, words) in [
        (&b"no model"[..], &narrow[..], "the backbone is no ONNX file"),
        (&backbone[..], &[][..], "the head is no ONNX file: it has no graph"),
        (&backbone, &mlp, "the head has 3 axes at \"input\""),
        (&backbone, &narrow, "the backbone answers with 64 values a sample, but the head takes 4"),
    ] {
        let error = gleaner::training::combine(backbone, head).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }
}

#[test]
fn the_task_of_the_guide_is_learnt_and_served() {
    let (onnx, off) = own_task::run().unwrap();
    assert!(off < 0.15, "off by {off} grades");
    let inputs = Matrix::new(2, 2, vec![0.05, 0.05, 0.95, 0.95]).unwrap();
    let mut problem = three_clouds();
    (problem.shape, problem.validation.inputs) = (vec![2], inputs);
    let served = problem.served(&onnx, ProviderChoice::Cpu).logits;
    assert!(served.row(0).iter().all(|logit| *logit < 0.0), "the lowest grade: {served:?}");
    assert!(served.row(1).iter().all(|logit| *logit > 0.0), "the highest grade: {served:?}");
}
