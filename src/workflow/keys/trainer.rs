//! The keys of `[trainer]`.

use super::{COUNT_MAX, widths};
use crate::domain::definition::{
    Augment, ClassWeights, GraphSpec, LossSpec, Normalise, OptimizerSpec, ScheduleSpec,
    TrainCommand, TrainerSpec,
};
use crate::workflow::reader::Reader;
use crate::workflow::source::Value;
use std::collections::BTreeMap;

pub(super) fn trainer(reader: &mut Reader<'_>) -> TrainerSpec {
    let positive = |key, reader: &mut Reader<'_>| {
        reader.number(key, "a number above 0, at most 100", |x| x > 0.0 && x <= 100.0)
    };
    let usual = TrainerSpec::default();
    TrainerSpec {
        graph: graph(reader),
        epochs: reader.whole(("trainer", "epochs"), 1..=COUNT_MAX).unwrap_or(usual.epochs),
        batch: reader.whole(("trainer", "batch"), 1..=COUNT_MAX).unwrap_or(usual.batch),
        optimizer: optimizer(reader),
        learning_rate: positive(("trainer", "learning_rate"), reader)
            .unwrap_or(usual.learning_rate),
        schedule: schedule(reader),
        weight_decay: reader
            .number(("trainer", "weight_decay"), "a number from 0 to 100", |x| {
                (0.0..=100.0).contains(&x)
            })
            .unwrap_or(usual.weight_decay),
        patience: reader.whole(("trainer", "patience"), 1..=COUNT_MAX),
        checkpoints: reader.whole(("trainer", "checkpoints"), 1..=1_000).unwrap_or(3),
        loss: loss(reader),
        class_weights: class_weights(reader),
        label_smoothing: reader
            .number(("trainer", "label_smoothing"), "a number from 0 to below 1", |x| {
                (0.0..1.0).contains(&x)
            })
            .unwrap_or(0.0),
        warmup: reader.whole(("trainer", "warmup"), 0..=COUNT_MAX).unwrap_or(0),
        normalise: reader
            .choice(
                ("trainer", "normalise"),
                &[("nothing", Normalise::Nothing), ("standard", Normalise::Standard)],
            )
            .unwrap_or_default(),
        augment: Augment {
            flip: reader.boolean(("trainer", "flip"), false),
            shift: reader.whole(("trainer", "shift"), 0..=4096).unwrap_or(0),
        },
        backbone: backbone(reader),
        external: command(reader),
    }
}

/// A frozen ONNX file in front of what is trained.
fn backbone(reader: &mut Reader<'_>) -> Option<String> {
    let key = ("trainer", "backbone");
    let path = reader.text(key)?;
    if !path.ends_with(".onnx") {
        reader.refuse(key, &format!("{path:?} is not the path of an .onnx file"));
        return None;
    }
    Some(path)
}

/// A program that trains instead of us.
fn command(reader: &mut Reader<'_>) -> Option<TrainCommand> {
    let key = ("trainer", "command");
    let expected = "a list of words, for example [\"python\", \"train.py\"],";
    let seconds = reader.whole(("trainer", "seconds"), 1..=30 * 86_400);
    let memory_mb = reader.whole(("trainer", "memory_mb"), 1..=1 << 30);
    let tolerance = reader.number(("trainer", "tolerance"), "a number of at least 0", |x| x >= 0.0);
    let settings = settings(reader);
    let words = reader.list(key, expected, |word| word.text().map(str::to_owned))?;
    if words.first().is_none_or(|program| program.trim().is_empty()) {
        reader.refuse(key, "no program; the first word names it");
    }
    let usual = TrainCommand::new(words);
    Some(TrainCommand {
        seconds: seconds.unwrap_or(usual.seconds),
        memory_mb,
        tolerance: tolerance.unwrap_or(usual.tolerance),
        settings,
        ..usual
    })
}

/// What the program is told: `["C=1.0", "solver=lbfgs"]`.
fn settings(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let key = ("trainer", "settings");
    let expected = "a list of texts with an equals sign, for example [\"C=1.0\"],";
    let pair = |value: &Value| {
        let (name, value) = value.text()?.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned()))
    };
    reader.list(key, expected, pair).unwrap_or_default().into_iter().collect()
}

fn graph(reader: &mut Reader<'_>) -> GraphSpec {
    #[derive(Clone, Copy)]
    enum Kind {
        Softmax,
        Mlp,
        Cnn,
        Unet,
    }
    let kinds = [
        ("softmax", Kind::Softmax),
        ("mlp", Kind::Mlp),
        ("cnn", Kind::Cnn),
        ("unet", Kind::Unet),
        ("linear", Kind::Softmax), // what it is called where values are learnt
    ];
    let kind = reader.choice(("trainer", "graph"), &kinds).unwrap_or(Kind::Softmax);
    let (hidden, channels) = (("trainer", "hidden"), ("trainer", "channels"));
    let (widths_given, channels_given) = (widths(reader, hidden), widths(reader, channels));
    let mut needed = |given: Option<Vec<usize>>, key, message: &str| {
        if !reader.has(key) {
            reader.refuse(key, message);
        }
        given.unwrap_or_default()
    };
    match kind {
        Kind::Softmax => GraphSpec::Softmax,
        Kind::Mlp => GraphSpec::Mlp(needed(
            widths_given,
            hidden,
            "missing; an mlp needs its hidden widths, for example hidden = [64]",
        )),
        Kind::Cnn => GraphSpec::Cnn(needed(
            channels_given,
            channels,
            "missing; a cnn needs its channels, for example channels = [16, 32]",
        )),
        Kind::Unet => GraphSpec::Unet(needed(
            channels_given,
            channels,
            "missing; a unet needs its channels at each depth, for example channels = [8, 16]",
        )),
    }
}

fn optimizer(reader: &mut Reader<'_>) -> OptimizerSpec {
    let momentum = reader
        .number(("trainer", "momentum"), "a number from 0 to below 1", |x| (0.0..1.0).contains(&x));
    let sgd = OptimizerSpec::Sgd { momentum: momentum.unwrap_or(0.9) };
    let optimizers = [("adam", OptimizerSpec::Adam), ("sgd", sgd), ("adamw", OptimizerSpec::AdamW)];
    reader.choice(("trainer", "optimizer"), &optimizers).unwrap_or(OptimizerSpec::Adam)
}

fn schedule(reader: &mut Reader<'_>) -> ScheduleSpec {
    let every = reader.whole(("trainer", "step_every"), 1..=COUNT_MAX);
    let factor = reader
        .number(("trainer", "step_factor"), "a number above 0, at most 1", |x| x > 0.0 && x <= 1.0);
    let step = ScheduleSpec::Step { every: every.unwrap_or(10), factor: factor.unwrap_or(0.1) };
    let schedules =
        [("constant", ScheduleSpec::Constant), ("cosine", ScheduleSpec::Cosine), ("step", step)];
    reader.choice(("trainer", "schedule"), &schedules).unwrap_or(ScheduleSpec::Cosine)
}

fn loss(reader: &mut Reader<'_>) -> Option<LossSpec> {
    let gamma = reader.number(("trainer", "focal_gamma"), "a number from 0 to 100", |x| {
        (0.0..=100.0).contains(&x)
    });
    let delta = reader.number(("trainer", "huber_delta"), "a number above 0, at most 100", |x| {
        x > 0.0 && x <= 100.0
    });
    let losses = [
        ("cross_entropy", LossSpec::CrossEntropy),
        ("binary_cross_entropy", LossSpec::BinaryCrossEntropy),
        // 2 and 1 are what the papers use: Lin et al., arXiv 1708.02002; Huber's line from one deviation on.
        ("focal", LossSpec::Focal { gamma: gamma.unwrap_or(2.0) }),
        ("dice", LossSpec::Dice),
        ("dice_cross_entropy", LossSpec::DiceCrossEntropy),
        ("mse", LossSpec::Mse),
        ("huber", LossSpec::Huber { delta: delta.unwrap_or(1.0) }),
    ];
    reader.choice(("trainer", "loss"), &losses)
}

fn class_weights(reader: &mut Reader<'_>) -> ClassWeights {
    let key = ("trainer", "class_weights");
    if !reader.has(key) || reader.is_text(key, "equal") {
        return ClassWeights::Equal;
    }
    if reader.is_text(key, "balanced") {
        return ClassWeights::Balanced;
    }
    #[expect(clippy::cast_precision_loss, reason = "a number in a file; rounding is meant")]
    let number = |value: &Value| match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => None,
    };
    let weight = |value: &Value| number(value).filter(|x| (0.0..=1e6).contains(x)).map(|x| x + 0.0);
    let expected =
        "\"balanced\", or a list of numbers from 0 to 1000000, one a class, for example [1, 2.5],";
    match reader.list(key, expected, weight) {
        Some(weights) if weights.iter().any(|weight| *weight > 0.0) => ClassWeights::Given(weights),
        Some(_) => {
            reader.refuse(key, "no class counts; give at least one a number above 0");
            ClassWeights::Equal
        }
        None => ClassWeights::Equal,
    }
}
