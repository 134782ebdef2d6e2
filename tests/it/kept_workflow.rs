//! The workflow that a run keeps: written as text and read again with overrides, it is what it was but for these.

use crate::support::workflows;
use gleaner::domain::definition::{Definition, GraphSpec};
use gleaner::domain::strategy::StrategySpec;
use gleaner::workflow::{changed, load, parse};

const MINIMAL: &str = "[run]\nname = \"x\"\n[pool]\npath = \"x.csv\"\n[kpi]\ntarget = 0.9\n";

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// An override that changes nothing has the whole workflow written and read.
#[track_caller]
fn reads_as_it_was(definition: &Definition, what: &str) {
    let seed = definition.run.seed.to_string();
    let again = changed(definition, what, &set(&[("run.seed", &seed)]))
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again, *definition, "{what}");
}

#[test]
fn a_workflow_written_as_text_reads_as_it_was() {
    let mut shipped = 0;
    for entry in std::fs::read_dir(workflows()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            reads_as_it_was(&load(&path, &[]).unwrap(), &path.display().to_string());
            shipped += 1;
        }
    }
    assert!(shipped > 10, "{shipped} workflows");
    for overrides in [
        vec![("run.name", "\"a \\\"name\\\" \\u007F\""), ("run.seed", "9223372036854775807")],
        vec![("selector.seed_batch", "12"), ("selector.cold_start", "typiclust")],
        vec![("selector.committee", "[\"a.onnx\", \"b.onnx\"]"), ("selector.model", "m.onnx")],
        vec![("selector.inference_batch", "auto"), ("selector.embedding", "e.onnx")],
        vec![("selector.strategy", "prefilter(badge, margin, keep=50)"), ("selector.keep", "f16")],
        vec![
            ("trainer.graph", "mlp"),
            ("trainer.hidden", "[64, 32]"),
            ("trainer.learning_rate", "1e-7"),
        ],
        vec![("trainer.optimizer", "sgd"), ("trainer.momentum", "0.5"), ("trainer.patience", "3")],
        vec![
            ("trainer.schedule", "step"),
            ("trainer.step_every", "3"),
            ("trainer.step_factor", "0.5"),
        ],
        vec![
            ("trainer.loss", "focal"),
            ("trainer.focal_gamma", "1.5"),
            ("trainer.class_weights", "balanced"),
        ],
        vec![
            ("trainer.class_weights", "[1, 2.5]"),
            ("trainer.flip", "true"),
            ("trainer.shift", "2"),
        ],
        vec![("trainer.command", "[\"sh\", \"t.sh\"]"), ("trainer.settings", "[\"C=a=b\"]")],
        vec![("stop.deadline", "\"2027-01-31T18:00:00.000001Z\""), ("stop.plateau", "3")],
        vec![
            ("annotator.votes", "3"),
            ("annotator.consensus", "dawid_skene"),
            ("annotator.noise", "0.1"),
        ],
        vec![
            ("pool.source", "images"),
            ("pool.size", "[8, 8]"),
            ("pool.channels", "1"),
            ("pool.mean", "[0.5]"),
        ],
        vec![("pool.source", "jsonl"), ("pool.text_field", "text"), ("pool.label_field", "l")],
        vec![
            ("run.mode", "production"),
            ("selector.seed_batch", "20"),
            ("kpi.savings", "false"),
            ("kpi.inconclusive", "label"),
            ("retry.backoff", "1500ms"),
        ],
    ] {
        let definition = parse(MINIMAL, "w.toml", &set(&overrides))
            .unwrap_or_else(|error| panic!("{overrides:?}: {error}"));
        reads_as_it_was(&definition, &format!("{overrides:?}"));
    }
}

#[test]
fn overrides_of_a_kept_workflow_change_what_they_name_and_make_moot_what_it_had() {
    let overrides = [("trainer.graph", "mlp"), ("trainer.hidden", "[64]"), ("kpi.target", "0.7")];
    let kept = parse(MINIMAL, "w.toml", &set(&overrides)).unwrap();
    let softmax = [("trainer.graph", "softmax"), ("selector.strategy", "random")];
    let found = changed(&kept, "the run", &set(&softmax)).unwrap();
    let mut expected = kept.clone();
    expected.trainer.graph = GraphSpec::Softmax;
    expected.selector.strategy = StrategySpec::named("random");
    assert_eq!(found, expected);
    assert_eq!(changed(&kept, "the run", &[]).as_ref(), Ok(&kept));
    let error = changed(&kept, "the run", &set(&[("selector.strategy", "margn")])).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("the run: --set selector.strategy: "), "{error}");
}
