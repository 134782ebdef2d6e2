//! Values that are fine one by one and contradict each other.

mod answers;

use super::keys;
use super::reader::Reader;
use crate::domain::definition::{
    AnnotatorSpec, ColdStart, Definition, Direction, GateEstimator, GraphSpec, ImageChannels,
    Inconclusive, LossSpec, Mode, OptimizerSpec, PoolSource, PoolSpec, ScheduleSpec,
};
use crate::domain::label::ClassSet;
use crate::domain::metric::Metric;
use crate::domain::strategy::catalogue;
use crate::domain::task::Task;

/// Reports every contradiction.
pub(super) fn check(definition: &Definition, reader: &mut Reader<'_>) {
    pool(definition, reader);
    task(definition, reader);
    sources(&definition.pool, reader);
    match definition.run.mode {
        Mode::Development => development(definition, reader),
        Mode::Production => production(definition, reader),
    }
    answers::answers(definition, reader);
    answers::beside_the_kpi(definition, reader);
    training(definition, reader);
    limits(definition, reader);
}

fn pool(definition: &Definition, reader: &mut Reader<'_>) {
    let pool = &definition.pool;
    if pool.validation + pool.test >= 1.0 {
        reader.contradiction(
            &[("pool", "test"), ("pool", "validation")],
            &format!(
                "validation = {} and test = {} leave nothing to train on; together they must stay below 1",
                pool.validation, pool.test
            ),
        );
    }
    if pool.id_column.as_ref() == Some(&pool.label_column) {
        reader.contradiction(
            &[("pool", "id_column"), ("pool", "label_column")],
            &format!("the column {:?} cannot be both id and label", pool.label_column),
        );
    }
    if pool.shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side)).is_none() {
        reader.contradiction(
            &[("pool", "shape")],
            &format!("{:?} has more values than fit in memory", pool.shape),
        );
    }
    if pool.validation <= 0.0 {
        reader.contradiction(
            &[("pool", "validation"), ("model_selector", "criterion")],
            &format!(
                "validation = 0, but {} chooses among checkpoints; hold some samples out, for example \
                 validation = 0.1",
                definition.model_selector.criterion
            ),
        );
    }
}

/// What only some tasks can have.
fn task(definition: &Definition, reader: &mut Reader<'_>) {
    let (task, pool, selector) = (definition.run.task, &definition.pool, &definition.selector);
    let run = ("run", "task");
    if let Some(problem) = catalogue::misfit(&selector.strategy, task) {
        reader.contradiction(&[("selector", "strategy"), run], &problem);
    }
    if let ColdStart::Strategy(strategy, _) = &selector.cold_start
        && let Some(problem) = catalogue::misfit(strategy, task)
    {
        reader.contradiction(&[("selector", "cold_start"), run], &problem);
    }
    if definition.stop.max_hours.is_some()
        && definition.annotator == AnnotatorSpec::Oracle
        && pool.seconds_column.is_none()
    {
        let problem = "the oracle takes no time; name the column with the seconds of an annotation in pool.seconds_column";
        reader.contradiction(&[("stop", "max_hours"), ("annotator", "kind")], problem);
    }
    if task == Task::Regression && definition.model_selector.class_floor.is_some() {
        let problem = "a regression has no classes; remove the key";
        reader.contradiction(&[("model_selector", "class_floor"), run], problem);
    }
    if task != Task::Classification && definition.stop.stable.is_some() {
        let problem = "whether predictions are stable is asked of classes; use plateau";
        reader.contradiction(&[("stop", "stable"), run], problem);
    }
    if task == Task::Classification {
        return;
    }
    if matches!(selector.cold_start, ColdStart::PerClass(_)) {
        let problem =
            "a first batch by class is for classification; use seed_batch, which draws at random";
        reader.contradiction(&[("selector", "seed_per_class"), run], problem);
    }
    let sources: &[PoolSource] = match task {
        Task::Segmentation => &[PoolSource::Npy],
        Task::Classification | Task::MultiLabel | Task::Regression => {
            &[PoolSource::Csv, PoolSource::Npy]
        }
    };
    if !sources.contains(&pool.source) {
        let names: Vec<&str> = sources.iter().map(|source| name(*source)).collect();
        let problem =
            format!("labels of a {task} task are read from {} pools", names.join(" and "));
        reader.contradiction(&[("pool", "source"), run], &problem);
    }
    if pool.predictions.is_some() {
        let problem = "predictions made elsewhere are for classification; remove the key";
        reader.contradiction(&[("pool", "predictions"), run], problem);
    }
    let most = match task {
        Task::Regression => 0,
        Task::MultiLabel => ClassSet::CLASSES_MAX,
        Task::Classification | Task::Segmentation => 256,
    };
    let problem = match pool.classes.len() {
        0 if task == Task::Regression => return,
        0 => "missing; name the classes: the columns of a CSV pool, or what the numbers of an .npy pool's labels stand for"
            .to_owned(),
        _ if task == Task::Regression => "a regression has no classes; remove the key".to_owned(),
        classes if classes > most => format!("{classes} classes; a {task} task has at most {most}"),
        _ => return,
    };
    reader.contradiction(&[("pool", "classes"), run], &problem);
}

/// Keys that belong to some sources only.
fn sources(pool: &PoolSpec, reader: &mut Reader<'_>) {
    use PoolSource::{Csv, Images, Jsonl, Npy, Parquet};
    let of: [(&'static str, &[PoolSource]); 16] = [
        ("labels", &[Npy]),
        ("text_field", &[Jsonl]),
        ("width", &[Jsonl]),
        ("features_field", &[Jsonl, Parquet]),
        ("label_column", &[Csv, Jsonl, Parquet]),
        ("label_field", &[Jsonl]),
        ("id_column", &[Csv, Jsonl, Parquet]),
        ("id_field", &[Jsonl]),
        ("metadata", &[Csv, Jsonl, Parquet]),
        ("seconds_column", &[Csv, Jsonl, Parquet]),
        ("size", &[Images]),
        ("layout", &[Images]),
        ("channels", &[Images]),
        ("mean", &[Images]),
        ("std", &[Images]),
        ("scale", &[Csv, Npy, Jsonl, Parquet, Images]),
    ];
    for (key, sources) in of {
        if reader.has(("pool", key)) && !sources.contains(&pool.source) {
            let names: Vec<&str> = sources.iter().map(|source| name(*source)).collect();
            let message = format!(
                "belongs to {} pools; remove the key, or set source = {:?}",
                names.join(", "),
                names.first().copied().unwrap_or_default()
            );
            reader.contradiction(&[("pool", key), ("pool", "source")], &message);
        }
    }
    let field = |key| ("pool", key);
    match (pool.source, &pool.text_field, &pool.features_field) {
        (Jsonl, None, None) => reader.contradiction(
            &[field("text_field"), field("features_field"), field("source")],
            "missing; a jsonl pool needs text_field, whose words become features, or features_field, a list of numbers",
        ),
        (Jsonl, Some(_), Some(_)) => reader.contradiction(
            &[field("features_field"), field("text_field")],
            "text_field and features_field both say where the features are; keep one",
        ),
        _ => {}
    }
    if pool.source == Images && pool.size.is_none() {
        reader.contradiction(
            &[field("size"), field("source")],
            "missing; images are brought to one size, for example size = [32, 32]",
        );
    }
    if pool.channels == ImageChannels::Grey && pool.mean.len().max(pool.std.len()) > 1 {
        reader.contradiction(
            &[field("mean"), field("std"), field("channels")],
            "one channel has one mean and one std; give one number, or set channels = 3",
        );
    }
    let mut used = vec![&pool.label_column];
    used.extend(pool.id_column.iter().chain(&pool.text_field).chain(&pool.features_field));
    if let Some(twice) = pool.metadata.iter().find(|name| used.contains(name)) {
        reader.contradiction(
            &[field("metadata")],
            &format!(
                "{twice:?} is the label, the id or the features already; remove it from the list"
            ),
        );
    }
}

const fn name(source: PoolSource) -> &'static str {
    match source {
        PoolSource::Csv => "csv",
        PoolSource::Npy => "npy",
        PoolSource::Jsonl => "jsonl",
        PoolSource::Parquet => "parquet",
        PoolSource::Images => "images",
    }
}

fn development(definition: &Definition, reader: &mut Reader<'_>) {
    if definition.kpi.gate {
        reader.contradiction(
            &[("kpi", "gate"), ("run", "mode")],
            "development mode has no gate: every cycle trains, to show the learning curve; set gate = false, or \
             run.mode = \"production\"",
        );
    }
    if definition.selector.audit_fraction > 0.0 {
        reader.contradiction(
            &[("selector", "audit_fraction"), ("run", "mode")],
            "development mode has no audit arm: the test split measures; set audit_fraction = 0, or \
             run.mode = \"production\"",
        );
    }
    if definition.pool.test <= 0.0 {
        reader.contradiction(
            &[("pool", "test"), ("run", "mode")],
            "test = 0, but in development mode the test split measures the KPI; hold some samples out, for example \
             test = 0.2",
        );
    }
}

fn production(definition: &Definition, reader: &mut Reader<'_>) {
    let (kpi, selector) = (&definition.kpi, &definition.selector);
    let audit = selector.audit_fraction > 0.0;
    if kpi.gate && kpi.estimator == GateEstimator::Audit && !audit {
        reader.contradiction(
            &[("selector", "audit_fraction"), ("kpi", "gate"), ("kpi", "estimator")],
            "audit_fraction = 0, but the gate reads the audit arm's labels; set audit_fraction = 0.1, or gate = false",
        );
    }
    if audit && selector.batch < 2 {
        reader.contradiction(
            &[("selector", "batch"), ("selector", "audit_fraction")],
            "a batch of 1 has no room for the audit arm and the strategy; make it at least 2, or set \
             audit_fraction = 0",
        );
    }
    if matches!(selector.cold_start, ColdStart::PerClass(_)) {
        reader.contradiction(
            &[("selector", "seed_per_class"), ("run", "mode")],
            "in production nobody knows the classes before the labels come; use seed_batch, which draws at random",
        );
    }
    if kpi.gate && kpi.estimator == GateEstimator::Lure {
        if !["power", "softmax", "softrank"].contains(&selector.strategy.name.as_str()) {
            reader.contradiction(
                &[("selector", "strategy"), ("kpi", "estimator")],
                "lure weighs each pick by the chance with which it was drawn; wrap the strategy in power, softmax or softrank, for \
                 example strategy = \"power(margin)\"",
            );
        }
        let task = definition.run.task;
        let is_mean = (kpi.metric == Metric::Accuracy && task == Task::Classification)
            || (matches!(kpi.metric, Metric::LogLoss | Metric::Mae) && task != Task::Segmentation);
        if !is_mean {
            reader.contradiction(
                &[("kpi", "metric"), ("kpi", "estimator")],
                "lure measures means over samples: accuracy and log_loss of classes, mae of values; choose one of them, or \
                 estimator = \"audit\"",
            );
        }
    }
    if kpi.gate && kpi.estimator == GateEstimator::Batch && kpi.inconclusive == Inconclusive::Label
    {
        reader.contradiction(
            &[("kpi", "inconclusive"), ("kpi", "estimator")],
            "the batch estimator reads the newest batch alone, so more labels never make it surer; set estimator = \"audit\", or \
             inconclusive = \"train\"",
        );
    }
    if definition.stop.kpi && !kpi.gate {
        reader.contradiction(
            &[("stop", "kpi"), ("kpi", "gate")],
            "kpi = true, but in production only the gate measures the KPI, and kpi.gate = false; set gate = true, or \
             kpi = false and max_cycles or max_labels",
        );
    }
}

/// Keys of `[trainer]` that belong to a program.
const OF_A_PROGRAM: [&str; 4] = ["seconds", "memory_mb", "tolerance", "settings"];

/// Keys of the trainer that belong to a program, and those that a program makes moot.
fn outside(definition: &Definition, reader: &mut Reader<'_>) {
    let command = ("trainer", "command");
    if definition.trainer.external.is_none() {
        for key in OF_A_PROGRAM {
            if reader.has(("trainer", key)) && !reader.has(command) {
                let problem = "belongs to a program; remove the key, or name one in command";
                reader.contradiction(&[("trainer", key), command], problem);
            }
        }
        return;
    }
    let ours = |key: &&str| *key != command.1 && !OF_A_PROGRAM.contains(key);
    for key in keys::of("trainer").unwrap_or_default().iter().copied().filter(ours) {
        if reader.has(("trainer", key)) && !reader.is_moot(("trainer", key), command) {
            let problem = "the program of `command` trains by itself; remove the key, or tell the program by settings";
            reader.contradiction(&[("trainer", key), command], problem);
        }
    }
}

fn training(definition: &Definition, reader: &mut Reader<'_>) {
    outside(definition, reader);
    if definition.trainer.backbone.is_some() && definition.run.task == Task::Segmentation {
        let problem = "a backbone gives one embedding a sample, and a mask has a class for each pixel; remove the key";
        reader.contradiction(&[("trainer", "backbone"), ("run", "task")], problem);
    }
    let trainer = &definition.trainer;
    let stands = |reader: &Reader<'_>, key, by| reader.has(key) && !reader.is_moot(key, by);
    let (hidden, channels, graph) =
        (("trainer", "hidden"), ("trainer", "channels"), ("trainer", "graph"));
    let name = match trainer.graph {
        GraphSpec::Softmax => "softmax",
        GraphSpec::Mlp(_) => "mlp",
        GraphSpec::Cnn(_) => "cnn",
        GraphSpec::Unet(_) => "unet",
    };
    if name != "mlp" && stands(reader, hidden, graph) {
        let message =
            format!("{name} has no hidden layers; remove the key, or set graph = \"mlp\"");
        reader.contradiction(&[hidden, graph], &message);
    }
    if matches!(trainer.graph, GraphSpec::Softmax | GraphSpec::Mlp(_))
        && stands(reader, channels, graph)
    {
        let message =
            format!("{name} has no channels; remove the key, or set graph = \"cnn\" or \"unet\"");
        reader.contradiction(&[channels, graph], &message);
    }
    let loss = ("trainer", "loss");
    for (key, word, belongs) in [
        ("focal_gamma", "focal", matches!(trainer.loss, Some(LossSpec::Focal { .. }))),
        ("huber_delta", "huber", matches!(trainer.loss, Some(LossSpec::Huber { .. }))),
    ] {
        if !belongs && stands(reader, ("trainer", key), loss) {
            let message =
                format!("belongs to the loss {word}; remove the key, or set loss = {word:?}");
            reader.contradiction(&[("trainer", key), loss], &message);
        }
    }
    if trainer.warmup >= trainer.epochs {
        let message = format!(
            "warmup = {} leaves nothing of epochs = {}; give it fewer",
            trainer.warmup, trainer.epochs
        );
        reader.contradiction(&[("trainer", "warmup"), ("trainer", "epochs")], &message);
    }
    let (momentum, optimizer) = (("trainer", "momentum"), ("trainer", "optimizer"));
    if !matches!(trainer.optimizer, OptimizerSpec::Sgd { .. })
        && stands(reader, momentum, optimizer)
    {
        reader.contradiction(
            &[("trainer", "momentum"), ("trainer", "optimizer")],
            "momentum belongs to sgd; remove the key, or set optimizer = \"sgd\"",
        );
    }
    if !matches!(trainer.schedule, ScheduleSpec::Step { .. }) {
        for key in [("trainer", "step_every"), ("trainer", "step_factor")] {
            if stands(reader, key, ("trainer", "schedule")) {
                reader.contradiction(
                    &[key, ("trainer", "schedule")],
                    "belongs to the step schedule; remove the key, or set schedule = \"step\"",
                );
            }
        }
    }
    let selector = &definition.model_selector;
    let metric = selector.criterion.strip_prefix("validation.").map(str::parse::<Metric>);
    let natural = match metric {
        Some(Ok(metric)) => metric.direction(),
        Some(Err(_)) | None => Direction::Min, // the loss
    };
    if selector.direction != natural {
        reader.contradiction(
            &[("model_selector", "direction"), ("model_selector", "criterion")],
            &format!(
                "this would promote the worst model by {}; leave the key out",
                selector.criterion
            ),
        );
    }
}

fn limits(definition: &Definition, reader: &mut Reader<'_>) {
    let per_class = ("selector", "seed_per_class");
    let seed_batch = ("selector", "seed_batch");
    let cold_start = ("selector", "cold_start");
    if reader.has(per_class) && reader.has(cold_start) && !reader.is_moot(per_class, cold_start) {
        reader.contradiction(
            &[cold_start, per_class],
            "a strategy picks samples, not classes; say how many by seed_batch, and remove seed_per_class",
        );
    }
    let moot = reader.is_moot(per_class, seed_batch);
    if reader.has(per_class) && reader.has(seed_batch) && !moot {
        reader.contradiction(
            &[seed_batch, per_class],
            "seed_per_class and seed_batch both say how the first batch is drawn; keep one",
        );
    }
    let first = match &definition.selector.cold_start {
        ColdStart::Random(samples) | ColdStart::Strategy(_, samples) => *samples,
        ColdStart::PerClass(samples) => samples.saturating_mul(definition.pool.classes.len()),
    };
    if let Some(max) = definition.stop.max_labels
        && first > max
    {
        reader.contradiction(
            &[("stop", "max_labels"), seed_batch, per_class, ("pool", "classes")],
            &format!("at most {max} labels, but the first batch alone has {first}; raise it, or start smaller"),
        );
    }
    let retry = &definition.retry;
    if retry.backoff > retry.backoff_max {
        reader.contradiction(
            &[("retry", "backoff"), ("retry", "backoff_max")],
            &format!(
                "the first wait ({:?}) is longer than the longest (backoff_max = {:?})",
                retry.backoff, retry.backoff_max
            ),
        );
    }
}
