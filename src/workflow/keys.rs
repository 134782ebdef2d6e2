//! Every key of a workflow file: its type, its range and its default.

mod trainer;

use super::reader::{Key, Reader};
use super::source::Value;
use crate::domain::definition::{
    AnnotatorSpec, AnswersSpec, Broken, ColdStart, Committee, Consensus, Definition, Direction,
    Duplicates, EmbeddingSource, GateEstimator, ImageChannels, ImageLayout, Inconclusive, Keep,
    KpiSpec, Mode, ModelSelectorSpec, PoolSource, PoolSpec, ProviderChoice, RetrySpec, RunSpec,
    SelectorModel, SelectorSpec, StopSpec, StopWhen,
};
use crate::domain::metric::Metric;
use crate::domain::strategy::{StrategySpec, catalogue};
use crate::domain::task::Task;
use crate::domain::time::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// The tables and their keys, in the order of the README.
const TABLES: [(&str, &[&str]); 9] = [
    ("run", &["name", "task", "mode", "seed"]),
    (
        "pool",
        &[
            "source",
            "path",
            "label_column",
            "id_column",
            "shape",
            "scale",
            "classes",
            "validation",
            "test",
            "seed",
            "labels",
            "predictions",
            "text_field",
            "features_field",
            "label_field",
            "id_field",
            "width",
            "size",
            "layout",
            "channels",
            "mean",
            "std",
            "broken",
            "duplicates",
            "metadata",
            "seconds_column",
        ],
    ),
    (
        "selector",
        &[
            "strategy",
            "batch",
            "seed_per_class",
            "seed_batch",
            "audit_fraction",
            "model",
            "provider",
            "runtime",
            "device",
            "inference_batch",
            "cold_start",
            "keep",
            "committee",
            "passes",
            "embedding",
            "database",
            "query_seconds",
            "relabel_fraction",
        ],
    ),
    ("annotator", &["kind", "votes", "consensus", "columns", "noise", "price", "price_per_hour"]),
    (
        "trainer",
        &[
            "graph",
            "hidden",
            "channels",
            "epochs",
            "batch",
            "optimizer",
            "momentum",
            "learning_rate",
            "schedule",
            "step_every",
            "step_factor",
            "weight_decay",
            "patience",
            "checkpoints",
            "loss",
            "focal_gamma",
            "huber_delta",
            "class_weights",
            "label_smoothing",
            "warmup",
            "normalise",
            "flip",
            "shift",
            "backbone",
            "command",
            "seconds",
            "memory_mb",
            "tolerance",
            "settings",
        ],
    ),
    (
        "model_selector",
        &[
            "criterion",
            "direction",
            "min_gain",
            "tie_break",
            "significant",
            "confidence",
            "max_bytes",
            "max_latency_ms",
            "class_floor",
        ],
    ),
    (
        "kpi",
        &[
            "metric",
            "target",
            "gate",
            "estimator",
            "confidence",
            "inconclusive",
            "drift",
            "savings",
        ],
    ),
    (
        "stop",
        &[
            "kpi",
            "max_cycles",
            "max_labels",
            "when",
            "max_hours",
            "deadline",
            "plateau",
            "plateau_gain",
            "stable",
            "max_cost",
        ],
    ),
    ("retry", &["attempts", "backoff", "backoff_max", "lease"]),
];

/// The names of all tables.
pub(super) fn tables() -> impl Iterator<Item = &'static str> + Clone {
    TABLES.iter().map(|(name, _)| *name)
}

/// The keys of a table.
pub(super) fn of(table: &str) -> Option<&'static [&'static str]> {
    TABLES.iter().find(|(name, _)| *name == table).map(|(_, keys)| *keys)
}

/// The table of a key, where only one has it.
pub(super) fn home(key: &str) -> Option<&'static str> {
    let mut homes = TABLES.iter().filter(|(_, keys)| keys.contains(&key)).map(|(name, _)| *name);
    homes.next().filter(|_| homes.next().is_none())
}

/// What a count may be: a million is more than any workflow means.
const COUNT_MAX: i128 = 1_000_000;
const DAY: Duration = Duration::from_hours(24);

/// What a share may be that leaves something over.
const SHARE: &str = "a number from 0 to below 1";

fn is_share(number: f64) -> bool {
    (0.0..1.0).contains(&number)
}

/// Reads every table; what is missing or bad has its default.
pub(super) fn definition(reader: &mut Reader<'_>) -> Definition {
    let run = run(reader);
    let selector = selector(reader, &run);
    let trainer = trainer::trainer(reader);
    // A program's training may take hours: a second one beside it is for those who ask for it.
    let compares =
        run.mode == Mode::Production && selector.audit_fraction > 0.0 && trainer.external.is_none();
    let kpi = kpi(reader, &run, compares);
    Definition {
        pool: pool(reader, &run),
        selector,
        annotator: annotator(reader),
        answers: answers(reader),
        trainer,
        model_selector: model_selector(reader, run.task),
        stop: stop(reader, run.mode, kpi.gate),
        kpi,
        retry: retry(reader),
        run,
    }
}

fn run(reader: &mut Reader<'_>) -> RunSpec {
    RunSpec {
        name: reader.required_text(("run", "name"), "digits"),
        task: reader
            .choice(("run", "task"), &Task::ALL.map(|task| (task.name(), task)))
            .unwrap_or_default(),
        mode: reader
            .choice(
                ("run", "mode"),
                &[("development", Mode::Development), ("production", Mode::Production)],
            )
            .unwrap_or(Mode::Development),
        seed: reader.whole(("run", "seed"), 0..=i128::from(u64::MAX)).unwrap_or(0),
    }
}

fn pool(reader: &mut Reader<'_>, run: &RunSpec) -> PoolSpec {
    let test = match run.mode {
        Mode::Development => 0.2,
        Mode::Production => 0.0,
    };
    let sources = [
        ("csv", PoolSource::Csv),
        ("npy", PoolSource::Npy),
        ("jsonl", PoolSource::Jsonl),
        ("parquet", PoolSource::Parquet),
        ("images", PoolSource::Images),
    ];
    let layouts = [("chw", ImageLayout::Chw), ("hwc", ImageLayout::Hwc)];
    PoolSpec {
        task: run.task,
        source: reader.choice(("pool", "source"), &sources).unwrap_or(PoolSource::Csv),
        path: reader.required_text(("pool", "path"), "data/digits.csv"),
        label_column: column(reader, ("pool", "label_column"), ("pool", "label_field"))
            .unwrap_or_else(|| "label".to_owned()),
        id_column: column(reader, ("pool", "id_column"), ("pool", "id_field")),
        shape: widths(reader, ("pool", "shape")).unwrap_or_default(),
        scale: reader
            .number(("pool", "scale"), "a number that is not 0", |x| x.abs() > 0.0)
            .unwrap_or(1.0),
        classes: classes(reader),
        validation: reader.number(("pool", "validation"), SHARE, is_share).unwrap_or(0.1),
        test: reader.number(("pool", "test"), SHARE, is_share).unwrap_or(test),
        seed: reader.whole(("pool", "seed"), 0..=i128::from(u64::MAX)).unwrap_or(run.seed),
        labels: reader.text(("pool", "labels")),
        predictions: reader.text(("pool", "predictions")),
        text_field: reader.text(("pool", "text_field")),
        features_field: reader.text(("pool", "features_field")),
        width: reader.whole(("pool", "width"), 2..=65_536),
        size: size(reader),
        layout: reader.choice(("pool", "layout"), &layouts).unwrap_or_default(),
        channels: match reader.whole::<u8>(("pool", "channels"), 1..=3) {
            Some(1) => ImageChannels::Grey,
            Some(2) => {
                reader.refuse(
                    ("pool", "channels"),
                    "2 given, but 1 (brightness) or 3 (colour) is expected",
                );
                ImageChannels::Colour
            }
            Some(_) | None => ImageChannels::Colour,
        },
        mean: numbers(reader, ("pool", "mean"), |_| true),
        std: numbers(reader, ("pool", "std"), |x| x.abs() > 0.0),
        broken: reader
            .choice(("pool", "broken"), &[("fail", Broken::Fail), ("skip", Broken::Skip)])
            .unwrap_or_default(),
        duplicates: reader
            .choice(
                ("pool", "duplicates"),
                &[("once", Duplicates::Once), ("keep", Duplicates::Keep)],
            )
            .unwrap_or_default(),
        metadata: names(reader, ("pool", "metadata")),
        seconds_column: reader.text(("pool", "seconds_column")),
        answers: names(reader, ("annotator", "columns")),
    }
}

/// A column of a table is a field of a line of JSON: both words are understood, one at a time.
fn column(reader: &mut Reader<'_>, column: Key, field: Key) -> Option<String> {
    if reader.has(column) && reader.has(field) {
        let message = format!("{} and {} say the same; keep one", column.1, field.1);
        reader.refuse(field, &message);
    }
    let field = reader.text(field);
    reader.text(column).or(field)
}

/// Height and width of images.
fn size(reader: &mut Reader<'_>) -> Option<[usize; 2]> {
    let key = ("pool", "size");
    let sides = widths(reader, key)?;
    match <[usize; 2]>::try_from(sides.as_slice()) {
        Ok([height, width]) if height.max(width) <= 4096 => Some([height, width]),
        Ok(_) | Err(_) => {
            reader.refuse(
                key,
                &format!("{sides:?} given, but [height, width] of at most 4096 is expected"),
            );
            None
        }
    }
}

/// One number, or three: one a channel.
fn numbers(reader: &mut Reader<'_>, key: Key, accepts: impl Fn(f64) -> bool) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a number in a file; rounding is meant")]
    let number = |value: &Value| match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => None,
    };
    let number =
        |value: &Value| number(value).filter(|x| x.is_finite() && accepts(*x)).map(|x| x + 0.0);
    let expected = if key.1 == "std" {
        "a list of numbers that are not 0, for example [0.5],"
    } else {
        "a list of numbers, for example [0.5],"
    };
    let Some(numbers) = reader.list(key, expected, number) else { return vec![] };
    if !matches!(numbers.len(), 1 | 3) {
        let message = format!(
            "{} numbers given, but 1, or 3 for three channels, are expected",
            numbers.len()
        );
        reader.refuse(key, &message);
    }
    numbers
}

/// A list of names that differ.
fn names(reader: &mut Reader<'_>, key: Key) -> Vec<String> {
    let expected = "a list of names in quotes, for example [\"camera\", \"hour\"],";
    let Some(names) = reader.list(key, expected, Value::name) else { return vec![] };
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
        reader.refuse(key, &format!("{twice:?} is listed twice; remove one"));
    }
    names
}

/// A list of whole numbers of at least 1, not empty.
fn widths(reader: &mut Reader<'_>, key: Key) -> Option<Vec<usize>> {
    let width = |value: &Value| match value {
        Value::Integer(n) if (1..=COUNT_MAX).contains(n) => usize::try_from(*n).ok(),
        Value::Integer(_)
        | Value::Text(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::List(_)
        | Value::Other(_) => None,
    };
    let expected = "a list of whole numbers from 1 to 1000000, for example [64],";
    let widths = reader.list(key, expected, width)?;
    if widths.is_empty() {
        reader.refuse(key, "an empty list; give it a number or leave the key out");
        return None;
    }
    Some(widths)
}

fn classes(reader: &mut Reader<'_>) -> Vec<String> {
    let key = ("pool", "classes");
    let expected = "a list of names in quotes, for example [\"cat\", \"dog\"],";
    let Some(classes) = reader.list(key, expected, Value::name) else { return vec![] };
    let mut seen = BTreeSet::new();
    if let Some(twice) = classes.iter().find(|class| !seen.insert(*class)) {
        reader.refuse(key, &format!("the class {twice:?} is listed twice; remove one"));
    } else if classes.len() < 2 {
        let message = format!(
            "{} classes; list at least two, or leave the key out to take those in the pool",
            classes.len()
        );
        reader.refuse(key, &message);
    }
    classes
}

fn selector(reader: &mut Reader<'_>, run: &RunSpec) -> SelectorSpec {
    let usual = match run.task {
        Task::Classification => "margin",
        Task::MultiLabel => "multilabel_entropy",
        Task::Regression => "greedy_x",
        Task::Segmentation => "segmentation_entropy",
    };
    let audit_fraction = match run.mode {
        Mode::Development => 0.0,
        Mode::Production => 0.1,
    };
    let keeps = [
        ("f32", Keep::F32),
        ("f16", Keep::F16),
        ("scores", Keep::Scores),
        ("nothing", Keep::Nothing),
    ];
    let providers = [
        ("auto", ProviderChoice::Auto),
        ("cuda", ProviderChoice::Cuda),
        ("tensorrt", ProviderChoice::Tensorrt),
        ("cpu", ProviderChoice::Cpu),
    ];
    SelectorSpec {
        strategy: strategy(reader, ("selector", "strategy"))
            .unwrap_or_else(|| StrategySpec::named(usual)),
        batch: reader.whole(("selector", "batch"), 1..=COUNT_MAX).unwrap_or(10),
        cold_start: cold_start(reader, run),
        audit_fraction: reader
            .number(("selector", "audit_fraction"), SHARE, is_share)
            .unwrap_or(audit_fraction),
        model: selector_model(reader),
        provider: reader
            .choice(("selector", "provider"), &providers)
            .unwrap_or(ProviderChoice::Auto),
        runtime: reader.text(("selector", "runtime")),
        inference_batch: inference_batch(reader),
        keep: reader.choice(("selector", "keep"), &keeps).unwrap_or_default(),
        committee: committee(reader),
        passes: reader.whole(("selector", "passes"), 2..=1000).unwrap_or(0),
        embedding: embedding(reader),
        device: reader.whole(("selector", "device"), 0..=255).unwrap_or(0),
        database: reader.text(("selector", "database")),
        query_seconds: reader.whole(("selector", "query_seconds"), 1..=86_400),
        relabel_fraction: reader
            .number(("selector", "relabel_fraction"), SHARE, is_share)
            .unwrap_or(0.0),
    }
}

/// How the first batch is picked: by class, at random, or by a strategy that needs no model.
fn cold_start(reader: &mut Reader<'_>, run: &RunSpec) -> ColdStart {
    let per_class = reader
        .whole(("selector", "seed_per_class"), 1..=COUNT_MAX)
        .filter(|_| !reader.is_moot(("selector", "seed_per_class"), ("selector", "seed_batch")));
    let samples = reader.whole(("selector", "seed_batch"), 1..=COUNT_MAX);
    if let Some(strategy) = strategy(reader, ("selector", "cold_start")) {
        return ColdStart::Strategy(strategy, samples.unwrap_or(20));
    }
    match (per_class, samples, run.mode, run.task) {
        (Some(per_class), _, _, _) => ColdStart::PerClass(per_class),
        (None, Some(samples), _, _) => ColdStart::Random(samples),
        (None, None, Mode::Development, Task::Classification) => ColdStart::PerClass(2),
        (None, None, _, _) => ColdStart::Random(20),
    }
}

fn strategy(reader: &mut Reader<'_>, key: Key) -> Option<StrategySpec> {
    match reader.text(key)?.parse::<StrategySpec>() {
        Ok(strategy) => {
            for problem in catalogue::check(&strategy) {
                reader.refuse(key, &problem);
            }
            Some(strategy)
        }
        Err(error) => {
            reader.refuse(key, &error.to_string());
            None
        }
    }
}

fn inference_batch(reader: &mut Reader<'_>) -> usize {
    let key = ("selector", "inference_batch");
    if reader.is_text(key, "auto") {
        return 0;
    }
    reader.whole(key, 1..=65_536).unwrap_or(256)
}

fn committee(reader: &mut Reader<'_>) -> Committee {
    let key = ("selector", "committee");
    if reader.is_text(key, "checkpoints") {
        return Committee::Checkpoints;
    }
    let expected = "\"checkpoints\" or a list of .onnx files";
    match reader.list(key, expected, onnx_file) {
        Some(files) if files.len() >= 2 => Committee::Files(files),
        Some(_) => {
            reader.refuse(key, "fewer than two files; a committee has at least two members");
            Committee::Nobody
        }
        None => Committee::Nobody,
    }
}

fn onnx_file(value: &Value) -> Option<String> {
    value.text().filter(|path| path.ends_with(".onnx")).map(str::to_owned)
}

fn embedding(reader: &mut Reader<'_>) -> EmbeddingSource {
    let key = ("selector", "embedding");
    match reader.text(key).as_deref() {
        None | Some("model") => EmbeddingSource::Model,
        Some("features") => EmbeddingSource::Features,
        Some(path) if path.ends_with(".onnx") => EmbeddingSource::File(path.to_owned()),
        Some(other) => {
            let message = format!(
                "{other:?} is neither \"model\", \"features\" nor the path of an .onnx file"
            );
            reader.refuse(key, &message);
            EmbeddingSource::Model
        }
    }
}

fn selector_model(reader: &mut Reader<'_>) -> SelectorModel {
    let key = ("selector", "model");
    match reader.text(key).as_deref() {
        None | Some("production") => SelectorModel::Production,
        Some("pool") => SelectorModel::Pool,
        Some(path) if path.ends_with(".onnx") => SelectorModel::File(path.to_owned()),
        Some(other) => {
            let message = format!(
                "{other:?} is neither \"production\", \"pool\" nor the path of an .onnx file"
            );
            reader.refuse(key, &message);
            SelectorModel::Production
        }
    }
}

fn annotator(reader: &mut Reader<'_>) -> AnnotatorSpec {
    reader
        .choice(("annotator", "kind"), &[("oracle", AnnotatorSpec::Oracle)])
        .unwrap_or(AnnotatorSpec::Oracle)
}

/// How many answers a label takes, and what one costs.
fn answers(reader: &mut Reader<'_>) -> AnswersSpec {
    let rules = [("majority", Consensus::Majority), ("dawid_skene", Consensus::DawidSkene)];
    let price = |reader: &mut Reader<'_>, key| {
        reader.number(("annotator", key), "a number of at least 0", |x| x >= 0.0).unwrap_or(0.0)
    };
    AnswersSpec {
        votes: reader.whole(("annotator", "votes"), 1..=100).unwrap_or(1),
        consensus: reader.choice(("annotator", "consensus"), &rules).unwrap_or_default(),
        noise: reader.number(("annotator", "noise"), SHARE, is_share).unwrap_or(0.0),
        price: price(reader, "price"),
        price_per_hour: price(reader, "price_per_hour"),
    }
}

fn model_selector(reader: &mut Reader<'_>, task: Task) -> ModelSelectorSpec {
    let usual = ModelSelectorSpec::default();
    let criterion = criterion(reader, ("model_selector", "criterion"), task);
    let criterion = criterion.unwrap_or_else(|| format!("validation.{}", usual_metric(task)));
    let natural = match criterion.strip_prefix("validation.").map(str::parse::<Metric>) {
        Some(Ok(metric)) => metric.direction(),
        Some(Err(_)) | None => Direction::Min, // the loss
    };
    let directions = [("max", Direction::Max), ("min", Direction::Min)];
    let share = |x: f64| (0.0..=1.0).contains(&x);
    ModelSelectorSpec {
        criterion,
        direction: reader.choice(("model_selector", "direction"), &directions).unwrap_or(natural),
        min_gain: reader
            .number(("model_selector", "min_gain"), "a number of at least 0", |x| x >= 0.0)
            .unwrap_or(0.0),
        tie_break: criterion_of_ties(reader, task),
        significant: reader.boolean(("model_selector", "significant"), false),
        confidence: confidence(reader, ("model_selector", "confidence"))
            .unwrap_or(usual.confidence),
        max_bytes: reader.whole(("model_selector", "max_bytes"), 1..=i128::from(u64::MAX)),
        max_latency_ms: reader.number(
            ("model_selector", "max_latency_ms"),
            "a number above 0",
            |x| x > 0.0,
        ),
        class_floor: reader.number(
            ("model_selector", "class_floor"),
            "a number from 0 to 1",
            share,
        ),
    }
}

/// What a task is measured by where nobody says otherwise.
const fn usual_metric(task: Task) -> Metric {
    match task {
        Task::Classification => Metric::Accuracy,
        Task::MultiLabel => Metric::MicroF1,
        Task::Regression => Metric::Rmse,
        Task::Segmentation => Metric::MeanIou,
    }
}

fn criterion_of_ties(reader: &mut Reader<'_>, task: Task) -> Option<String> {
    criterion(reader, ("model_selector", "tie_break"), task)
}

/// `validation.loss`, or `validation.` and a metric of the task.
fn criterion(reader: &mut Reader<'_>, key: Key, task: Task) -> Option<String> {
    let text = reader.text(key)?;
    let name = text.strip_prefix("validation.").unwrap_or(&text);
    let problem = match name.parse::<Metric>() {
        _ if !text.starts_with("validation.") => {
            format!(
                "{text:?}; models are measured on the validation split: write \"validation.{name}\""
            )
        }
        _ if name == "loss" && task != Task::Regression => return Some(text),
        Ok(metric) if metric.fits(task) => return Some(format!("validation.{metric}")),
        Ok(_) => format!("{text:?} does not fit a {task} task; {}", that_fit(task)),
        Err(_) if name == "loss" => format!("a {task} has no loss of its own; {}", that_fit(task)),
        Err(error) => error.to_string(),
    };
    reader.refuse(key, &problem);
    None
}

fn that_fit(task: Task) -> String {
    format!("there are {}", Metric::names_for(task).collect::<Vec<_>>().join(", "))
}

fn confidence(reader: &mut Reader<'_>, key: Key) -> Option<f64> {
    reader.number(key, "a number between 0 and 1", |x| x > 0.0 && x < 1.0)
}

fn kpi(reader: &mut Reader<'_>, run: &RunSpec, compares: bool) -> KpiSpec {
    let target = ("kpi", "target");
    if !reader.has(target) {
        reader.refuse(target, "missing; what must be reached, for example target = 0.95");
    }
    let estimators = [
        ("audit", GateEstimator::Audit),
        ("lure", GateEstimator::Lure),
        ("batch", GateEstimator::Batch),
    ];
    let follows = [("train", Inconclusive::Train), ("label", Inconclusive::Label)];
    let metric = metric(reader, run.task);
    let (expected, most) = match metric.most() {
        Some(_) => ("a number above 0, at most 1", 1.0),
        None => ("a number above 0", f64::MAX),
    };
    KpiSpec {
        metric,
        target: reader.number(target, expected, |x| x > 0.0 && x <= most).unwrap_or(1.0),
        gate: reader.boolean(("kpi", "gate"), run.mode == Mode::Production),
        estimator: reader.choice(("kpi", "estimator"), &estimators).unwrap_or(GateEstimator::Audit),
        confidence: confidence(reader, ("kpi", "confidence")).unwrap_or(0.95),
        inconclusive: reader.choice(("kpi", "inconclusive"), &follows).unwrap_or_default(),
        drift: reader.number(("kpi", "drift"), "a number between 0 and 1, for example 0.01", |x| {
            x > 0.0 && x < 1.0
        }),
        savings: reader.boolean(("kpi", "savings"), compares),
    }
}

fn metric(reader: &mut Reader<'_>, task: Task) -> Metric {
    let key = ("kpi", "metric");
    let Some(text) = reader.text(key) else { return usual_metric(task) };
    match text.parse::<Metric>() {
        Ok(metric) if metric.fits(task) => metric,
        Ok(metric) => {
            reader.refuse(key, &format!("{metric} does not fit a {task} task; {}", that_fit(task)));
            usual_metric(task)
        }
        Err(error) => {
            reader.refuse(key, &error.to_string());
            usual_metric(task)
        }
    }
}

/// Without a word about the KPI, it ends the run where something measures it.
fn stop(reader: &mut Reader<'_>, mode: Mode, gate: bool) -> StopSpec {
    let whens = [("any", StopWhen::Any), ("all", StopWhen::All)];
    let when = reader.choice(("stop", "when"), &whens).unwrap_or_default();
    // What must hold together with others is named.
    let others = ["max_cycles", "max_hours", "deadline", "plateau", "stable", "max_cost"];
    let named = when == StopWhen::All && others.iter().any(|key| reader.has(("stop", *key)));
    StopSpec {
        kpi: reader.boolean(("stop", "kpi"), !named && (gate || mode == Mode::Development)),
        max_cycles: reader.whole(("stop", "max_cycles"), 1..=i128::from(u32::MAX)),
        max_labels: reader.whole(("stop", "max_labels"), 1..=1_000_000_000),
        when,
        max_hours: reader.number(("stop", "max_hours"), "a number above 0", |x| x > 0.0),
        deadline: deadline(reader),
        plateau: reader.whole(("stop", "plateau"), 1..=1_000_000),
        plateau_gain: reader
            .number(("stop", "plateau_gain"), "a number of at least 0", |x| x >= 0.0)
            .unwrap_or(0.0),
        stable: reader.number(
            ("stop", "stable"),
            "a number above 0, at most 1, for example 0.99",
            |x| x > 0.0 && x <= 1.0,
        ),
        max_cost: reader.number(("stop", "max_cost"), "a number above 0", |x| x > 0.0),
    }
}

fn deadline(reader: &mut Reader<'_>) -> Option<Timestamp> {
    let key = ("stop", "deadline");
    let text = reader.text(key)?;
    match chrono::DateTime::parse_from_rfc3339(&text) {
        Ok(time) => Some(Timestamp(time.timestamp_micros())),
        Err(_) => {
            let problem = format!("{text:?} is no instant, for example \"2027-01-31T18:00:00Z\"");
            reader.refuse(key, &problem);
            None
        }
    }
}

fn retry(reader: &mut Reader<'_>) -> RetrySpec {
    let second = Duration::from_secs(1);
    RetrySpec {
        attempts: reader.whole(("retry", "attempts"), 1..=1_000).unwrap_or(3),
        backoff: reader.duration(("retry", "backoff"), Duration::ZERO..=DAY, second),
        backoff_max: reader.duration(("retry", "backoff_max"), Duration::ZERO..=DAY, 60 * second),
        lease: reader.duration(("retry", "lease"), second..=DAY, 30 * second),
    }
}
