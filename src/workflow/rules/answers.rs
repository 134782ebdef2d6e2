//! Rules of several answers a label, of money, and of what is looked at beside the KPI.

use crate::domain::definition::{Consensus, Definition, PoolSource};
use crate::domain::task::Task;
use crate::workflow::reader::Reader;

/// Several answers a label, labels that are asked again, and what all that costs.
pub(super) fn answers(definition: &Definition, reader: &mut Reader<'_>) {
    let (task, answers) = (definition.run.task, &definition.answers);
    let (pool, selector) = (&definition.pool, &definition.selector);
    let run = ("run", "task");
    if task != Task::Classification {
        let of_classes = [
            ("annotator", "votes"),
            ("annotator", "consensus"),
            ("annotator", "columns"),
            ("annotator", "noise"),
            ("selector", "relabel_fraction"),
        ];
        for key in of_classes {
            if reader.has(key) {
                let problem = "several answers become one label by counting classes, which only a classification has; \
                               remove the key";
                reader.contradiction(&[key, run], problem);
            }
        }
    }
    if !pool.answers.is_empty() {
        let columns = ("annotator", "columns");
        if !matches!(pool.source, PoolSource::Csv | PoolSource::Jsonl | PoolSource::Parquet) {
            let problem = "answers are read from csv, jsonl and parquet pools; remove the key";
            reader.contradiction(&[columns, ("pool", "source")], problem);
        }
        let mut used: Vec<&String> = vec![&pool.label_column];
        used.extend(pool.id_column.iter().chain(&pool.text_field).chain(&pool.features_field));
        used.extend(pool.metadata.iter().chain(&pool.seconds_column));
        if let Some(twice) = pool.answers.iter().find(|name| used.contains(name)) {
            let problem = format!("{twice:?} has another meaning already; remove it from the list");
            reader.contradiction(&[columns], &problem);
        }
        if answers.votes > pool.answers.len() {
            let problem = format!(
                "{} answers are asked for, but there are {} annotators",
                answers.votes,
                pool.answers.len()
            );
            reader.contradiction(&[("annotator", "votes"), columns], &problem);
        }
        if answers.noise > 0.0 {
            let problem = "annotators who have columns make their own mistakes; remove the key";
            reader.contradiction(&[("annotator", "noise"), columns], problem);
        }
    }
    let (again, columns) = (("selector", "relabel_fraction"), ("annotator", "columns"));
    if answers.consensus == Consensus::DawidSkene && answers.votes < 2 {
        let problem = "who is to be believed is learnt from samples that several answer for; set votes = 2 or more, or consensus = \"majority\"";
        reader.contradiction(&[("annotator", "consensus"), ("annotator", "votes")], problem);
    }
    if selector.relabel_fraction > 0.0 {
        if !pool.answers.is_empty() && pool.answers.len() <= answers.votes {
            let problem = format!(
                "a label is asked again of those who were not asked yet, and votes = {} asks all {}; set it lower, or add a column",
                answers.votes,
                pool.answers.len()
            );
            reader.contradiction(&[again, ("annotator", "votes"), columns], &problem);
        }
        if pool.answers.is_empty() && answers.noise <= 0.0 {
            let problem = "the oracle makes no mistakes and would say the same again; remove the key, give it noise, or name the annotators' columns";
            reader.contradiction(&[again, ("annotator", "noise")], problem);
        }
        if selector.batch < 3 {
            let problem =
                format!("a batch of {} has no room for it; make it at least 3", selector.batch);
            reader.contradiction(&[again, ("selector", "batch")], &problem);
        }
    }
    if selector.relabel_fraction > 0.0 && definition.trainer.external.is_some() {
        let problem = "labels are doubted by models that are trained here several times; remove the key, or train here";
        let command = ("trainer", "command");
        reader.contradiction(&[("selector", "relabel_fraction"), command], problem);
    }
    if selector.relabel_fraction + selector.audit_fraction >= 1.0 {
        let problem = "the audit arm and labels that are asked again leave nothing to the strategy; together they must stay below 1";
        let audit = ("selector", "audit_fraction");
        reader.contradiction(&[("selector", "relabel_fraction"), audit], problem);
    }
    if definition.stop.max_cost.is_some() && !answers.is_priced() {
        let problem = "nothing costs anything; give annotator.price, or annotator.price_per_hour";
        reader.contradiction(&[("stop", "max_cost"), ("annotator", "price")], problem);
    }
    if answers.price_per_hour > 0.0 && pool.seconds_column.is_none() {
        let problem = "the oracle takes no time; name the column with the seconds of an annotation in pool.seconds_column";
        reader.contradiction(&[("annotator", "price_per_hour"), ("annotator", "kind")], problem);
    }
}

/// What is looked at beside the KPI.
pub(super) fn beside_the_kpi(definition: &Definition, reader: &mut Reader<'_>) {
    let (kpi, gate) = (&definition.kpi, ("kpi", "gate"));
    if kpi.drift.is_some() && !kpi.gate {
        let problem =
            "without a gate every cycle trains, drift or not; remove the key, or set gate = true";
        reader.contradiction(&[("kpi", "drift"), gate], problem);
    }
    if kpi.drift.is_some() && definition.run.task == Task::Segmentation {
        let problem = "drift is looked for in answers of a few numbers, and a mask has thousands; remove the key";
        reader.contradiction(&[("kpi", "drift"), ("run", "task")], problem);
    }
    if kpi.savings && definition.trainer.external.is_some() {
        let problem = "what random selection would have taken is found by trainings in this process; remove the key";
        reader.contradiction(&[("kpi", "savings"), ("trainer", "command")], problem);
    }
    let audit = ("selector", "audit_fraction");
    if kpi.savings && definition.selector.audit_fraction <= 0.0 {
        let problem = "what random selection would have taken is read from the audit arm, and there is none; remove the key, \
                       or compare strategies with `gleaner simulate`";
        reader.contradiction(&[("kpi", "savings"), audit], problem);
    }
}
