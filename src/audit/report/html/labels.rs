//! The labels: which classes or values they have, and how far they can be trusted.

use super::words::{arm, class, count, interval, many, number, value};
use super::{bar_piece, table};
use crate::audit::report::value::{Balance, Report};

/// More classes are counted.
const CLASSES_MAX: usize = 60;

/// Which classes the labels have, and how far they can be trusted.
pub(super) fn labels(report: &Report) -> String {
    let mut html = balance(report);
    if !report.spread.is_empty() {
        let rows: String = report
            .spread
            .iter()
            .map(|spread| {
                format!(
                    "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
                    arm(spread.arm).0,
                    count(spread.labels),
                    number(spread.least),
                    number(spread.median),
                    number(spread.most)
                )
            })
            .collect();
        let head = "<th>arm</th><th class=\"n\">labels</th><th class=\"n\">least</th><th class=\"n\">median</th><th class=\"n\">most</th>";
        html += &table(head, &rows);
    }
    let doubted =
        report.cycles.iter().rev().find_map(|line| Some((line, line.summary.doubted.as_ref()?)));
    if let Some((line, doubted)) = doubted {
        html += &format!(
            "<p>In cycle {}, {} of {} labels looked wrong to models that had not seen them; that suggests an error rate of about {:.1} %.</p>\n",
            line.summary.cycle,
            count(doubted.suspects),
            count(doubted.labels),
            100.0 * doubted.error_rate
        );
    }
    let relabelled: u64 = report.cycles.iter().map(|line| line.summary.relabelled).sum();
    if relabelled > 0 {
        html += &format!(
            "<p>{} by further answers.</p>\n",
            many(relabelled, "label changed", "labels changed")
        );
    }
    html
}

fn balance(report: &Report) -> String {
    let total = |of: fn(&Balance) -> u64| report.balance.iter().map(of).sum::<u64>();
    let (chosen, audit) = (total(|line| line.chosen), total(|line| line.audit));
    if chosen + audit == 0 {
        return String::new();
    }
    let has_kpi = report.balance.iter().any(|line| line.kpi.is_some());
    let mut lines: Vec<_> = report.balance.iter().collect();
    let hidden = lines.len().saturating_sub(CLASSES_MAX);
    if hidden > 0 {
        lines.sort_by_key(|line| (std::cmp::Reverse(line.chosen + line.audit), line.class));
        lines.truncate(CLASSES_MAX);
    }
    let most = lines.iter().map(|line| line.chosen).max().unwrap_or_default();
    let most_audit = lines.iter().map(|line| line.audit).max().unwrap_or_default();
    let share =
        |part: u64, all: u64| format!("{:.1}\u{a0}%", 100.0 * part as f64 / all.max(1) as f64);
    let rows: String = lines
        .iter()
        .map(|line| {
            let mut row = format!(
                "<tr><td class=\"text\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td><span class=\"bar\">{}</span></td>",
                class(report, line.class as usize),
                count(line.chosen),
                share(line.chosen, chosen),
                bar_piece("strategy", line.chosen, most)
            );
            if audit > 0 {
                row += &format!(
                    "<td class=\"n\">{}</td><td class=\"n\">{}</td><td><span class=\"bar\">{}</span></td>",
                    count(line.audit),
                    share(line.audit, audit),
                    bar_piece("audit", line.audit, most_audit)
                );
            }
            if has_kpi {
                let found = line.kpi.map_or_else(
                    || "-".to_owned(),
                    |kpi| {
                        let range = interval(report.metric, kpi.interval);
                        format!("{} <span class=\"soft\">({range})</span>", value(report.metric, kpi.value))
                    },
                );
                row += &format!("<td class=\"w\">{found}</td>");
            }
            row + "</tr>\n"
        })
        .collect();
    let mut head =
        "<th>class</th><th class=\"n\">chosen</th><th class=\"n\">share</th><th></th>".to_owned();
    if audit > 0 {
        head += "<th class=\"n\">audit</th><th class=\"n\">share</th><th></th>";
    }
    if has_kpi {
        head += &format!("<th>{}</th>", report.metric);
    }
    let beside = if audit > 0 {
        " The audit arm is drawn at random, so it shows what the pool looks like."
    } else {
        ""
    };
    let left_out = match hidden {
        0 => String::new(),
        hidden => {
            format!("<p class=\"soft\">{} more classes are left out.</p>\n", count(hidden as u64))
        }
    };
    format!(
        "<p class=\"soft\">Which classes the labels have.{beside}</p>\n{}{left_out}",
        table(&head, &rows)
    )
}
