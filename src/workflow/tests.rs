//! Stories about workflow files: what is read, and how problems are told.

use super::*;
use crate::domain::definition::*;
use crate::domain::strategy::StrategySpec;
use quickcheck::quickcheck;
use std::path::PathBuf;
use std::time::Duration;

const MINIMAL: &str = "[run]\nname = \"x\"\n[pool]\npath = \"x.csv\"\n[kpi]\ntarget = 0.9\n";

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The error for a text.
fn refusal(text: &str) -> String {
    parse(text, "w.toml", &[]).expect_err("a bad workflow").to_string()
}

/// The error for the minimal workflow with one override, without its prefix.
fn refused_override(key: &str, value: &str) -> String {
    let error = parse(MINIMAL, "w.toml", &set(&[(key, value)])).expect_err("a bad override");
    error.to_string().replace("w.toml: --set ", "")
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows").join(name)
}

#[test]
fn an_override_of_the_graph_makes_what_belongs_to_the_file_s_graph_moot() {
    let to_softmax = set(&[("trainer.graph", "softmax"), ("trainer.optimizer", "sgd")]);
    let found = load(&shipped("digits.toml"), &to_softmax).expect("a good workflow");
    assert_eq!(found.trainer.graph, GraphSpec::Softmax);
    let both = set(&[("trainer.graph", "softmax"), ("trainer.hidden", "[8]")]);
    let error = load(&shipped("digits.toml"), &both).expect_err("both are meant");
    assert!(error.to_string().contains("softmax has no hidden layers"), "{error}");
}

#[test]
fn a_workflow_that_says_little_has_sensible_defaults() {
    let found = parse(MINIMAL, "w.toml", &[]).expect("a good workflow");
    assert_eq!((found.run.mode, found.run.seed, found.pool.seed), (Mode::Development, 0, 0));
    assert_eq!(found.selector.cold_start, ColdStart::PerClass(2));
    assert_eq!(
        (found.selector.batch, found.selector.strategy),
        (10, StrategySpec::named("margin"))
    );
    assert!(found.stop.kpi && !found.kpi.gate && found.selector.audit_fraction.abs() < 1e-12);
    let found = parse(MINIMAL, "w.toml", &set(&[("run.mode", "production")])).expect("good");
    assert_eq!(found.selector.cold_start, ColdStart::Random(20));
    assert!(found.kpi.gate && (found.selector.audit_fraction - 0.1).abs() < 1e-12);
    assert_eq!(
        found.retry,
        RetrySpec {
            attempts: 3,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_mins(1),
            lease: Duration::from_secs(30),
        }
    );
}

#[test]
fn the_workflows_that_ship_are_good() {
    let digits = load(&shipped("digits.toml"), &[]).expect("digits.toml");
    assert_eq!((digits.run.mode, digits.stop.max_labels), (Mode::Development, Some(250)));
    let production = load(&shipped("digits-production.toml"), &[]).expect("digits-production.toml");
    assert!(production.kpi.gate && production.stop.kpi && production.selector.batch == 40);
}

#[test]
fn overrides_take_the_place_of_what_the_file_says() {
    let overrides = set(&[
        ("run.seed", "18446744073709551615"),
        ("selector.strategy", "entropy"),
        ("selector.strategy", "random"),
        ("trainer.graph", "\"mlp\""),
        ("trainer.hidden", "[32, 16]"),
        ("kpi.target", "1"),
        ("retry.lease", "2m"),
    ]);
    let found = load(&shipped("digits.toml"), &overrides).expect("good overrides");
    assert_eq!((found.run.seed, found.pool.seed), (u64::MAX, u64::MAX));
    assert_eq!(found.selector.strategy, StrategySpec::named("random"));
    assert_eq!(found.trainer.graph, GraphSpec::Mlp(vec![32, 16]));
    assert_eq!(found.retry.lease, Duration::from_mins(2));
    let smooth = load(&shipped("digits.toml"), &[]).expect("digits.toml");
    assert_ne!(found.digest(), smooth.digest());
    let same = load(&shipped("digits.toml"), &set(&[("selector.batch", "10")])).expect("good");
    assert_eq!(same.digest(), smooth.digest());
}

#[test]
fn a_trainer_has_a_network_a_loss_and_what_is_done_to_samples() {
    let found = parse(
        MINIMAL,
        "w.toml",
        &set(&[
            ("trainer.graph", "cnn"),
            ("trainer.channels", "[8, 16]"),
            ("trainer.optimizer", "adamw"),
            ("trainer.loss", "focal"),
            ("trainer.class_weights", "[1, 2.5]"),
            ("trainer.warmup", "3"),
            ("trainer.normalise", "standard"),
            ("trainer.flip", "true"),
            ("trainer.shift", "2"),
        ]),
    );
    let trainer = found.expect("a good trainer").trainer;
    assert_eq!(trainer.graph, GraphSpec::Cnn(vec![8, 16]));
    assert_eq!(trainer.optimizer, OptimizerSpec::AdamW);
    assert_eq!(trainer.loss, Some(LossSpec::Focal { gamma: 2.0 }));
    assert_eq!(trainer.class_weights, ClassWeights::Given(vec![1.0, 2.5]));
    assert_eq!((trainer.warmup, trainer.normalise), (3, Normalise::Standard));
    assert_eq!(trainer.augment, Augment { flip: true, shift: 2 });
    let linear = parse(MINIMAL, "w.toml", &set(&[("trainer.graph", "linear")])).expect("good");
    assert_eq!(linear.trainer, TrainerSpec::default(), "a linear layer under its other name");
}

#[test]
fn a_workflow_that_says_nothing_of_what_came_later_keeps_its_canonical_bytes() {
    let found = parse(MINIMAL, "w.toml", &[]).expect("a good workflow");
    let trainer = serde_json::to_string(&found.trainer).expect("plain data");
    assert_eq!(
        trainer,
        "{\"graph\":\"softmax\",\"epochs\":60,\"batch\":16,\"optimizer\":\"adam\",\"learning_rate\":0.01,\
         \"schedule\":\"cosine\",\"weight_decay\":0.0,\"patience\":null,\"checkpoints\":3}"
    );
}

#[test]
fn every_problem_is_reported_with_its_line() {
    let text = "\
name = \"x\"

[run]
mode = \"developement\"
sede = 3

[pool]
path = 7
validation = 1.5
shape = [8, 0]
classes = [\"cat\", \"dog\", \"cat\"]

[selektor]
batch = 0

[selector]
batch = 0
target = 0.9
model = \"prodution\"

[retry]
backoff = \"10 parsecs\"
lease = 30
";
    assert_eq!(
        refusal(text),
        "\
w.toml:1: `name` stands outside of its table; put it under [run]
w.toml:3: run.name: missing; for example name = \"digits\"
w.toml:4: run.mode: \"developement\" is not one of development, production; did you mean \"development\"?
w.toml:5: unknown key `sede` in [run]; did you mean `seed`?
w.toml:8: pool.path: 7 given, but a string in quotes is expected
w.toml:9: pool.validation: 1.5 given, but a number from 0 to below 1 is expected
w.toml:10: pool.shape: 0 at place 2, but a list of whole numbers from 1 to 1000000, for example [64], is expected
w.toml:11: pool.classes: the class \"cat\" is listed twice; remove one
w.toml:13: unknown table [selektor]; did you mean [selector]?
w.toml:17: selector.batch: 0 given, but a whole number from 1 to 1000000 is expected
w.toml:18: unknown key `target` in [selector]; it belongs under [kpi]
w.toml:19: selector.model: \"prodution\" is neither \"production\", \"pool\" nor the path of an .onnx file
w.toml:22: retry.backoff: \"10 parsecs\" given, but a whole number with its unit in quotes (\"500ms\", \"30s\", \"2m\", \"1h\") is expected
w.toml:23: retry.lease: 30 given, but a whole number with its unit in quotes (\"500ms\", \"30s\", \"2m\", \"1h\") is expected
w.toml: kpi.target: missing; what must be reached, for example target = 0.95"
    );
}

#[test]
fn an_empty_file_says_what_a_workflow_needs() {
    assert_eq!(
        refusal(""),
        "\
w.toml: run.name: missing; for example name = \"digits\"
w.toml: kpi.target: missing; what must be reached, for example target = 0.95
w.toml: pool.path: missing; for example path = \"data/digits.csv\""
    );
}

#[test]
fn what_is_no_toml_is_named_with_its_line() {
    let found = refusal("[run]\nname = \"x\nmode = 3\n[pool\n");
    assert!(found.starts_with("w.toml:2: not valid TOML: "), "{found}");
    assert!(found.contains("w.toml:4: not valid TOML: "), "{found}");
    let twice = refusal("[run]\nseed = 1\nseed = 2\n");
    assert!(twice.starts_with("w.toml:3: not valid TOML: duplicate key"), "{twice}");
}

#[test]
fn a_table_of_another_type_is_no_table() {
    let found = refusal(&format!("stop = 3\n{MINIMAL}"));
    assert_eq!(found, "w.toml:1: `stop` must be a table; write it as [stop]");
    let found = refusal(&format!("{MINIMAL}[trainer.graph]\nkind = 1\n"));
    assert!(
        found.contains("trainer.graph: a table given, but one of \"softmax\", \"mlp\""),
        "{found}"
    );
}

#[test]
fn bad_overrides_are_problems_too() {
    for (key, value, expected) in [
        ("selector.stratgy", "random", "selector.stratgy: unknown key; did you mean `strategy`?"),
        (
            "selector.strategy",
            "margn",
            "selector.strategy: there is no strategy \"margn\"; did you mean \"margin\"?",
        ),
        ("strategy", "random", "strategy: a key is `table.key`, for example selector.strategy"),
        ("a.b.c", "1", "a.b.c: a key is `table.key`, for example selector.strategy"),
        (
            "selecter.batch",
            "1",
            "selecter.batch: unknown table [selecter]; did you mean [selector]?",
        ),
        (
            "run.seed",
            "-1",
            "run.seed: -1 given, but a whole number from 0 to 18446744073709551615 is expected",
        ),
        (
            "run.seed",
            "1.5",
            "run.seed: 1.5 given, but a whole number from 0 to 18446744073709551615 is expected",
        ),
        ("kpi.target", "nan", "kpi.target: NaN given, but a number above 0, at most 1 is expected"),
        (
            "kpi.target",
            "95%",
            "kpi.target: \"95%\" given, but a number above 0, at most 1 is expected",
        ),
        ("pool.scale", "0", "pool.scale: 0 given, but a number that is not 0 is expected"),
        ("pool.path", "", "pool.path: empty; give it a value or leave the key out"),
        ("retry.lease", "999h", "retry.lease: \"999h\" is not from 1s to 86400s"),
        (
            "trainer.checkpoints",
            "0",
            "trainer.checkpoints: 0 given, but a whole number from 1 to 1000 is expected",
        ),
        (
            "model_selector.criterion",
            "validation.acuracy",
            "model_selector.criterion: there is no metric `acuracy`, did you mean `accuracy`?; there are accuracy, balanced_accuracy, macro_f1, micro_f1, precision, recall, log_loss, calibration_error, mean_iou, rmse, mae",
        ),
        (
            "annotator.kind",
            "people",
            "annotator.kind: \"people\" given, but \"oracle\" is expected",
        ),
    ] {
        assert_eq!(refused_override(key, value), expected);
    }
}

#[test]
fn contradictions_name_both_sides_and_the_way_out() {
    let production = ("run.mode", "production");
    for (overrides, expected) in [
        (vec![("kpi.gate", "true")], "kpi.gate: development mode has no gate"),
        (
            vec![("annotator.consensus", "dawid_skene")],
            "annotator.consensus: who is to be believed is learnt from samples that several answer for",
        ),
        (
            vec![("selector.relabel_fraction", "0.1")],
            "selector.relabel_fraction: the oracle makes no mistakes",
        ),
        (
            vec![
                ("selector.relabel_fraction", "0.1"),
                ("annotator.columns", "[\"ann\", \"ben\"]"),
                ("annotator.votes", "2"),
            ],
            "selector.relabel_fraction: a label is asked again of those who were not asked yet, and votes = 2 asks all 2",
        ),
        (
            vec![("annotator.columns", "[\"ann\"]"), ("annotator.votes", "2")],
            "annotator.votes: 2 answers are asked for, but there are 1 annotators",
        ),
        (vec![("stop.max_cost", "9.5")], "stop.max_cost: nothing costs anything"),
        (vec![("kpi.drift", "0.01")], "kpi.drift: without a gate every cycle trains"),
        (vec![("kpi.savings", "true")], "kpi.savings: what random selection would have taken"),
        (
            vec![("selector.audit_fraction", "0.1")],
            "selector.audit_fraction: development mode has no audit arm",
        ),
        (
            vec![("pool.test", "0")],
            "pool.test: test = 0, but in development mode the test split measures",
        ),
        (
            vec![("pool.validation", "0.8")],
            "pool.validation: validation = 0.8 and test = 0.2 leave nothing",
        ),
        (
            vec![("pool.validation", "0")],
            "pool.validation: validation = 0, but validation.accuracy chooses",
        ),
        (vec![("pool.id_column", "label")], "pool.id_column: the column \"label\" cannot be both"),
        (
            vec![production, ("selector.audit_fraction", "0")],
            "selector.audit_fraction: audit_fraction = 0, but the gate reads",
        ),
        (vec![production, ("selector.batch", "1")], "selector.batch: a batch of 1 has no room"),
        (
            vec![production, ("kpi.estimator", "lure")],
            "kpi.estimator: lure weighs each pick by the chance",
        ),
        (
            vec![
                production,
                ("kpi.estimator", "lure"),
                ("selector.strategy", "power(margin)"),
                ("kpi.metric", "macro_f1"),
            ],
            "kpi.metric: lure measures means over samples",
        ),
        (
            vec![production, ("kpi.estimator", "batch"), ("kpi.inconclusive", "label")],
            "kpi.inconclusive: the batch estimator reads the newest batch alone",
        ),
        (vec![("stop.max_hours", "1")], "stop.max_hours: the oracle takes no time"),
        (
            vec![("run.task", "regression"), ("model_selector.class_floor", "0.5")],
            "model_selector.class_floor: a regression has no classes",
        ),
        (
            vec![("run.task", "regression"), ("stop.stable", "0.9")],
            "stop.stable: whether predictions are stable is asked of classes",
        ),
        (
            vec![("run.task", "regression"), ("selector.strategy", "margin")],
            "selector.strategy: margin is for classification, the task is regression",
        ),
        (
            vec![
                ("run.task", "segmentation"),
                ("selector.strategy", "random"),
                ("pool.classes", "[\"ground\", \"digit\"]"),
            ],
            "run.task: labels of a segmentation task are read from npy pools",
        ),
        (
            vec![("trainer.command", "[\"sh\", \"t.sh\"]"), ("trainer.patience", "3")],
            "trainer.patience: the program of `command` trains by itself",
        ),
        (vec![("trainer.memory_mb", "3")], "trainer.memory_mb: belongs to a program"),
        (
            vec![production, ("selector.seed_per_class", "2")],
            "selector.seed_per_class: in production nobody knows",
        ),
        (
            vec![production, ("kpi.gate", "false"), ("stop.kpi", "true")],
            "stop.kpi: kpi = true, but in production only the gate",
        ),
        (vec![("trainer.graph", "mlp")], "trainer.hidden: missing; an mlp needs its hidden widths"),
        (vec![("trainer.hidden", "[8]")], "trainer.hidden: softmax has no hidden layers"),
        (vec![("trainer.graph", "unet")], "trainer.channels: missing; a unet needs its channels"),
        (vec![("trainer.channels", "[8]")], "trainer.channels: softmax has no channels"),
        (vec![("trainer.focal_gamma", "2")], "trainer.focal_gamma: belongs to the loss focal"),
        (vec![("trainer.huber_delta", "2")], "trainer.huber_delta: belongs to the loss huber"),
        (vec![("trainer.warmup", "60")], "trainer.warmup: warmup = 60 leaves nothing"),
        (vec![("trainer.momentum", "0.9")], "trainer.momentum: momentum belongs to sgd"),
        (vec![("trainer.step_every", "5")], "trainer.step_every: belongs to the step schedule"),
        (
            vec![("model_selector.direction", "min")],
            "model_selector.direction: this would promote the worst",
        ),
        (
            vec![("selector.seed_per_class", "2"), ("selector.seed_batch", "20")],
            "selector.seed_batch: seed_per_class and seed_batch both",
        ),
        (
            vec![("selector.seed_batch", "20"), ("stop.max_labels", "10")],
            "stop.max_labels: at most 10 labels, but the first batch alone has 20",
        ),
        (vec![("retry.backoff", "5m")], "retry.backoff: the first wait (300s) is longer"),
        (
            vec![("pool.shape", "[1000000, 1000000, 1000000, 1000000]")],
            "pool.shape: [1000000, 1000000, 1000000, 1000000] has more values",
        ),
    ] {
        let error = parse(MINIMAL, "w.toml", &set(&overrides)).expect_err("a contradiction");
        let found = error.to_string();
        assert!(found.contains(expected) && error.problems.len() == 1, "{overrides:?}:\n{found}");
    }
}

#[test]
fn a_bad_value_is_reported_once_and_not_as_a_contradiction_too() {
    let text = format!("{MINIMAL}gate = true\n[selector]\naudit_fraction = 0.1\n")
        .replace("[run]", "[run]\nmode = 3");
    assert_eq!(
        refusal(&text),
        "w.toml:2: run.mode: 3 given, but one of \"development\", \"production\" is expected"
    );
}

#[test]
fn files_that_are_no_workflows_are_refused_quickly() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("w.toml");
    let refusal = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("a writable folder");
        load(&path, &[]).expect_err("no workflow").to_string()
    };
    let huge = vec![b'#'; 3 << 20];
    assert!(
        refusal(&huge).ends_with("w.toml: larger than 1048576 bytes; that is no workflow file")
    );
    assert!(
        refusal(b"[run]\nname = \"\xff\"").ends_with("w.toml:2: not UTF-8; save the file as UTF-8")
    );
    for deep in [
        "[".repeat(1 << 19),
        format!("a = {}", "[".repeat(1 << 19)),
        "a.".repeat(1 << 19),
        "{a=".repeat(1 << 18),
    ] {
        assert!(refusal(deep.as_bytes()).contains("not valid TOML"));
    }
    let wide: String = (0..40_000).map(|i| format!("key{i} = 1\n")).collect();
    assert!(refusal(wide.as_bytes()).ends_with("more problems"));
    let broken = "= 1\n".repeat(200_000);
    assert!(refusal(broken.as_bytes()).ends_with("more problems"));
    let missing = load(&folder.path().join("none.toml"), &[]).expect_err("no file").to_string();
    assert!(missing.contains("none.toml: could not read the workflow: "), "{missing}");
    assert!(load(folder.path(), &[]).is_err());
}

quickcheck! {
    fn arbitrary_text_is_a_workflow_or_an_error(text: String, key: String, value: String) -> bool {
        let overrides = [(format!("run.{key}"), value)];
        parse(&text, "w.toml", &overrides).is_err()
            && parse(&format!("{MINIMAL}{text}"), "w.toml", &[]).map_or_else(|e| !e.problems.is_empty(), |_| true)
    }
}
