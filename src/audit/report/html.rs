//! A report as one HTML page: no script, no network, readable on a phone, on paper, in the light and in the dark.
//!
//! Everything that somebody wrote (ids, texts, class names, reasons) is escaped, and the page forbids itself scripts and
//! requests besides (`Content-Security-Policy`). What another course of the same run may change stands in `<time>`, in
//! elements of class `t`, or in the section `interruptions`.

mod gallery;
mod labels;
mod models;
#[cfg(test)]
mod tests;
mod words;

use super::curve::chart;
use super::value::{CycleReport, Report, Stands};
use crate::chart::svg::escaped;
use crate::chart::{Frame, draw, svg};
use crate::domain::definition::{Direction, Mode};
use crate::domain::event::{Arm, DriftChecked, KpiChecked};
use crate::domain::ids::Name;
use crate::domain::kpi::{Basis, Verdict};
use gallery::gallery;
use labels::labels;
use models::models;
use words::{
    arm, count, digest, interval, many, number, of_this_course, span, time, user, value, verdict,
};

/// More rows of a table are counted, not shown: a page that is read has an end.
const ROWS_MAX: usize = 200;
/// More annotators are counted.
const ANNOTATORS_MAX: usize = 20;

const STYLE: &str = include_str!("style.css");

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let sections = [
        ("curve", "Learning curve", curve(report)),
        ("checks", "Checks", checks(report)),
        ("batches", "Batches", batches(report)),
        ("labels", "Labels", labels(report)),
        ("cost", "Cost", cost(report)),
        ("models", "Models", models(report)),
        ("record", "Record", record(report)),
        ("picks", "Picks", gallery(report)),
    ];
    let sections = || sections.iter().filter(|(_, _, html)| !html.is_empty());
    let links: String =
        sections().map(|(id, name, _)| format!("<a href=\"#{id}\">{name}</a>\n")).collect();
    let parts: String = sections()
        .map(|(id, name, html)| {
            format!("<section id=\"{id}\">\n<h2>{name}</h2>\n{html}</section>\n")
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <title>{}: report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n{}<nav aria-label=\"Sections\">\n{links}</nav>\n</header>\n\
         <main>\n{parts}{}</main>\n\
         <footer>Made from the run's own log by gleaner {}. The page holds all that it shows: no script, no network.</footer>\n\
         </body>\n</html>\n",
        escaped(&report.name),
        head(report),
        interruptions(report),
        env!("CARGO_PKG_VERSION")
    )
}

fn head(report: &Report) -> String {
    let mode = match report.mode {
        Mode::Development => "development",
        Mode::Production => "production",
    };
    let fact = |name: &str, value: String| format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n");
    let big = |name: &str, value: String| {
        format!("<div><dt>{name}</dt><dd class=\"big\">{value}</dd></div>\n")
    };
    let mut facts = big("labels", count(report.labelled));
    facts += &big("cycles", count(report.cycles.len() as u64));
    if let Some(checked) = newest(report) {
        let found = value(report.metric, checked.value);
        facts += &big(&report.metric.to_string(), found);
    }
    facts += &big(
        "record",
        if report.verification.is_sound() {
            "sound".to_owned()
        } else {
            "does not hold".to_owned()
        },
    );
    let big_facts = std::mem::take(&mut facts);
    facts += &fact(
        "production model",
        report.production.as_ref().map_or_else(
            || "none yet".to_owned(),
            |model| format!("{}{}", digest(model), if report.pinned { ", pinned" } else { "" }),
        ),
    );
    facts += &fact("workflow", format!("{}, seed {}", digest(&report.workflow), report.seed));
    facts += &fact("run", of_this_course(format!("<code>{}</code>", report.run)));
    if let (Some(begun), Some(newest)) = (report.begun, report.newest) {
        let took = newest.since(begun).as_secs_f64();
        facts += &fact("begun", time(begun));
        facts += &fact("newest event", format!("{}, after {}", time(newest), span(took)));
    }
    format!(
        "<p class=\"over\">Gleaner report · {} · {mode}</p>\n<h1>{}</h1>\n<p>{}</p>\n\
         <p class=\"lead\">{}</p>\n<dl class=\"facts\">\n{big_facts}</dl>\n<dl class=\"facts wide\">\n{facts}</dl>\n",
        report.task,
        user(&report.name),
        stands(report),
        sentence(report)
    )
}

fn stands(report: &Report) -> String {
    match &report.stands {
        Stands::Ended(reason) => {
            let why = report.cancelled.as_ref().map_or_else(String::new, |why| {
                format!(" <span class=\"soft\">{}</span>", user(why))
            });
            format!("<span class=\"pill plain\">ended: {}</span>{why}", escaped(reason.why()))
        }
        Stands::Paused => "<span class=\"pill inconclusive\">paused</span>".to_owned(),
        Stands::Failed(failed) => format!(
            "<span class=\"pill missed\">failed</span> <span class=\"soft\">{}: {}</span>",
            user(&failed.step),
            user(&failed.cause)
        ),
        Stands::Active(phase) => format!("<span class=\"pill met\">{}</span>", escaped(phase)),
    }
}

/// The measurement that counts: where there are gates, they speak, for the validation split helped to choose the model.
fn newest(report: &Report) -> Option<&KpiChecked> {
    let lines = || report.cycles.iter().rev();
    lines()
        .find_map(|line| line.summary.gate.as_ref())
        .or_else(|| lines().find_map(|line| line.summary.acceptance.as_ref()))
        .filter(|checked| checked.n > 0)
}

fn target(report: &Report) -> String {
    let bound = match report.metric.direction() {
        Direction::Max => "at least",
        Direction::Min => "at most",
    };
    format!("{bound} {}", value(report.metric, report.target))
}

/// What was reached, in one sentence.
fn sentence(report: &Report) -> String {
    let bought = format!(
        "<b>{}</b> in {}",
        many(report.labelled, "label", "labels"),
        many(report.cycles.len() as u64, "cycle", "cycles")
    );
    let Some(checked) = newest(report) else {
        return format!("{bought}; no model has been measured yet.");
    };
    let model = if report.production == Some(checked.model) {
        "the production model reaches"
    } else {
        "the model that was measured last reached"
    };
    let target = target(report);
    let verdict = match checked.verdict {
        Verdict::Met => format!("the target of {target} is met"),
        Verdict::Missed => format!("the target of {target} is not met"),
        Verdict::Inconclusive => {
            format!("whether that meets the target of {target} cannot be told yet")
        }
    };
    format!(
        "With {bought}, {model} <b>{} {}</b> ({}, {:.0}\u{a0}% confidence) on {} {} samples; {verdict}.",
        escaped(&checked.metric),
        value(report.metric, checked.value),
        interval(report.metric, checked.interval),
        100.0 * report.confidence,
        count(checked.n),
        escaped(&checked.estimator)
    )
}

fn curve(report: &Report) -> String {
    let chart = chart(report);
    if chart.curves.is_empty() {
        return String::new();
    }
    let keys: String = chart
        .curves
        .iter()
        .map(|curve| format!("<span class=\"key\"><i></i>{}</span>\n", escaped(&curve.name)))
        .collect();
    let told: Vec<String> = chart
        .curves
        .iter()
        .filter_map(|curve| {
            let (first, last) = (curve.points.first()?, curve.points.last()?);
            Some(format!(
                "{}: from {} with {} labels to {} with {} labels",
                curve.name,
                value(report.metric, first.value),
                first.labels,
                value(report.metric, last.value),
                last.labels
            ))
        })
        .collect();
    let description = format!("{}. Target: {}.", told.join(". "), target(report));
    let picture = svg::inline(&draw(&chart, Frame::INLINE), "learning-curve", &description);
    let random = report.random.as_ref().map_or_else(String::new, |random| {
        let reached = format!(
            "The newest training reached {} on the validation split with {}.",
            value(report.metric, random.quality),
            many(random.bought, "label", "labels")
        );
        let instead = match (random.labels, random.low, random.high, &random.why_not) {
            (Some(labels), Some(low), high, _) => {
                let low = low.ceil();
                let range = high.map_or_else(
                    || format!("{low} or more"),
                    |high| format!("{low} to {}", high.ceil()),
                );
                format!(
                    "Labels drawn at random would have had to be about <b>{}</b> ({range}, 90 % interval).",
                    labels.ceil()
                )
            }
            (_, _, _, Some(why)) => {
                format!("How many labels drawn at random would have taken cannot be told: {}.", escaped(why))
            }
            (_, _, _, None) => String::new(),
        };
        format!("<p>{reached} {instead}</p>\n")
    });
    format!(
        "<figure class=\"curve\">\n{picture}<figcaption>{keys}<div>Bands are {:.0}\u{a0}% intervals.</div></figcaption>\n</figure>\n{random}",
        100.0 * report.confidence
    )
}

/// The newest rows, and how many are left out.
fn newest_rows<T>(rows: Vec<T>, row: impl FnMut(T) -> String) -> (String, String) {
    let hidden = rows.len().saturating_sub(ROWS_MAX) as u64;
    let shown = rows.into_iter().rev().take(ROWS_MAX).map(row).collect();
    let note = match hidden {
        0 => String::new(),
        hidden => format!(
            "<p class=\"soft\">{} earlier ones are left out here; <code>gleaner report --json</code> lists them.</p>\n",
            count(hidden)
        ),
    };
    (shown, note)
}

fn table(head: &str, rows: &str) -> String {
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

/// The history of the KPI.
fn checks(report: &Report) -> String {
    let mut all: Vec<(&CycleReport, &str, &KpiChecked)> = Vec::new();
    for line in &report.cycles {
        all.extend(line.summary.gate.as_ref().map(|checked| (line, "gate", checked)));
        all.extend(
            line.summary.acceptance.as_ref().map(|checked| (line, "after training", checked)),
        );
    }
    let Some((_, _, first)) = all.first() else { return String::new() };
    let basis = match first.basis {
        Basis::Interval => "the whole interval",
        Basis::Value => "the measured value",
    };
    let intro = format!(
        "<p class=\"soft\">What had to be reached: {} {}. Verdicts look at {basis}. Newest first.</p>\n",
        escaped(&first.metric),
        target(report)
    );
    let (rows, note) = newest_rows(all, |(line, stage, checked)| {
        let (found, range) = if checked.n > 0 {
            (value(report.metric, checked.value), interval(report.metric, checked.interval))
        } else {
            ("-".to_owned(), "nothing to measure on".to_owned())
        };
        format!(
            "<tr><td class=\"n\">{}</td><td class=\"w\">{stage}</td><td>{}</td><td class=\"n\"><b>{found}</b></td>\
             <td class=\"w\">{range}</td><td class=\"n\">{}</td><td class=\"w\">{} {}</td><td class=\"n\">{}</td><td>{}</td></tr>\n",
            line.summary.cycle,
            verdict(checked.verdict),
            value(report.metric, checked.target),
            count(checked.n),
            escaped(&checked.estimator),
            count(line.summary.labelled),
            digest(&checked.model)
        )
    });
    let head = "<th class=\"n\">cycle</th><th>check</th><th>verdict</th><th class=\"n\">value</th><th>interval</th>\
                <th class=\"n\">target</th><th>samples</th><th class=\"n\">labels</th><th>model</th>";
    format!("{intro}{}{note}{}", table(head, &rows), drifts(report))
}

fn drifts(report: &Report) -> String {
    let all: Vec<(&CycleReport, &DriftChecked)> = report
        .cycles
        .iter()
        .filter_map(|line| Some((line, line.summary.drift.as_ref()?)))
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let (rows, note) = newest_rows(all, |(line, drift)| {
        format!(
            "<tr><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
            line.summary.cycle,
            if drift.is_drift() { "<span class=\"pill missed\">drift</span>" } else { "none" },
            count(drift.before),
            count(drift.arrived),
            number(drift.statistic),
            number(drift.p)
        )
    });
    let head = "<th class=\"n\">cycle</th><th>drift</th><th class=\"n\">samples before</th><th class=\"n\">samples since</th>\
                <th class=\"n\">distance</th><th class=\"n\">p</th>";
    format!("<h3>Drift of the pool</h3>\n{}{note}", table(head, &rows))
}

/// The strategy's arms, cycle by cycle.
fn batches(report: &Report) -> String {
    let all: Vec<_> =
        report.cycles.iter().filter_map(|line| Some((line, line.batch.as_ref()?))).collect();
    if all.is_empty() {
        return String::new();
    }
    let arms: Vec<Arm> = [Arm::Strategy, Arm::Audit, Arm::ColdStart, Arm::Relabel]
        .into_iter()
        .filter(|arm| all.iter().any(|(_, batch)| batch.arms.contains_key(arm)))
        .collect();
    let heads: String =
        arms.iter().map(|of| format!("<th class=\"n\">{}</th>", arm(*of).0)).collect();
    let shown: Vec<u32> = report.batches.iter().map(|batch| batch.cycle.0).collect();
    let (rows, note) = newest_rows(all, |(line, batch)| {
        let of = |arm: &Arm| batch.arms.get(arm).copied().unwrap_or_default();
        let counts: String =
            arms.iter().map(|arm| format!("<td class=\"n\">{}</td>", count(of(arm)))).collect();
        let all: u64 = arms.iter().map(of).sum();
        let pieces: String = arms.iter().map(|it| bar_piece(arm(*it).1, of(it), all)).collect();
        let cycle = line.summary.cycle;
        let link = if shown.contains(&cycle.0) {
            format!("<a href=\"#cycle-{cycle}\">{cycle}</a>")
        } else {
            cycle.to_string()
        };
        format!(
            "<tr><td class=\"n\">{link}</td><td class=\"text\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>{counts}\
             <td><span class=\"bar\">{pieces}</span></td><td class=\"n\">{}</td></tr>\n",
            user(&batch.strategy),
            count(batch.candidates),
            batch.cutoff.map_or_else(|| "-".to_owned(), number),
            count(line.summary.labelled)
        )
    });
    let head = format!(
        "<th class=\"n\">cycle</th><th>strategy</th><th class=\"n\">candidates</th><th class=\"n\">cutoff</th>{heads}<th>arms</th><th class=\"n\">labels after</th>"
    );
    format!(
        "<p class=\"soft\">What each cycle asked for, and on whose behalf. Newest first.</p>\n{}{note}",
        table(&head, &rows)
    )
}

fn bar_piece(class: &str, part: u64, all: u64) -> String {
    if part == 0 {
        return String::new();
    }
    let share = 100.0 * part as f64 / all.max(1) as f64;
    format!("<i class=\"{class}\" style=\"width:{share:.1}%\"></i>")
}

fn cost(report: &Report) -> String {
    let cost = &report.cost;
    if cost.answers == 0 {
        return String::new();
    }
    let big = |name: &str, value: String| {
        format!("<div><dt>{name}</dt><dd class=\"big\">{value}</dd></div>\n")
    };
    let mut facts = big("labels", count(report.labelled));
    facts += &big("answers", count(cost.answers));
    if cost.spent_seconds > 0.0 {
        facts += &big("time of annotators", span(cost.spent_seconds));
    }
    if let Some(money) = cost.money {
        facts += &big("price of the answers", of_this_course(format!("{money:.2}")));
        let each = money / report.labelled.max(1) as f64;
        facts += &big("price of a label", of_this_course(format!("{each:.3}")));
    }
    let mut annotators: Vec<(&Name, &u64)> = cost.annotators.iter().collect();
    annotators.sort_by_key(|(name, answers)| (std::cmp::Reverse(**answers), *name));
    let hidden = annotators.len().saturating_sub(ANNOTATORS_MAX) as u64;
    let list: Vec<String> = annotators
        .iter()
        .take(ANNOTATORS_MAX)
        .map(|(name, answers)| format!("{} ({})", user(name), count(**answers)))
        .collect();
    let more = if hidden > 0 { format!(", and {} more", count(hidden)) } else { String::new() };
    format!(
        "<dl class=\"facts\">\n{facts}</dl>\n<p class=\"soft\">Answers by {}{more}.</p>\n",
        list.join(", ")
    )
}

/// Whether the record is whole.
fn record(report: &Report) -> String {
    let found = &report.verification;
    let held = format!(
        "{} events and {} hold together",
        of_this_course(count(found.events)),
        many(found.artifacts, "artifact", "artifacts")
    );
    let verdict = if found.is_sound() {
        format!(
            "<p><span class=\"pill met\">sound</span> {held}: the chain of hashes, every transition, pick, label and model, and every file \
             against its digest.</p>\n"
        )
    } else {
        let mut findings: String =
            found.damaged.iter().map(|why| format!("<li>{}</li>\n", user(why))).collect();
        for finding in found.runs.iter().flat_map(|run| &run.findings).take(ROWS_MAX) {
            let place = match (finding.cycle, finding.revision) {
                (Some(cycle), Some(revision)) => format!("event {cycle}.{revision}: "),
                (_, _) => String::new(),
            };
            findings += &format!("<li>{place}{}</li>\n", user(&finding.what));
        }
        format!(
            "<p><span class=\"pill missed\">does not hold</span> {held}; what does not:</p>\n<ul>\n{findings}</ul>\n"
        )
    };
    let notes: String = (found.runs.iter().flat_map(|run| &run.notes).take(ROWS_MAX))
        .map(|note| format!("<li>{}</li>\n", user(&note.what)))
        .collect();
    let verdict = match notes.as_str() {
        "" => verdict,
        _ => format!("{verdict}<p>no longer kept, and on record:</p>\n<ul>\n{notes}</ul>\n"),
    };
    let fact = |name: &str, value: String| format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n");
    let mut facts =
        fact("meaning (semantic digest)", format!("<code>{}</code>", report.semantic_digest));
    for end in found.runs.iter().filter_map(|run| run.trusted) {
        let end = format!("<code>{}</code> at event {}.{}", end.hash, end.cycle, end.revision);
        facts += &fact("trusted up to", of_this_course(end));
    }
    let command = of_this_course(format!("<code>gleaner verify {}</code>", report.run));
    format!(
        "{verdict}<dl class=\"facts wide\">\n{facts}</dl>\n<p class=\"soft\">{command} checks it again. Runs with the same meaning have the same \
         semantic digest, however often they were interrupted.</p>\n"
    )
}

/// What the environment did to the run.
fn interruptions(report: &Report) -> String {
    if report.failures.is_empty() {
        return String::new();
    }
    let (items, note) = newest_rows(report.failures.iter().collect(), |failure| {
        format!(
            "<li>Cycle {}, {}: {} failed after {}: {}</li>\n",
            failure.cycle,
            time(failure.at),
            user(&failure.failed.step),
            many(u64::from(failure.failed.attempts), "try", "tries"),
            user(&failure.failed.cause)
        )
    });
    format!(
        "<section id=\"interruptions\">\n<h2>Interruptions</h2>\n<p class=\"soft\">Steps that failed for good, until the run was \
         resumed. They change nothing of the above.</p>\n<ul>\n{items}</ul>\n{note}</section>\n"
    )
}
