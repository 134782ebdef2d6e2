//! `gleaner simulate`: strategies side by side, through the real program.

use crate::program::{Folder, Live, WRONG, pool, stderr, told};
use gleaner::domain::metric::Metric;
use gleaner::simulate::summary::{Estimate, MeanPoint, StrategySummary, Summary};
use gleaner::simulate::{Curve, Out, Point};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;

const INTERRUPTED: i32 = 130;

fn simulate(folder: &Folder, arguments: &[&str]) -> Output {
    folder.gleaner(&[&["simulate", "workflow.toml"], arguments].concat()).output().unwrap()
}

/// Wrong input is refused for what `words` say, and nothing is written.
#[track_caller]
fn refused(folder: &Folder, arguments: &[&str], words: &[&str]) {
    told(&simulate(folder, arguments), WRONG, words);
    assert!(!folder.path("simulation/results.csv").exists());
}

#[test]
fn two_strategies_and_three_seeds_give_a_table_and_four_files() {
    let folder = Folder::new();
    let asked = ["--strategies", "random, margin", "--seeds", "3", "--target", "0.5"];
    let output = simulate(&folder, &asked);
    told(&output, 0, &["6 campaigns", "6 of 6"]);
    let table = String::from_utf8(output.stdout).unwrap();
    for words in ["labels to 50 %", "random", "margin", "against random", "curves.png"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let results = fs::read_to_string(folder.path("simulation/results.csv")).unwrap();
    // Two cycles a campaign, each measured once.
    assert_eq!(results.lines().count(), 1 + 2 * 3 * 2, "{results}");
    assert!(results.starts_with("strategy,seed,labels,accuracy\nrandom,1,3,"), "{results}");
    let summary: Value =
        serde_json::from_slice(&fs::read(folder.path("simulation/summary.json")).unwrap()).unwrap();
    let margin = &summary["strategies"][1];
    assert_eq!((&margin["strategy"], &summary["seeds"]), (&"margin".into(), &vec![1, 2, 3].into()));
    assert_eq!(margin["curve"].as_array().unwrap().len(), 2, "{summary}");
    assert!(margin["difference"]["interval"][0].is_number(), "{summary}");
    assert!(summary["strategies"][0]["difference"].is_null(), "{summary}");
    let svg = fs::read_to_string(folder.path("simulation/curves.svg")).unwrap();
    assert!(svg.contains(">random</text>") && svg.contains(">margin</text>"), "{svg}");
    assert!(!folder.path("state").exists(), "a comparison keeps no runs");
}

#[test]
fn the_result_is_the_same_on_any_number_of_threads_and_is_what_run_measures() {
    let folder = Folder::new();
    for (threads, out) in [("1", "one"), ("3", "three")] {
        let asked = ["--seeds", "2", "--seed", "7", "--threads", threads, "--out", out, "--json"];
        let output = simulate(&folder, &asked);
        assert!(output.status.success(), "{}", stderr(&output));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["strategies"][1]["strategy"], "margin");
    }
    for file in ["results.csv", "summary.json", "curves.svg", "curves.png"] {
        let read = |out: &str| fs::read(folder.path(out).join(file)).unwrap();
        assert!(read("one") == read("three"), "{file}");
    }
    assert!(folder.run(&["run.seed=8"]).status.success());
    let status = folder.gleaner(&["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let last = &status["cycles"][1];
    let value = last["acceptance"]["value"].as_f64().unwrap();
    let line = format!("margin,8,{},{value}\n", last["labelled"]);
    let results = fs::read_to_string(folder.path("one/results.csv")).unwrap();
    assert!(results.ends_with(&line), "{line}: {results}");
}

#[test]
fn what_cannot_be_compared_is_refused_before_any_work() {
    let folder = Folder::new();
    refused(&folder, &["--strategies", "random,margn"], &["margn", "did you mean", "margin"]);
    refused(&folder, &["--strategies", "random,,margin"], &["--strategies"]);
    refused(&folder, &["--strategies", "margin,margin"], &["margin is listed twice"]);
    refused(&folder, &["--seeds", "0"], &["--seeds is 0"]);
    refused(&folder, &["--target", "1.5"], &["kpi.target"]);
    refused(&folder, &["--labels", "0"], &["stop.max_labels"]);
    refused(&folder, &["--threads", "0"], &["--threads"]);
    refused(&folder, &["--set", "pool.test=0"], &["pool.test"]);
    refused(&folder, &["--set", "selector.batsh=1"], &["batsh", "batch"]);
    refused(&folder, &["--set", "pool.path=gone.csv"], &["gone.csv"]);
    refused(&folder, &["--set", "run.mode=production", "--set", "stop.kpi=true"], &["production"]);
}

#[test]
fn a_pool_with_unlabelled_samples_is_refused_with_the_first_of_them() {
    let folder = Folder::new();
    folder.write("pool.csv", pool(|line| [6, 9].contains(&line).then_some("0.5,0.5,")));
    refused(&folder, &[], &["2 samples", "no label", "4"]);
}

#[test]
fn results_that_have_nowhere_to_go_are_noticed_before_any_work() {
    let folder = Folder::new();
    folder.write("file", "not a folder");
    refused(&folder, &["--out", "file/there"], &["file/there", "--out"]);
    let output = simulate(&folder, &["--out", "file"]);
    told(&output, WRONG, &["could not write to file"]);
    assert!(!stderr(&output).contains("campaigns"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn an_interruption_stops_the_comparison_and_writes_nothing() {
    use std::io::{BufRead, BufReader};
    let folder = Folder::new();
    let mut live = Live::start(folder.gleaner(&[
        "simulate",
        "workflow.toml",
        "--seeds",
        "1000",
        "--set",
        "trainer.epochs=2000",
    ]));
    let mut said = BufReader::new(live.child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("2000 campaigns") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    let pid = live.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(live.child.wait().unwrap().code(), Some(INTERRUPTED));
    assert!(!folder.path("simulation/results.csv").exists());
}

/// Two strategies with three places each, and one that was measured once.
fn fixed() -> (Summary, Vec<Curve>) {
    let point =
        |labels, mean, error| MeanPoint { labels, value: Estimate { mean, standard_error: error } };
    let one = |strategy: &str, curve: Vec<MeanPoint>| StrategySummary {
        strategy: strategy.to_owned(),
        labels_to_target: None,
        never: 3,
        area: Estimate { mean: 0.5, standard_error: None },
        last: Estimate { mean: 0.5, standard_error: None },
        difference: None,
        curve,
    };
    let strategies = vec![
        one(
            "random",
            vec![
                point(20, 0.5, Some(0.02)),
                point(30, 0.625, Some(0.02)),
                point(40, 0.75, Some(0.01)),
            ],
        ),
        one(
            "query(sql=\"a < 'b & c'\")",
            vec![
                point(20, 0.5, Some(0.02)),
                point(30, 0.75, Some(0.03)),
                point(40, 0.875, Some(0.01)),
            ],
        ),
        one("power(margin, beta=8)", vec![point(30, 0.7, None)]),
    ];
    let summary = Summary {
        workflow: "fixed".to_owned(),
        seeds: vec![1, 2, 3],
        metric: Metric::Accuracy,
        target: 0.8,
        labels: Some(40),
        against: "random".to_owned(),
        strategies,
    };
    let curve = Curve { strategy: 1, seed: 2, points: vec![Point { labels: 20, value: 0.5 }] };
    (summary, vec![curve])
}

#[test]
fn the_picture_of_fixed_curves_is_the_golden_one() {
    let folder = tempfile::tempdir().unwrap();
    let (summary, curves) = fixed();
    Out::open(folder.path()).unwrap().write(&summary, &curves).unwrap();
    let svg = fs::read_to_string(folder.path().join("curves.svg")).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/curves.svg");
    if std::env::var_os("GOLDEN").is_some() {
        fs::write(&golden, &svg).unwrap();
    }
    assert_eq!(svg, fs::read_to_string(golden).unwrap(), "GOLDEN=write writes it anew");
    let results = fs::read_to_string(folder.path().join("results.csv")).unwrap();
    assert!(results.ends_with("\"query(sql=\"\"a < 'b & c'\"\")\",2,20,0.5\n"), "{results}");
}

#[test]
fn the_png_has_the_size_of_the_svg_twice_and_the_colours_of_the_curves() {
    let folder = tempfile::tempdir().unwrap();
    let (summary, curves) = fixed();
    Out::open(folder.path()).unwrap().write(&summary, &curves).unwrap();
    let bytes = fs::read(folder.path().join("curves.png")).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (1920, 1120));
    let count = |colour: [u8; 3]| pixels.chunks_exact(3).filter(|pixel| *pixel == colour).count();
    for (colour, least) in [([0, 0, 0], 2000), ([0, 114, 178], 500), ([213, 94, 0], 100)] {
        assert!(count(colour) >= least, "{colour:?}: {}", count(colour));
    }
    assert!(count([255, 255, 255]) > 1_000_000, "the ground is white");
}
