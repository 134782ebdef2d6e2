//! Values that are fine one by one and contradict each other.

use super::reader::Reader;
use crate::domain::definition::{
    ColdStart, Definition, Direction, GateEstimator, GraphSpec, Mode, OptimizerSpec, ScheduleSpec,
};

/// Reports every contradiction.
pub(super) fn check(definition: &Definition, reader: &mut Reader<'_>) {
    pool(definition, reader);
    match definition.run.mode {
        Mode::Development => development(definition, reader),
        Mode::Production => production(definition, reader),
    }
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
    if definition.stop.kpi && !kpi.gate {
        reader.contradiction(
            &[("stop", "kpi"), ("kpi", "gate")],
            "kpi = true, but in production only the gate measures the KPI, and kpi.gate = false; set gate = true, or \
             kpi = false and max_cycles or max_labels",
        );
    }
}

fn training(definition: &Definition, reader: &mut Reader<'_>) {
    let trainer = &definition.trainer;
    if trainer.graph == GraphSpec::Softmax && reader.has(("trainer", "hidden")) {
        reader.contradiction(
            &[("trainer", "hidden"), ("trainer", "graph")],
            "softmax has no hidden layers; remove the key, or set graph = \"mlp\"",
        );
    }
    if trainer.optimizer == OptimizerSpec::Adam && reader.has(("trainer", "momentum")) {
        reader.contradiction(
            &[("trainer", "momentum"), ("trainer", "optimizer")],
            "momentum belongs to sgd; remove the key, or set optimizer = \"sgd\"",
        );
    }
    if !matches!(trainer.schedule, ScheduleSpec::Step { .. }) {
        for key in [("trainer", "step_every"), ("trainer", "step_factor")] {
            if reader.has(key) {
                reader.contradiction(
                    &[key, ("trainer", "schedule")],
                    "belongs to the step schedule; remove the key, or set schedule = \"step\"",
                );
            }
        }
    }
    let selector = &definition.model_selector;
    let natural = match selector.criterion.as_str() {
        "validation.loss" => Direction::Min,
        _ => Direction::Max,
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
    if reader.has(per_class) && reader.has(seed_batch) {
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
