//! Pages of a report in which everybody who may write something writes markup.

use super::*;
use crate::audit::report::value::{
    Balance, Batch, BatchLine, Change, Changed, Cost, Failure, Look, PickReport, RandomEstimate,
};
use crate::audit::verify::{Finding, Trusted, Verification, VerifiedRun};
use crate::domain::digest::Digest;
use crate::domain::event::{
    Candidate, Checkpoint, CycleFailed, EndReason, KpiStage, ModelSelected, Pick, Trained,
};
use crate::domain::ids::{CycleNumber, Revision, RunId, SampleId};
use crate::domain::kpi::Interval;
use crate::domain::label::Label;
use crate::domain::metric::Metric;
use crate::domain::state::CycleSummary;
use crate::domain::task::Task;
use crate::domain::time::Timestamp;
use std::collections::BTreeMap;

const HOSTILE: &str = "<script>alert(\"1\")</script>&amp;</p>";

fn checked(stage: KpiStage, n: u64) -> KpiChecked {
    KpiChecked {
        stage,
        metric: "accuracy".into(),
        estimator: "audit".into(),
        model: Digest::of(b"model"),
        n,
        value: 0.875,
        interval: Interval { low: 0.75, high: 0.95 },
        target: 0.9,
        basis: Basis::Interval,
        verdict: Verdict::Inconclusive,
    }
}

fn cycle(number: u32) -> CycleReport {
    let cycle = CycleNumber(number);
    CycleReport {
        summary: CycleSummary {
            gate: Some(checked(KpiStage::Gate, 16)),
            acceptance: Some(checked(KpiStage::Acceptance, 30)),
            ..CycleSummary::new(cycle, 10 * u64::from(number))
        },
        batch: Some(BatchLine {
            strategy: HOSTILE.to_owned(),
            strategy_version: 1,
            model: Some(Digest::of(b"model")),
            provider: Some(HOSTILE.to_owned()),
            candidates: 1_000,
            cutoff: Some(0.5),
            arms: [(Arm::Strategy, 8), (Arm::Audit, 2)].into(),
        }),
        trained: Some(Trained {
            train_set: Digest::ZERO,
            train_samples: 10,
            validation_set: Digest::ZERO,
            validation_samples: 5,
            checkpoints: vec![Checkpoint {
                model: Digest::of(b"model"),
                step: 1,
                metrics: BTreeMap::new(),
            }],
        }),
        compared: None,
        selected: Some(ModelSelected {
            criterion: HOSTILE.into(),
            candidates: vec![Candidate { model: Digest::of(b"model"), value: 0.5 }],
            incumbent: None,
            winner: Digest::of(b"model"),
            promoted: true,
            reason: HOSTILE.to_owned(),
        }),
    }
}

/// A report in which everybody who may write something writes markup.
fn report(cycles: u32) -> Report {
    let failed = CycleFailed { step: HOSTILE.to_owned(), attempts: 2, cause: HOSTILE.to_owned() };
    let at = Timestamp(1_700_000_000_000_000);
    let looks = [
        Look::Text(HOSTILE.to_owned()),
        Look::Picture { png: "\"><script>".to_owned(), height: 8, width: 8 },
        Look::Numbers { first: vec![0.5, -1.0], count: 9 },
    ];
    let picks = looks.map(|look| PickReport {
        pick: Pick {
            sample: SampleId::from(HOSTILE),
            arm: Arm::Strategy,
            score: Some(0.75),
            rank: 1,
            probability: None,
        },
        above_cutoff: Some(0.25),
        label: Some(Label::Class(0)),
        before: Some(Label::Class(1)),
        annotator: Some(HOSTILE.into()),
        answers: Vec::new(),
        look: Some(look),
    });
    Report {
        run: RunId(uuid::Uuid::nil()),
        name: HOSTILE.to_owned(),
        task: Task::Classification,
        mode: Mode::Production,
        metric: Metric::Accuracy,
        target: 0.9,
        confidence: 0.95,
        workflow: Digest::ZERO,
        seed: 7,
        classes: vec![HOSTILE.to_owned(), "b".to_owned()],
        stands: Stands::Ended(EndReason::Cancelled),
        cancelled: Some(HOSTILE.to_owned()),
        begun: Some(at),
        newest: Some(at),
        events: 12,
        labelled: 30,
        production: Some(Digest::of(b"model")),
        pinned: true,
        cycles: (1..=cycles).map(cycle).collect(),
        changes: vec![Change {
            cycle: CycleNumber(1),
            at,
            what: Changed::Pinned,
            reason: HOSTILE.to_owned(),
        }],
        random: Some(RandomEstimate {
            quality: 0.9,
            bought: 30,
            labels: None,
            low: None,
            high: None,
            why_not: Some(HOSTILE.to_owned()),
        }),
        balance: vec![Balance { class: 0, chosen: 20, audit: 10, kpi: None }],
        spread: Vec::new(),
        cost: Cost {
            answers: 30,
            annotators: [(HOSTILE.into(), 30)].into(),
            spent_seconds: 90.0,
            money: Some(12.5),
        },
        batches: vec![Batch { cycle: CycleNumber(cycles), picks: picks.into(), count: 10 }],
        picks: 10 * u64::from(cycles),
        unseen: Some(HOSTILE.to_owned()),
        failures: vec![Failure { cycle: CycleNumber(1), at, failed }],
        semantic_digest: Digest::ZERO,
        verification: Verification {
            events: 12,
            artifacts: 3,
            runs: vec![VerifiedRun {
                run: RunId(uuid::Uuid::nil()),
                trusted: Some(Trusted {
                    cycle: CycleNumber(1),
                    revision: Revision(3),
                    hash: Digest::ZERO,
                }),
                events: 12,
                findings: vec![Finding { cycle: None, revision: None, what: HOSTILE.to_owned() }],
                notes: vec![Finding { cycle: None, revision: None, what: HOSTILE.to_owned() }],
            }],
            damaged: None,
        },
    }
}

#[test]
fn nothing_that_somebody_wrote_is_markup() {
    let page = page(&report(3));
    assert!(!page.contains("<script") && !page.contains("&amp;</p>"), "{page}");
    assert!(
        page.matches("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;").count() > 15
    );
    assert!(page.contains("base64,&quot;&gt;&lt;script&gt;"), "not even in a picture");
}

#[test]
fn a_page_says_what_was_reached_and_whether_the_record_holds() {
    let mut report = report(3);
    let before = page(&report);
    for words in [
        "the production model reaches <b>accuracy 87.5\u{a0}%</b> (75.0 to 95.0\u{a0}%, 95\u{a0}% confidence) on 16 audit samples; whether that meets the target of at least 90.0\u{a0}% cannot be told yet",
        "does not hold",
        "id=\"interruptions\"",
        "7 more are not shown",
        "ended: cancelled",
    ] {
        assert!(before.contains(words), "{words}: {before}");
    }
    report.verification.runs[0].findings.clear();
    report.failures.clear();
    let after = page(&report);
    assert!(after.contains(">sound</span>") && !after.contains("interruptions"));
}

#[test]
fn a_run_that_has_only_begun_is_a_page_too() {
    let mut report = report(0);
    report.batches.clear();
    report.balance.clear();
    report.changes.clear();
    report.stands = Stands::Active("between cycles".to_owned());
    let page = page(&report);
    assert!(page.contains("no model has been measured yet"), "{page}");
    assert!(!page.contains("id=\"curve\"") && !page.contains("href=\"#curve\""));
}

#[test]
fn a_long_history_is_counted_and_not_shown() {
    let page = page(&report(10_000));
    assert!(page.contains("9,800 earlier ones are left out"));
    assert!(page.len() < 4_000_000, "{} bytes", page.len());
}
