//! `gleaner log`: what happened, record by record.

use super::Cli;
use super::error::CliError;
use super::output::{Output, Style};
use super::session::Session;
use crate::control::{Cursor, LogRecord, Request, Response};
use crate::domain::event::{Arm, BatchSelected, Event, KpiStage};
use crate::domain::ids::SampleId;
use std::collections::BTreeSet;
use std::process::ExitCode;

pub(super) async fn log(
    cli: &Cli,
    output: &Output,
    run: Option<String>,
    cycle: Option<u32>,
    follow: bool,
) -> Result<ExitCode, CliError> {
    let mut session = Session::open_to_ask(&cli.state).await?;
    let mut run = run;
    let mut from = Cursor { cycle: cycle.unwrap_or(1), ..Cursor::START };
    // Nobody else can write while this process has the state directory, which it may get when the other one ends.
    let mut waits = follow && session.is_there();
    loop {
        let request = Request::Log { run: run.clone(), cycle, from, wait: waits };
        let (again, response) = session.ask_again(request).await?;
        session = again;
        waits &= session.is_there();
        let Response::Log { records, next, over } = response else { break };
        for record in &records {
            // A newer run may start while this one is read.
            run.get_or_insert_with(|| record.run.clone());
            show(output, record)?;
        }
        if over || (records.is_empty() && !waits) {
            break;
        }
        from = next;
    }
    if follow && !waits {
        output.note("nobody works on this state directory now, so nothing follows");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(output: &Output, record: &LogRecord) -> Result<(), CliError> {
    if output.json {
        return output.json(record);
    }
    let time: String = record.recorded.chars().skip(11).take(12).collect();
    let name = output.style(Style::Bold, &format!("{:<14}", record.name));
    output.line(&format!(
        "{:>3}.{:<3} {time} {name} {}",
        record.cycle,
        record.revision,
        sentence(&record.event)
    ))
}

/// How many picks ask again for a label.
fn again(batch: &BatchSelected) -> usize {
    batch.picks.iter().filter(|pick| pick.arm == Arm::Relabel).count()
}

/// An event in one line.
pub(super) fn sentence(event: &Event) -> String {
    match event {
        Event::RunStarted(run) => {
            format!(
                "{} with seed {}, {} classes, workflow {}",
                run.name,
                run.seed,
                run.classes.len(),
                run.workflow.short()
            )
        }
        Event::Forked(forked) => {
            format!("goes on from cycle {} of run {}", forked.cycle, forked.run)
        }
        Event::CycleStarted(cycle) => format!(
            "{} labels, pool {}, model {}",
            cycle.labelled,
            cycle.pool.short(),
            cycle.selector_model.map_or_else(|| "none yet".to_owned(), |model| model.short())
        ),
        Event::BatchSelected(batch) => format!(
            "{} of {} by {}{}{}{}",
            batch.picks.len() - again(batch),
            batch.candidates,
            batch.strategy,
            if again(batch) > 0 {
                format!(", {} asked again", again(batch))
            } else {
                String::new()
            },
            batch.cutoff.map_or_else(String::new, |cutoff| format!(", cutoff {cutoff:.4}")),
            batch.provider.as_ref().map_or_else(String::new, |provider| format!(", {provider}"))
        ),
        Event::Annotated(annotated) => {
            let by = annotated.labels.first().map_or("nobody", |label| label.annotator.as_str());
            format!("{} labels by {by}", annotated.labels.len())
        }
        Event::KpiChecked(checked) => format!(
            "{} {} {:.4} on {} of {} samples, target {}: {:?}",
            match checked.stage {
                KpiStage::Gate => "gate:",
                KpiStage::Acceptance => "acceptance:",
            },
            checked.metric,
            checked.value,
            checked.estimator,
            checked.n,
            checked.target,
            checked.verdict
        ),
        Event::Trained(trained) => format!(
            "{} checkpoints from {} labels",
            trained.checkpoints.len(),
            trained.train_samples
        ),
        Event::ModelSelected(selected) => {
            format!("{}: {}", selected.winner.short(), selected.reason)
        }
        Event::CycleEnded(ended) => format!("{} labels", ended.labelled),
        Event::CycleFailed(failed) => {
            format!("{} after {} tries: {}", failed.step, failed.attempts, failed.cause)
        }
        Event::CycleCancelled(cancelled) => cancelled.reason.clone(),
        Event::ModelsCompared(compared) => format!(
            "{} against {}: {:+.4} ({:+.4} to {:+.4}) on {} samples, p = {:.3} ({})",
            compared.challenger.short(),
            compared.champion.short(),
            compared.difference,
            compared.interval.low,
            compared.interval.high,
            compared.n,
            compared.p,
            compared.test
        ),
        Event::RolledBack(back) => {
            format!("{} instead of {}: {}", back.model.short(), back.previous.short(), back.reason)
        }
        Event::Pinned(pinned) => {
            let what = if pinned.pinned { "pinned" } else { "set free" };
            format!("the production model is {what}: {}", pinned.reason)
        }
        Event::Voted(voted) => {
            let samples: BTreeSet<&SampleId> =
                voted.votes.iter().map(|vote| &vote.sample).collect();
            format!("{} answers for {} samples", voted.votes.len(), samples.len())
        }
        Event::Relabelled(relabelled) => {
            let all = &relabelled.labels;
            let changed = all.iter().filter(|relabel| relabel.before != relabel.after).count();
            format!("{changed} labels changed, {} stand", all.len() - changed)
        }
        Event::LabelsDoubted(doubted) => format!(
            "{} of {} labels look wrong to models that had not seen them",
            doubted.suspects, doubted.labels
        ),
        Event::BaselineMeasured(baseline) => format!(
            "{} {:.4} by the {} random labels alone, {:.4} by all {}",
            baseline.metric,
            baseline.random,
            baseline.random_labels,
            baseline.all,
            baseline.all_labels
        ),
        Event::DriftChecked(drift) => format!(
            "{} samples that came since against {} before: distance {:.3}, p = {:.2e}{}",
            drift.arrived,
            drift.before,
            drift.statistic,
            drift.p,
            if drift.is_drift() { ", a drift" } else { "" }
        ),
        Event::ClassesMeasured(measured) => {
            let lowest = measured.classes.iter().min_by(|a, b| a.value.total_cmp(&b.value));
            let lowest = lowest.map_or_else(String::new, |lowest| {
                format!(", from {:.4} (class number {}) up", lowest.value, lowest.class)
            });
            format!("{} of {} classes{lowest}", measured.metric, measured.classes.len())
        }
        Event::ArtifactsRemoved(removed) => {
            let bytes: u64 = removed.removed.iter().map(|gone| gone.bytes).sum();
            format!("{} artifacts, {bytes} bytes; kept: {}", removed.removed.len(), removed.policy)
        }
        Event::SampleErased(erased) => format!(
            "what sample {} is, in {} records: {}",
            erased.sample,
            erased.rewritten.len(),
            erased.reason
        ),
        Event::RunEnded(ended) => {
            format!(
                "{:?} after {} cycles with {} labels",
                ended.reason, ended.cycles, ended.labelled
            )
        }
    }
}
