//! The digits campaign, many times: how many labels the target takes, against random picking; what a campaign costs, and how
//! much of that is the engine and not the work.
//!
//! `cargo bench --bench campaign` runs 10 seeds; `-- 3` runs 3; `-- trainer.epochs=30` overrides a key of the workflow.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a bench prints"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a bench measures real time"
)]

use gleaner::domain::command::Command;
use gleaner::engine::Engine;
use gleaner::engine::reactor::{Reactor, Step, StepError};
use gleaner::engine::reactors::built_in;
use gleaner::engine::status::{RunState, RunStatus};
use gleaner::inference::InstallPolicy;
use gleaner::store::Store;
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::workflow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A built-in step with a stop watch.
struct Timed {
    inner: Arc<dyn Reactor>,
    nanos: Arc<AtomicU64>,
}

impl Reactor for Timed {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let start = Instant::now();
        let answer = self.inner.perform(step);
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap();
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        answer
    }
}

struct Campaign {
    status: RunStatus,
    wall: Duration,
    work: Duration,
    barriers: u64,
}

fn campaign(seed: u64, overrides: &[(&str, &str)]) -> Campaign {
    let workflows = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows");
    let mut all = vec![("run.seed".to_owned(), seed.to_string())];
    all.extend(overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let definition = workflow::load(&workflows.join("digits.toml"), &all).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(dir.path(), SledOptions::default()).unwrap());
    let artifacts = store.artifacts().clone();
    let nanos = Arc::new(AtomicU64::new(0));
    let mut builder = Engine::builder(Arc::clone(&store) as Arc<dyn Store>, artifacts)
        .install(InstallPolicy::Allowed);
    for (kind, inner) in built_in() {
        builder = builder.reactor(kind, Timed { inner, nanos: Arc::clone(&nanos) });
    }
    let engine = builder.build();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let run = engine.start(definition, &workflows).await.unwrap();
        let (start, barriers) = (Instant::now(), store.barriers());
        engine.run(async { drop(engine.settled(run).await) }).await.unwrap();
        let wall = start.elapsed();
        let status = engine.status(run).await.unwrap();
        assert_eq!(status.state, RunState::Ended, "{status:?}");
        let work = Duration::from_nanos(nanos.load(Ordering::Relaxed));
        Campaign { status, wall, work, barriers: store.barriers() - barriers }
    })
}

/// The labels at which production first reached the target on the test split.
fn labels_to_target(campaign: &Campaign) -> Option<u64> {
    let reached = campaign.status.cycles.iter().find(|line| {
        line.acceptance.as_ref().is_some_and(|checked| checked.value >= checked.target)
    });
    reached.map(|line| line.labelled)
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[(values.len() - 1) / 2]
}

fn main() {
    let seeds: u64 = std::env::args().find_map(|text| text.parse().ok()).unwrap_or(10);
    let overrides: Vec<(String, String)> = std::env::args()
        .filter_map(|text| {
            text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
        })
        .collect();
    let mut found = Vec::new();
    for strategy in ["margin", "random"] {
        let mut labels = Vec::new();
        for seed in 1..=seeds {
            let mut all: Vec<(&str, &str)> = vec![("selector.strategy", strategy)];
            all.extend(overrides.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            let campaign = campaign(seed, &all);
            let cycles = campaign.status.cycles.len() as u64;
            let reached = labels_to_target(&campaign);
            println!(
                "{strategy} seed {seed:>2}: {:>4} labels to the target, {cycles} cycles, {:.2} s, engine {:.2} %, {:.1} barriers a cycle",
                reached.map_or("over".to_owned(), |labels| labels.to_string()),
                campaign.wall.as_secs_f64(),
                100.0 * (1.0 - campaign.work.as_secs_f64() / campaign.wall.as_secs_f64()),
                campaign.barriers as f64 / cycles as f64,
            );
            labels.push(reached.unwrap_or(u64::MAX));
            if strategy == "margin" {
                found.push(campaign);
            }
        }
        let median = median(labels);
        if median == u64::MAX {
            println!("{strategy}: median over the limit of the workflow");
        } else {
            println!("{strategy}: median {median} labels (goal for margin: at most 170)");
        }
    }
    let wall: f64 = found.iter().map(|campaign| campaign.wall.as_secs_f64()).sum();
    let work: f64 = found.iter().map(|campaign| campaign.work.as_secs_f64()).sum();
    println!(
        "margin campaigns: {:.2} s each (goal: under 60), engine beside the work {:.2} % (goal: under 2)",
        wall / found.len() as f64,
        100.0 * (wall - work) / wall
    );
}
