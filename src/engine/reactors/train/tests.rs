//! That what a training saves is served alike wherever it runs.

use super::*;
use crate::domain::definition::{
    GraphSpec, LossSpec, Normalise, OptimizerSpec, ProviderChoice, ScheduleSpec,
};
use crate::domain::task::Task as Kind;
use crate::inference::{self, InstallPolicy, LoadOptions, Scores};
use std::path::Path;

fn spec(graph: GraphSpec, normalise: Normalise, loss: Option<LossSpec>) -> TrainerSpec {
    let optimizer = OptimizerSpec::Adam;
    TrainerSpec {
        graph,
        epochs: 3,
        batch: 8,
        optimizer,
        learning_rate: 0.01,
        schedule: ScheduleSpec::Constant,
        checkpoints: 1,
        loss,
        normalise,
        ..TrainerSpec::default()
    }
}

/// Any numbers, the same each time; labels that follow from them.
fn samples(kind: Kind, shape: &[usize], count: usize) -> (Matrix, Matrix) {
    let width: usize = shape.iter().product();
    let value = |place: usize| {
        let mixed = (place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed >> 40) as f32) / (1 << 23) as f32 - 1.0
    };
    let inputs = Matrix::new(count, width, (0..count * width).map(value).collect()).unwrap();
    let flag = |x: &f32| f32::from(u8::from(*x > 0.0));
    let label = |row: &[f32]| -> Vec<f32> {
        match kind {
            Kind::Classification => vec![flag(&row[0])],
            Kind::MultiLabel => row[..2].iter().map(flag).collect(),
            Kind::Regression => vec![1000.0 * row[0]],
            Kind::Segmentation => row.iter().map(flag).collect(),
        }
    };
    let labels: Vec<f32> = inputs.iter_rows().flat_map(label).collect();
    let labels = Matrix::new(count, labels.len() / count, labels).unwrap();
    (inputs, labels)
}

/// What a file answers for these rows, by each runtime that is compiled in.
fn served(onnx: &[u8], kind: Kind, shape: &[usize], rows: &Matrix) -> Vec<Matrix> {
    inference::prepare(None, InstallPolicy::Allowed, &mut |_| {}).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, onnx).unwrap();
    let mut runtimes = vec![None];
    if cfg!(feature = "tract") {
        runtimes.push(Some(Path::new("tract")));
    }
    let answers = kind.answer_shape(2, shape).iter().product();
    let served = runtimes.into_iter().map(|runtime| {
        let options = LoadOptions {
            scores: Scores::Values(answers),
            provider: ProviderChoice::Cpu,
            runtime,
            ..LoadOptions::new(&path, shape)
        };
        inference::load(&options).unwrap().predict(rows).unwrap().logits
    });
    served.collect()
}

#[test]
fn what_was_trained_is_served_by_every_runtime_within_a_ten_thousandth() {
    let (vector, image): (&[usize], &[usize]) = (&[6], &[1, 8, 8]);
    let (plain, standard) = (Normalise::Nothing, Normalise::Standard);
    let mlp = || GraphSpec::Mlp(vec![7, 5]);
    let (cnn, unet) = (|| GraphSpec::Cnn(vec![3, 4]), || GraphSpec::Unet(vec![3, 4]));
    for (kind, shape, graph, normalise, loss) in [
        (Kind::Classification, vector, GraphSpec::Softmax, plain, None),
        (Kind::Classification, vector, mlp(), standard, None),
        (Kind::Classification, image, cnn(), standard, None),
        (Kind::MultiLabel, vector, mlp(), plain, None),
        (Kind::MultiLabel, image, cnn(), plain, Some(LossSpec::Focal { gamma: 2.0 })),
        (Kind::Regression, vector, GraphSpec::Softmax, standard, None),
        (Kind::Regression, image, cnn(), plain, Some(LossSpec::Huber { delta: 1.0 })),
        (Kind::Segmentation, image, unet(), plain, Some(LossSpec::DiceCrossEntropy)),
        (Kind::Segmentation, image, unet(), standard, None),
    ] {
        let spec = spec(graph, normalise, loss);
        let ((inputs, labels), (held_out, truth)) =
            (samples(kind, shape, 40), samples(kind, shape, 9));
        let train = Labelled { inputs: &inputs, labels: &labels };
        let classes = if kind == Kind::Regression { 0 } else { 2 };
        let task =
            training::built_in(&TaskRequest { task: kind, spec: &spec, shape, classes, train });
        let validation = Labelled { inputs: &held_out, labels: &truth };
        let request = TrainRequest { spec: &spec, train, validation, seed: 1, resume: None };
        let saved = training::train(&*task.unwrap(), &request, &mut |_| ControlFlow::Continue(()));
        let saved = saved.unwrap().pop().unwrap();
        let trained = &saved.validation_answers;
        let most = trained.data().iter().fold(1.0_f32, |most, x| most.max(x.abs()));
        for served in served(&saved.onnx, kind, shape, &held_out) {
            assert_eq!(served.data().len(), trained.data().len(), "{kind}, {:?}", spec.graph);
            for (served, trained) in served.data().iter().zip(trained.data()) {
                let apart = (served - trained).abs();
                assert!(apart < 1e-4 * most, "{kind}, {:?}: {served}, {trained}", spec.graph);
            }
        }
    }
}
