//! What is compared, judged before anything runs.

use super::SimulateError;
use crate::data_selector;
use crate::domain::definition::{Definition, Mode};
use crate::domain::metric::Metric;
use crate::domain::strategy::{StrategySpec, catalogue};
use crate::pool::Pool;
use crate::workflow;
use std::io;
use std::path::{Path, PathBuf};

/// What somebody wants compared.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The workflow file.
    pub file: &'a Path,
    /// Other values for its keys.
    pub overrides: &'a [(String, String)],
    /// The strategies, in words; none: random and the workflow's own.
    pub strategies: &'a [String],
    /// The first seed.
    pub first_seed: u64,
    /// How many seeds; the others follow the first.
    pub seeds: u64,
    /// The value of the KPI to reach; `None`: the workflow's `kpi.target`.
    pub target: Option<f64>,
    /// Labels at the most; `None`: the workflow's `stop.max_labels`.
    pub labels: Option<usize>,
}

/// A comparison that can be made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The workflow's name.
    pub name: String,
    /// The strategies in their canonical form.
    pub strategies: Vec<String>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// What is measured: the workflow's KPI.
    pub metric: Metric,
    /// The value to reach.
    pub target: f64,
    /// Labels at the most.
    pub labels: Option<usize>,
    /// The runtime library that the workflow names.
    pub runtime: Option<PathBuf>,
    /// Where relative paths of the workflow begin.
    pub(super) folder: PathBuf,
    /// By strategy, then by seed.
    pub(super) campaigns: Vec<(usize, u64, Definition)>,
}

/// Checks a request: the workflow with each strategy and seed in it, and the pool.
///
/// # Errors
/// Every variant of [`SimulateError`] that is about input.
pub fn plan(request: &Request<'_>) -> Result<Plan, SimulateError> {
    if request.seeds == 0 {
        return Err(SimulateError::NoSeeds);
    }
    let base = workflow::load(request.file, request.overrides)?;
    if base.run.mode != Mode::Development {
        return Err(SimulateError::Production { file: request.file.to_owned() });
    }
    let strategies = strategies(request.strategies, &base.selector.strategy)?;
    let seeds: Vec<u64> = (0..request.seeds).map(|n| request.first_seed.wrapping_add(n)).collect();
    let mut campaigns = Vec::new();
    for (index, strategy) in strategies.iter().enumerate() {
        for &seed in &seeds {
            // By the same way as `--set`, so that every rule of the workflow is asked about every campaign.
            let mut overrides = request.overrides.to_vec();
            let mut set = |key: &str, value: String| overrides.push((key.to_owned(), value));
            set("selector.strategy", strategy.clone());
            set("run.seed", seed.to_string());
            set("stop.kpi", "false".to_owned());
            if let Some(target) = request.target {
                set("kpi.target", target.to_string());
            }
            if let Some(labels) = request.labels {
                set("stop.max_labels", labels.to_string());
            }
            campaigns.push((index, seed, workflow::load(request.file, &overrides)?));
        }
    }
    let file = std::path::absolute(request.file).map_err(SimulateError::Start)?;
    let folder = file.parent().map_or_else(|| file.clone(), Path::to_owned);
    let (target, labels) = campaigns
        .first()
        .map_or((0.0, None), |(_, _, first)| (first.kpi.target, first.stop.max_labels));
    check_pool(&base, &folder)?;
    Ok(Plan {
        name: base.run.name,
        strategies,
        seeds,
        metric: base.kpi.metric,
        target,
        labels,
        runtime: base.selector.runtime.map(PathBuf::from),
        folder,
        campaigns,
    })
}

/// The strategies' canonical texts.
fn strategies(texts: &[String], own: &StrategySpec) -> Result<Vec<String>, SimulateError> {
    if texts.is_empty() {
        let (random, own) = ("random".to_owned(), own.to_string());
        return Ok(if own == random { vec![random] } else { vec![random, own] });
    }
    let mut known: Vec<String> = Vec::new();
    for text in texts {
        let refuse =
            |problems: Vec<String>| SimulateError::Strategy { text: text.clone(), problems };
        let spec: StrategySpec =
            text.parse().map_err(|error: crate::domain::strategy::ParseStrategyError| {
                refuse(vec![error.to_string()])
            })?;
        let problems = catalogue::check(&spec);
        if !problems.is_empty() {
            return Err(refuse(problems));
        }
        data_selector::build(&spec).map_err(|error| refuse(vec![error.to_string()]))?;
        let strategy = spec.to_string();
        if known.contains(&strategy) {
            return Err(SimulateError::Twice { strategy });
        }
        known.push(strategy);
    }
    Ok(known)
}

fn check_pool(definition: &Definition, folder: &Path) -> Result<(), SimulateError> {
    let pool = Pool::load(&definition.pool, folder)?;
    let mut unlabelled = (0..pool.len()).filter(|&row| !pool.has_label(row));
    if let Some(row) = unlabelled.next() {
        let (count, sample) = (unlabelled.count() + 1, pool.sample(row));
        return Err(SimulateError::Unlabelled { count, sample });
    }
    if pool.split().test.is_empty() { Err(SimulateError::NoTest) } else { Ok(()) }
}

/// Splits a list at its commas, but not at those inside parentheses or quotes: `a, prefilter(b, c)` are two.
#[must_use]
pub fn split_strategies(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted, mut escaped) =
        (vec![String::new()], 0_u32, false, false);
    for c in text.chars() {
        let is_comma = c == ',' && depth == 0 && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth = depth.saturating_add(1),
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        match parts.last_mut() {
            Some(part) if !is_comma => part.push(c),
            Some(_) | None => parts.push(String::new()),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// Whether results can be written, found out before they are there.
pub(super) fn probe(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    tempfile::tempfile_in(folder).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commas_between_strategies_separate_them() {
        assert_eq!(
            split_strategies(r#"random, prefilter(badge, margin, keep=10),query(sql="a,\")(")"#),
            ["random", "prefilter(badge, margin, keep=10)", r#"query(sql="a,\")(")"#]
        );
        assert_eq!(split_strategies(""), [""]);
        assert_eq!(split_strategies("a,,b)"), ["a", "", "b)"]);
    }
}
