//! Which strategies there are, what each takes, and what a workflow that asks for something else is told.
//!
//! A new strategy is one entry here, its own file in the data selector, and one line where that builds it.

use super::{StrategySpec, Value};
use crate::domain::nearest::nearest;
use crate::domain::task::Task;

/// What may be written about a strategy.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// How many strategies it wraps, at least and at most.
    pub of: (usize, usize),
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// One line for people.
    pub summary: &'static str,
}

/// A parameter of a strategy.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether it has no default.
    pub required: bool,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A number between these two, both included.
    Number(f64, f64),
    /// A whole number between these two, both included.
    Whole(u32, u32),
    /// Any text that is not empty.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
}

const fn may(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: false }
}

const fn must(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: true }
}

const MILLION: u32 = 1_000_000;
const TINY: f64 = 1e-9;
/// Which output of the model, where it is not the usual one.
const OUTPUT: Parameter = may("output", Kind::Text);
/// The inverse temperature of the noise.
const BETA: Parameter = may("beta", Kind::Number(TINY, 1e9));
/// Radius of a neighbourhood, in the unit of the metric.
const RADIUS: Parameter = may("radius", Kind::Number(TINY, 1e9));
/// Which distance.
const METRIC: Parameter = may("metric", Kind::Word(&["euclidean", "cosine"]));
const TEMPERATURE: Parameter = may("temperature", Kind::Word(&["fit"]));

const fn plain(name: &'static str, summary: &'static str) -> Entry {
    Entry { name, of: (0, 0), parameters: &[], summary }
}

const fn with(
    name: &'static str,
    parameters: &'static [Parameter],
    summary: &'static str,
) -> Entry {
    Entry { name, of: (0, 0), parameters, summary }
}

const fn around(
    name: &'static str,
    of: (usize, usize),
    parameters: &'static [Parameter],
    summary: &'static str,
) -> Entry {
    Entry { name, of, parameters, summary }
}

/// Every strategy.
pub const STRATEGIES: &[Entry] = &[
    plain("random", "uniformly at random: the yardstick"),
    // Uncertainty of one model.
    with("least_confidence", &[TEMPERATURE], "1 - the highest probability"),
    with("margin", &[TEMPERATURE], "1 - (the highest probability - the second highest)"),
    with("entropy", &[TEMPERATURE], "the entropy of the probabilities"),
    with("ratio", &[TEMPERATURE], "the second highest probability by the highest"),
    // Committees: several models, or several passes of one.
    plain("variation_ratio", "the share of members that do not vote for the winner"),
    plain("bald", "mutual information between prediction and member"),
    plain("mean_std", "mean over classes of the standard deviation over members"),
    plain("vote_entropy", "the entropy of the members' votes"),
    plain("kl_to_mean", "mean divergence of the members from their mean"),
    // Tasks other than classification.
    with(
        "multilabel_entropy",
        &[may("pool", Kind::Word(&["mean", "max"]))],
        "binary entropy over the labels",
    ),
    plain("cvirs", "multi-label: category vectors, inconsistency and ranking of scores"),
    plain("ensemble_variance", "regression: variance over members"),
    with("greedy_x", &[OUTPUT], "regression: farthest from all that is labelled"),
    with("lcmd", &[OUTPUT], "regression: largest cluster, maximum distance"),
    with(
        "segmentation_entropy",
        &[
            may("pool", Kind::Word(&["mean", "boundary", "top", "stratified"])),
            may("top", Kind::Number(TINY, 1.0)),
        ],
        "per-pixel entropy of a segmentation",
    ),
    with(
        "detection_entropy",
        &[may("pool", Kind::Word(&["sum", "mean", "max"])), OUTPUT],
        "entropy of detected boxes",
    ),
    // Diversity and coverage.
    with("kcenter", &[OUTPUT, METRIC], "k-center greedy: the farthest from all that is chosen"),
    with("badge", &[OUTPUT], "k-means++ on gradient embeddings"),
    with(
        "typiclust",
        &[
            OUTPUT,
            may("neighbours", Kind::Whole(1, 1000)),
            may("clusters_max", Kind::Whole(1, MILLION)),
        ],
        "the most typical of each uncovered cluster",
    ),
    with(
        "probcover",
        &[OUTPUT, RADIUS, METRIC],
        "covers the most samples with balls of one radius",
    ),
    with(
        "max_herding",
        &[OUTPUT, may("bandwidth", Kind::Number(TINY, 1e9))],
        "covers the most in a soft sense",
    ),
    with(
        "uncertainty_herding",
        &[OUTPUT, TEMPERATURE, may("bandwidth", Kind::Number(TINY, 1e9))],
        "covers what is uncertain in a soft sense",
    ),
    with(
        "cluster_margin",
        &[OUTPUT, TEMPERATURE, RADIUS, may("keep", Kind::Number(1.0, 1e6))],
        "least margins, spread over clusters",
    ),
    with(
        "diverse_mini_batch",
        &[OUTPUT, TEMPERATURE, may("keep", Kind::Number(1.0, 1e6))],
        "k-means weighted by uncertainty",
    ),
    around(
        "density_weighted",
        (0, 1),
        &[OUTPUT, BETA],
        "uncertainty times mean similarity to the pool",
    ),
    with(
        "contrastive",
        &[OUTPUT, may("neighbours", Kind::Whole(1, 1000))],
        "predictions unlike those of neighbours",
    ),
    with(
        "batchbald",
        &[may("keep", Kind::Whole(1, MILLION)), may("samples", Kind::Whole(1, MILLION))],
        "joint mutual information of the batch",
    ),
    with("kmeans", &[OUTPUT], "the samples next to the centres of k-means"),
    // Noise that makes a batch of a ranking.
    around("power", (0, 1), &[BETA], "a strategy's scores to a power, with Gumbel noise"),
    around("softmax", (0, 1), &[BETA], "a strategy's scores with Gumbel noise"),
    around("softrank", (0, 1), &[BETA], "a strategy's ranks with Gumbel noise"),
    // Wrappers.
    around(
        "prefilter",
        (1, 2),
        &[may("keep", Kind::Whole(1, u32::MAX))],
        "the first strategy on the best by the second",
    ),
    around(
        "seals",
        (1, 1),
        &[OUTPUT, may("neighbours", Kind::Whole(1, 10_000))],
        "neighbours of labelled samples only",
    ),
    around("class_balanced", (0, 1), &[], "a strategy, the same number of each predicted class"),
    around("cost_aware", (0, 1), &[], "a strategy's score by seconds of annotation"),
    around("product", (2, 2), &[], "the product of two strategies' scores"),
    around(
        "sum",
        (2, 2),
        &[may("weight", Kind::Number(0.0, 1.0))],
        "a weighted sum of two strategies' scores",
    ),
    around(
        "autopilot",
        (0, 2),
        &[may("until", Kind::Whole(1, u32::MAX))],
        "coverage while labels are few, then margin",
    ),
    around("where", (1, 1), &[must("sql", Kind::Text)], "a strategy on what a query answers"),
    with("query", &[must("sql", Kind::Text)], "the samples that a query answers, in its order"),
    with(
        "output",
        &[must("name", Kind::Text), may("order", Kind::Word(&["max", "min"]))],
        "a score that a model gives",
    ),
    with("custom", &[must("name", Kind::Text)], "a strategy of the program that embeds the engine"),
    with(
        "command",
        &[
            must("run", Kind::Text),
            may("outputs", Kind::Text),
            may("seconds", Kind::Whole(1, MILLION)),
        ],
        "a program that reads and writes files",
    ),
];

/// The entry of a name.
#[must_use]
pub fn entry(name: &str) -> Option<&'static Entry> {
    STRATEGIES.iter().find(|entry| entry.name == name)
}

/// Strategies that read what only one task has; all others go by embeddings, queries or chance.
const OF_ONE_TASK: [(Task, &[&str]); 4] = [
    (
        Task::Classification,
        &[
            "least_confidence",
            "margin",
            "entropy",
            "ratio",
            "variation_ratio",
            "bald",
            "mean_std",
            "vote_entropy",
            "kl_to_mean",
            "badge",
            "uncertainty_herding",
            "cluster_margin",
            "diverse_mini_batch",
            "contrastive",
            "batchbald",
            "class_balanced",
        ],
    ),
    (Task::MultiLabel, &["multilabel_entropy", "cvirs"]),
    (Task::Regression, &["ensemble_variance"]),
    (Task::Segmentation, &["segmentation_entropy"]),
];

/// Why a strategy picks nothing sensible in a task, with those that would; `None` where it fits.
#[must_use]
pub fn misfit(spec: &StrategySpec, task: Task) -> Option<String> {
    let of = |name: &str| OF_ONE_TASK.iter().find(|(_, names)| names.contains(&name));
    let wrong = |part: &&StrategySpec| match of(&part.name) {
        Some((fits, _)) => *fits != task,
        // Wrapped around nothing, they are wrapped around margin.
        None => {
            let wraps = entry(&part.name).is_some_and(|entry| entry.of.1 > 0);
            wraps && part.of.is_empty() && task != Task::Classification
        }
    };
    let part = spec.walk().into_iter().find(wrong)?;
    let (_, others) = OF_ONE_TASK.iter().find(|(other, _)| *other == task)?;
    let needs = of(&part.name).map_or(Task::Classification, |(fits, _)| *fits);
    let fit = match task {
        Task::Classification => "margin, badge, kcenter".to_owned(),
        Task::Regression => format!("{}, greedy_x, lcmd, kcenter", others.join(", ")),
        Task::MultiLabel | Task::Segmentation => format!("{}, kcenter", others.join(", ")),
    };
    Some(format!("{} is for {needs}, the task is {task}; choose one of {fit}, random", part.name))
}

/// What is wrong with a strategy: unknown names, parameters that it has not, values out of their range, strategies that it
/// does not take. Empty if nothing is.
#[must_use]
pub fn check(spec: &StrategySpec) -> Vec<String> {
    let mut problems = Vec::new();
    for part in spec.walk() {
        match entry(&part.name) {
            Some(entry) => check_part(part, entry, &mut problems),
            None => problems.push(unknown(&part.name)),
        }
    }
    problems
}

fn unknown(name: &str) -> String {
    let names = || STRATEGIES.iter().map(|entry| entry.name);
    match nearest(name, names()) {
        Some(near) => format!("there is no strategy {name:?}; did you mean {near:?}?"),
        None => format!(
            "there is no strategy {name:?}; there are {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    }
}

fn check_part(part: &StrategySpec, entry: &Entry, problems: &mut Vec<String>) {
    let (least, most) = entry.of;
    let found = part.of.len();
    if !(least..=most).contains(&found) {
        let takes = match (least, most) {
            (0, 0) => "takes no strategy in its parentheses".to_owned(),
            (1, 1) => "takes one strategy in its parentheses".to_owned(),
            (least, most) if least == most => {
                format!("takes {least} strategies in its parentheses")
            }
            (least, most) => format!("takes {least} to {most} strategies in its parentheses"),
        };
        problems.push(format!("{} {takes}, not {found}", entry.name));
    }
    for (key, value) in &part.parameters {
        let Some(parameter) = entry.parameters.iter().find(|parameter| parameter.name == key)
        else {
            let known = || entry.parameters.iter().map(|parameter| parameter.name);
            let hint = match (nearest(key, known()), entry.parameters) {
                (Some(near), _) => format!("did you mean {near:?}?"),
                (None, []) => "it has none".to_owned(),
                (None, _) => format!("it has {}", known().collect::<Vec<_>>().join(", ")),
            };
            problems.push(format!("{} has no parameter {key:?}; {hint}", entry.name));
            continue;
        };
        if let Some(expected) = refused(parameter.kind, value) {
            let shown = match value {
                Value::Number(number) => number.to_string(),
                Value::Text(text) => format!("{text:?}"),
            };
            problems.push(format!("{}: {key} is {shown}, but {expected} is expected", entry.name));
        }
    }
    for parameter in entry.parameters.iter().filter(|parameter| parameter.required) {
        if !part.parameters.contains_key(parameter.name) {
            problems.push(format!("{} needs its parameter {:?}", entry.name, parameter.name));
        }
    }
}

/// What is expected instead, where the value is not of this kind.
fn refused(kind: Kind, value: &Value) -> Option<String> {
    match (kind, value) {
        (Kind::Number(low, high), Value::Number(n)) if (low..=high).contains(n) => None,
        (Kind::Number(low, high), _) => Some(format!("a number from {low} to {high}")),
        (Kind::Whole(low, high), Value::Number(n))
            if n.fract() == 0.0 && (f64::from(low)..=f64::from(high)).contains(n) =>
        {
            None
        }
        (Kind::Whole(low, high), _) => Some(format!("a whole number from {low} to {high}")),
        (Kind::Text, Value::Text(text)) if !text.trim().is_empty() => None,
        (Kind::Text, _) => Some("a text in quotes".to_owned()),
        (Kind::Word(words), Value::Text(text)) if words.contains(&text.as_str()) => None,
        (Kind::Word(words), _) => Some(format!("one of {}", words.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn problems(text: &str) -> String {
        check(&text.parse().unwrap()).join("\n")
    }

    #[test]
    fn names_are_different() {
        let names: BTreeSet<_> = STRATEGIES.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), STRATEGIES.len());
    }

    #[test]
    fn a_strategy_of_another_task_is_named_with_those_that_fit() {
        let misfit = |text: &str, task| misfit(&text.parse().unwrap(), task);
        for (fits, task) in [
            ("margin", Task::Classification),
            ("random", Task::Segmentation),
            ("kcenter", Task::Regression),
            ("prefilter(lcmd, ensemble_variance)", Task::Regression),
            ("power(multilabel_entropy)", Task::MultiLabel),
            ("segmentation_entropy(pool=top)", Task::Segmentation),
        ] {
            assert_eq!(misfit(fits, task), None, "{fits}");
        }
        let said = misfit("prefilter(kcenter, margin)", Task::Regression).unwrap();
        assert_eq!(
            said,
            "margin is for classification, the task is regression; choose one of ensemble_variance, greedy_x, lcmd, \
             kcenter, random"
        );
        assert!(
            misfit("power", Task::MultiLabel).unwrap().starts_with("power is for classification")
        );
        assert!(misfit("cvirs", Task::Classification).is_some());
        let listed = OF_ONE_TASK.iter().flat_map(|(_, names)| names.iter());
        listed.for_each(|name| assert!(entry(name).is_some(), "{name}"));
    }

    #[test]
    fn what_a_strategy_does_not_take_is_named() {
        for good in [
            "margin",
            "power",
            "power(bald, beta=8)",
            "prefilter(badge, margin, keep=1000)",
            "where(kcenter(metric=cosine), sql=\"SELECT id FROM samples\")",
        ] {
            assert_eq!(problems(good), "");
        }
        for (bad, expected) in [
            ("magrin", "there is no strategy \"magrin\"; did you mean \"margin\"?"),
            ("margin(beta=1)", "margin has no parameter \"beta\"; it has temperature"),
            ("random(x=1)", "random has no parameter \"x\"; it has none"),
            ("power(margin, bate=1)", "power has no parameter \"bate\"; it has beta"),
            (
                "power(margin, beta=0)",
                "power: beta is 0, but a number from 0.000000001 to 1000000000 is expected",
            ),
            (
                "typiclust(neighbours=2.5)",
                "typiclust: neighbours is 2.5, but a whole number from 1 to 1000 is expected",
            ),
            (
                "kcenter(metric=manhattan)",
                "kcenter: metric is \"manhattan\", but one of euclidean, cosine is expected",
            ),
            ("query", "query needs its parameter \"sql\""),
            ("margin(entropy)", "margin takes no strategy in its parentheses, not 1"),
            ("product(margin)", "product takes 2 strategies in its parentheses, not 1"),
            ("seals", "seals takes one strategy in its parentheses, not 0"),
            (
                "sum(margin, nonsense_zzz)",
                "there is no strategy \"nonsense_zzz\"; there are random",
            ),
        ] {
            assert!(problems(bad).starts_with(expected), "{bad}: {}", problems(bad));
        }
    }
}
