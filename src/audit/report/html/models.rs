//! The lineage of models: what each training gave, what went to production and why, and what people changed.

use super::newest_rows;
use super::words::{count, digest, interval, many, number, sentence, time, user, value};
use crate::audit::report::value::{Change, Changed, CycleReport, Report};
use crate::chart::svg::escaped;
use crate::domain::event::ModelsCompared;

/// The lineage of models: each training, what came of it, and what people changed.
pub(super) fn models(report: &Report) -> String {
    let mut all: Vec<(u32, String)> = Vec::new();
    for line in report.cycles.iter().filter(|line| line.trained.is_some()) {
        all.push((line.summary.cycle.0, training(report, line)));
    }
    for change in &report.changes {
        all.push((change.cycle.0, changed(change)));
    }
    if all.is_empty() {
        return String::new();
    }
    all.sort_by_key(|(cycle, _)| *cycle); // stable: changes of a cycle come after its training
    let production = report.production.as_ref().map_or_else(String::new, |model| {
        format!(
            "<p>In production{}: <code>{model}</code></p>\n",
            if report.pinned { ", pinned" } else { "" }
        )
    });
    let (items, note) = newest_rows(all, |(_, item)| item);
    format!("{production}<ol class=\"models\">\n{items}</ol>\n{note}")
}

fn training(report: &Report, line: &CycleReport) -> String {
    let cycle = line.summary.cycle;
    let Some(trained) = &line.trained else { return String::new() };
    let learnt = format!(
        "{} from {}, validated on {}",
        many(trained.checkpoints.len() as u64, "checkpoint", "checkpoints"),
        many(trained.train_samples, "label", "labels"),
        many(trained.validation_samples, "sample", "samples")
    );
    let Some(selected) = &line.selected else {
        return format!("<li><p><b>Cycle {cycle}</b>: {learnt}; none chosen yet.</p></li>\n");
    };
    let (class, fate) = match selected.promoted {
        true => (" class=\"promoted\"", "goes to production"),
        false if selected.incumbent == Some(selected.winner) => ("", "stays in production"),
        false => ("", "does not go to production"),
    };
    let winner = selected.candidates.iter().find(|it| it.model == selected.winner);
    let criterion = winner.map_or_else(String::new, |winner| {
        format!(", {} {}", escaped(&selected.criterion), number(winner.value))
    });
    let measured = line.summary.acceptance.as_ref().filter(|checked| checked.n > 0);
    let measured = measured.map_or_else(String::new, |checked| {
        format!(
            "; then {} {} ({}) on {} {} samples",
            escaped(&checked.metric),
            value(report.metric, checked.value),
            interval(report.metric, checked.interval),
            count(checked.n),
            escaped(&checked.estimator)
        )
    });
    format!(
        "<li{class}><p><b>Cycle {cycle}</b>: {} {fate}{criterion}{measured}.</p>\n<p class=\"soft\">{learnt}. {}.{}</p></li>\n",
        digest(&selected.winner),
        user(&sentence(selected.reason.trim_end_matches('.'))),
        line.compared.as_ref().map_or_else(String::new, compared)
    )
}

fn compared(compared: &ModelsCompared) -> String {
    format!(
        " Against {} on {}: {:+.4} ({:+.4} to {:+.4}), {} better, {} worse, p = {} ({}).",
        digest(&compared.champion),
        many(compared.n, "sample", "samples"),
        compared.difference,
        compared.interval.low,
        compared.interval.high,
        count(compared.wins),
        count(compared.losses),
        number(compared.p),
        escaped(&compared.test)
    )
}

fn changed(change: &Change) -> String {
    let what = match &change.what {
        Changed::RolledBack { model, previous } => {
            format!("rolled back to {} from {}", digest(model), digest(previous))
        }
        Changed::Pinned => "the production model was pinned".to_owned(),
        Changed::Unpinned => "the production model was set free".to_owned(),
    };
    format!(
        "<li><p><b>Cycle {}</b>: {what}, {}.</p>\n<p class=\"soft\">{}</p></li>\n",
        change.cycle,
        time(change.at),
        user(&change.reason)
    )
}
