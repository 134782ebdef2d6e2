//! The picks, cycle by cycle: what each sample looks like, why it was picked, and what it turned out to be.

use super::words::{arm, count, digest, label, many, number, user};
use crate::audit::report::value::{Batch, BatchLine, Look, PickReport, Report};
use crate::chart::svg::escaped;
use crate::domain::event::Arm;

/// A picture with shorter sides is drawn pixel by pixel.
const SMALL: usize = 48;

pub(super) fn gallery(report: &Report) -> String {
    if report.picks == 0 {
        return String::new();
    }
    let shown: usize = report.batches.iter().map(|batch| batch.picks.len()).sum();
    let mut html = format!(
        "<p class=\"soft\">The newest {} of {}, newest cycle first; <code class=\"w\">--picks</code> says how many are shown.",
        many(shown as u64, "pick", "picks"),
        count(report.picks)
    );
    if let Some(why) = &report.unseen {
        html.push_str(&format!(" The samples themselves cannot be shown: {}.", user(why)));
    }
    html.push_str("</p>\n");
    for batch in &report.batches {
        let line = report.cycles.iter().find(|line| line.summary.cycle == batch.cycle);
        html.push_str(&section(report, batch, line.and_then(|line| line.batch.as_ref())));
    }
    html
}

fn section(report: &Report, batch: &Batch, line: Option<&BatchLine>) -> String {
    let cycle = batch.cycle;
    let mut html = format!("<h3 id=\"cycle-{cycle}\">Cycle {cycle}</h3>\n<p class=\"soft\">");
    if let Some(line) = line {
        html.push_str(&format!(
            "{} picked from {} by {} (version {})",
            many(batch.count, "sample", "samples"),
            many(line.candidates, "candidate", "candidates"),
            user(&line.strategy),
            line.strategy_version
        ));
        if let Some(cutoff) = line.cutoff {
            html.push_str(&format!("; the last pick has the score {}", number(cutoff)));
        }
        if let Some(model) = &line.model {
            html.push_str(&format!("; scored by model {}", digest(model)));
        }
        if let Some(provider) = &line.provider {
            html.push_str(&format!(" on {}", user(provider)));
        }
        html.push('.');
    }
    let hidden = batch.count - batch.picks.len() as u64;
    if hidden > 0 {
        html.push_str(&format!(" {} more are not shown.", count(hidden)));
    }
    let texts = batch.picks.iter().any(|pick| matches!(pick.look, Some(Look::Text(_))));
    let texts = if texts { " texts" } else { "" };
    html.push_str(&format!("</p>\n<div class=\"gallery{texts}\">\n"));
    for pick in &batch.picks {
        html.push_str(&card(report, pick));
    }
    html.push_str("</div>\n");
    html
}

fn card(report: &Report, of: &PickReport) -> String {
    let (name, class) = arm(of.pick.arm);
    let sample = of.pick.sample.as_str();
    let look = of.look.as_ref().map_or_else(String::new, |look| self::look(look, sample));
    format!(
        "<article class=\"pick {class}\">{look}<p class=\"label\">{}</p>\n<p>{}</p>\n<p class=\"soft\">{name}: {}</p></article>\n",
        said(report, of),
        user(sample),
        why(of)
    )
}

fn look(look: &Look, sample: &str) -> String {
    match look {
        // Base64 has no letter that ends an attribute; what came from elsewhere may have.
        Look::Picture { png, height, width } => format!(
            "<img src=\"data:image/png;base64,{}\" width=\"{width}\" height=\"{height}\" alt=\"sample {}\"{}>\n",
            escaped(png),
            escaped(sample),
            if *height.max(width) < SMALL { " class=\"small\"" } else { "" }
        ),
        Look::Text(text) => format!("<blockquote>{}</blockquote>\n", user(text)),
        Look::Numbers { first, count: all } => {
            let numbers: Vec<String> = first.iter().map(|x| number(f64::from(*x))).collect();
            let more = all.saturating_sub(first.len());
            let more =
                if more > 0 { format!(" … {} more", count(more as u64)) } else { String::new() };
            format!("<p><code>{}</code>{more}</p>\n", numbers.join(" "))
        }
    }
}

/// What it turned out to be.
fn said(report: &Report, of: &PickReport) -> String {
    let Some(now) = of.label else { return "<span class=\"soft\">no label yet</span>".to_owned() };
    let mut text = label(report, now);
    if let Some(before) = of.before {
        text.push_str(&format!(" <span class=\"soft\">was {}</span>", label(report, before)));
    }
    if of.answers.len() > 1 && of.answers.iter().all(|(_, said)| *said == now) {
        let all: Vec<String> = of.answers.iter().map(|(who, _)| user(who)).collect();
        text.push_str(&format!(" <span class=\"soft\">by {}</span>", all.join(", ")));
    } else if of.answers.len() > 1 {
        let answers: Vec<String> = of
            .answers
            .iter()
            .map(|(who, said)| format!("{} {}", user(who), label(report, *said)))
            .collect();
        text.push_str(&format!(" <span class=\"soft\">by {}</span>", answers.join("; ")));
    } else if let Some(annotator) = &of.annotator {
        text.push_str(&format!(" <span class=\"soft\">by {}</span>", user(annotator)));
    }
    text
}

/// Why it was picked.
fn why(of: &PickReport) -> String {
    let pick = &of.pick;
    let mut parts = Vec::new();
    match (pick.arm, pick.probability) {
        (Arm::Audit, _) => parts.push("drawn at random, to measure".to_owned()),
        (Arm::Relabel, _) => parts.push("its label looked wrong".to_owned()),
        (Arm::Strategy | Arm::ColdStart, _) => parts.push(format!("rank {}", pick.rank)),
    }
    parts.extend(pick.score.map(|score| format!("score {}", number(score))));
    parts.extend(of.above_cutoff.map(|above| match above > 0.0 {
        true => format!("{} above the cutoff", number(above)),
        false => "at the cutoff".to_owned(),
    }));
    parts.extend(pick.probability.map(|chance| format!("probability {}", number(chance))));
    parts.join(", ")
}
