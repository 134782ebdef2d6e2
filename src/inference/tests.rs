//! Stories about models that fit, models that do not, and what is said about them. Each is told once for every runtime
//! that is compiled in. onnxruntime is found in the ordinary order, and installed where there is none, as a run would.

use super::models::{Linear, saved};
use super::*;
use crate::domain::chance::Chance;
use crate::domain::ids::CycleNumber;
use onnx_rs::ast::DataType;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;

fn options(model: &Path) -> LoadOptions<'_> {
    if let Err(error) = prepare(None, InstallPolicy::Allowed, &mut |_| {}) {
        panic!("{error}");
    }
    LoadOptions {
        scores: Scores::PerClass(3),
        batch: 2,
        install: InstallPolicy::Forbidden,
        ..LoadOptions::new(model, &[4])
    }
}

/// Loads with every runtime that there is, and tells what each did.
fn each<T>(model: &Path, mut story: impl FnMut(LoadOptions<'_>) -> T) -> Vec<T> {
    let mut told = vec![story(options(model))];
    if cfg!(feature = "tract") {
        let runtime = Some(Path::new(runtime::TRACT));
        told.push(story(LoadOptions { runtime, ..options(model) }));
    }
    told
}

fn predict(options: &LoadOptions<'_>, inputs: &Matrix) -> Result<Predictions, InferenceError> {
    load(options)?.predict(inputs)
}

fn rows(rows: usize) -> Matrix {
    let values = (0..rows * 4).map(|index| index as f32 / 8.0).collect();
    Matrix::new(rows, 4, values).unwrap()
}

/// Loading the model, and if that works scoring a row, fails with a message that holds all these words.
#[track_caller]
fn fails(model: &Path, shape: &[usize], words: &[&str]) {
    for error in each(model, |options| {
        let width = shape.iter().product();
        let row = Matrix::new(1, width, vec![1.0; width]).unwrap();
        predict(&LoadOptions { shape, ..options }, &row).expect_err("this model must not pass")
    }) {
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
    }
}

#[test]
fn scores_and_embeddings_come_back_row_by_row_whatever_the_batch() {
    let (_folder, model) = Linear::default().saved();
    let inputs = rows(5);
    for predictions in each(&model, |options| {
        let all = predict(&LoadOptions { batch: 64, ..options }, &inputs).unwrap();
        for batch in [0, 1, 2, 3, 5] {
            assert_eq!(
                predict(&LoadOptions { batch, ..options }, &inputs).unwrap(),
                all,
                "{batch}"
            );
        }
        all
    }) {
        assert_eq!(predictions.embedding.as_ref(), Some(&inputs));
        for (row, logits) in inputs.iter_rows().zip(predictions.logits.iter_rows()) {
            let sum: f32 = row.iter().sum();
            assert_eq!(logits, [0.5 * sum, sum, 1.5 * sum]);
        }
        let probabilities = predictions.probabilities();
        assert!(probabilities.iter_rows().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    }
}

#[test]
fn no_rows_give_no_scores() {
    let (_folder, model) = Linear::default().saved();
    for predictions in each(&model, |options| predict(&options, &Matrix::default()).unwrap()) {
        assert_eq!((predictions.logits.rows(), predictions.logits.cols()), (0, 3));
    }
}

#[test]
fn a_model_that_takes_one_sample_at_a_time_is_fed_one_at_a_time() {
    let input = vec![Some(1), Some(4)];
    let (_one, one) = Linear { input, embedding: false, ..Linear::default() }.saved();
    let (_any, any) = Linear::default().saved();
    let inputs = rows(3);
    for logits in each(&one, |options| predict(&options, &inputs).unwrap().logits) {
        assert_eq!(logits, predict(&options(&any), &inputs).unwrap().logits);
    }
}

#[test]
fn samples_may_be_taken_flat_or_with_more_axes() {
    let shapes: [(Vec<Option<i64>>, &[usize]); 3] = [
        (vec![None, Some(4)], &[2, 2]),
        (vec![None, Some(1), Some(2), Some(2)], &[2, 2]),
        (vec![None, Some(2), Some(2)], &[4]),
    ];
    for (input, shape) in shapes {
        let (_folder, model) = Linear { input, ..Linear::default() }.saved();
        for result in each(&model, |options| predict(&LoadOptions { shape, ..options }, &rows(3))) {
            assert_eq!(result.unwrap().logits.rows(), 3);
        }
    }
}

#[test]
fn probabilities_are_taken_as_they_are() {
    let (_raw, raw) = Linear::default().saved();
    let own = Linear { scores: "probabilities", softmax: true, ..Linear::default() };
    let (_own, own) = own.saved();
    for (own, raw) in each(&own, |options| predict(&options, &rows(2)).unwrap())
        .into_iter()
        .zip(each(&raw, |options| predict(&options, &rows(2)).unwrap()))
    {
        assert_eq!(own.kind, OutputKind::Probabilities);
        assert_eq!(own.probabilities(), own.logits);
        for (a, b) in own.logits.data().iter().zip(raw.probabilities().data()) {
            assert!((a - b).abs() < 1e-6);
        }
    }
}

#[test]
fn an_output_called_probabilities_must_hold_some() {
    let (_folder, model) = Linear { scores: "probabilities", ..Linear::default() }.saved();
    fails(&model, &[4], &["probabilities of row 0", "sum to 12"]);
}

#[test]
fn the_only_output_needs_no_name() {
    let (_one, one) = Linear { scores: "y", embedding: false, ..Linear::default() }.saved();
    let (_two, two) = Linear { scores: "y", ..Linear::default() }.saved();
    for model in [one, two] {
        for result in each(&model, |options| predict(&options, &rows(1))) {
            assert_eq!(result.unwrap().logits.data(), [0.75 * 0.5, 0.75, 0.75 * 1.5]);
        }
    }
}

#[test]
fn a_softmax_does_not_overflow() {
    let logits = Matrix::new(2, 2, vec![1e38, -1e38, 1000.0, 1000.0]).unwrap();
    let predictions = Predictions { logits, ..Predictions::default() };
    assert_eq!(predictions.probabilities().data(), [1.0, 0.0, 0.5, 0.5]);
}

#[test]
fn the_report_says_who_ran_it_and_why_nobody_faster() {
    let (_folder, model) = Linear::default().saved();
    let predictor =
        load(&LoadOptions { provider: ProviderChoice::Cpu, ..options(&model) }).unwrap();
    let report = predictor.provider();
    let text = report.to_string();
    assert!(text.starts_with("CPUExecutionProvider (onnxruntime 1."), "{text}");
    assert!(!text.contains('/'), "no paths in the log: {text}");
    assert!(report.nodes.values().sum::<usize>() > 0, "{report:?}");
    assert_eq!(report.not_used.len(), 1);
}

#[test]
fn auto_falls_back_to_the_processor_and_says_why_where_there_is_no_gpu() {
    let (_folder, model) = Linear::default().saved();
    let report = load(&options(&model)).unwrap().provider().clone();
    if report.used == "CPUExecutionProvider" {
        assert!(report.not_used.iter().any(|line| line.starts_with("CUDAExecutionProvider: ")));
    }
}

#[test]
fn a_provider_asked_for_by_name_is_used_or_an_error_that_lists_what_is_missing() {
    let (_folder, model) = Linear::default().saved();
    for (provider, name) in [
        (ProviderChoice::Cuda, "CUDAExecutionProvider"),
        (ProviderChoice::Tensorrt, "TensorrtExecutionProvider"),
    ] {
        match load(&LoadOptions { provider, ..options(&model) }) {
            Ok(predictor) => assert!(predictor.provider().nodes.contains_key(name)),
            Err(InferenceError::Provider { wanted, reason }) => {
                assert_eq!(wanted, name);
                assert!(reason.contains(name) || reason.contains("driver"), "{reason}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_model_that_does_not_fit_says_what_does_not() {
    let (_folder, model) = Linear { element: DataType::Int64, ..Linear::default() }.saved();
    fails(&model, &[4], &["model.onnx does not fit: `x` holds", "32-bit floats are needed"]);
    let (_folder, model) = Linear::default().saved();
    fails(&model, &[5], &["input `x` has shape [?, 4]", "samples have shape [?, 5]"]);
    let (_folder, model) = Linear { classes: 10, ..Linear::default() }.saved();
    fails(&model, &[4], &["output `logits` has shape", ", 10]", ", 3] is needed"]);
    let input = vec![Some(16), Some(4)];
    let (_folder, model) = Linear { input, ..Linear::default() }.saved();
    fails(&model, &[4], &["batches of exactly 16", "open batch axis"]);
}

#[test]
fn rows_of_the_wrong_width_are_refused() {
    let (_folder, model) = Linear::default().saved();
    let inputs = Matrix::new(1, 3, vec![0.0; 3]).unwrap();
    for error in each(&model, |options| predict(&options, &inputs).unwrap_err()) {
        assert!(matches!(error, InferenceError::Width { found: 3, expected: 4 }), "{error}");
    }
}

#[test]
fn the_first_row_without_a_finite_score_is_named() {
    let (_folder, model) = Linear { embedding: false, ..Linear::default() }.saved();
    let mut values = rows(5).data().to_vec();
    values[13] = f32::NAN;
    let inputs = Matrix::new(5, 4, values).unwrap();
    for error in each(&model, |options| predict(&options, &inputs).unwrap_err()) {
        assert!(
            matches!(
                error,
                InferenceError::NonFinite { row: 3, place: 0, input_finite: false, .. }
            ),
            "{error}"
        );
    }
    for weight in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (_folder, model) = Linear { weight, ..Linear::default() }.saved();
        fails(&model, &[4], &["`logits` of row 0", "the model is broken"]);
    }
}

/// A model, several times, and a pool for it.
fn sessions(model: &Path, count: usize) -> Vec<Box<dyn Predictor>> {
    load_several(&LoadOptions { provider: ProviderChoice::Cpu, ..options(model) }, count).unwrap()
}

/// Rows whose sums do not come out even, so that another order of adding would show.
fn uneven(rows: usize) -> Matrix {
    let values = (0..rows * 4).map(|index| (index as f32 * 0.618_034).fract() - 0.3).collect();
    Matrix::new(rows, 4, values).unwrap()
}

/// Everything that comes out of a pipeline.
fn piped(pool: &Matrix, batch: usize, predictors: &mut [Box<dyn Predictor>]) -> Vec<u32> {
    let mut bits = Vec::new();
    let pipeline = pipeline::Pipeline { source: pool, batch, readers: 1, stop: &|| false };
    let ended = pipeline.run(predictors, &mut |first, answer| {
        assert_eq!(first * 3, bits.len(), "in order");
        bits.extend(answer.logits.data().iter().map(|value| value.to_bits()));
        ControlFlow::Continue(())
    });
    assert!(ended.unwrap().is_continue());
    bits
}

#[test]
fn rows_are_the_same_to_the_bit_whatever_the_batch_and_the_number_of_sessions() {
    let (_folder, model) = Linear { weight: 0.1, ..Linear::default() }.saved();
    let pool = uneven(601);
    let one_by_one = piped(&pool, 1, &mut sessions(&model, 1));
    assert_eq!(one_by_one.len(), 601 * 3);
    for count in 1..=3 {
        let mut several = sessions(&model, count);
        assert_eq!(several.len(), count);
        for batch in [1, 7, 64, 256, AUTOMATIC] {
            assert!(piped(&pool, batch, &mut several) == one_by_one, "{batch} in {count} sessions");
        }
    }
}

#[test]
fn a_batch_size_that_is_to_be_found_changes_no_answer_even_for_very_few_rows() {
    let (_folder, model) = Linear::default().saved();
    for count in [0, 1, 9] {
        let pool = uneven(count);
        let set = piped(&pool, 4, &mut sessions(&model, 2));
        assert_eq!(piped(&pool, AUTOMATIC, &mut sessions(&model, 2)), set);
    }
    // A model that takes one row at a time is asked for no more.
    let input = vec![Some(1), Some(4)];
    let (_folder, model) = Linear { input, embedding: false, ..Linear::default() }.saved();
    let pool = uneven(40);
    let set = piped(&pool, 4, &mut sessions(&model, 1));
    assert_eq!(piped(&pool, AUTOMATIC, &mut sessions(&model, 1)), set);
}

#[test]
fn further_outputs_come_back_by_name_with_their_shapes() {
    let (_folder, model) = Linear { map: true, ..Linear::default() }.saved();
    let inputs = rows(5);
    for predictions in each(&model, |options| {
        let predictor = load(&options).unwrap();
        let names: Vec<&str> =
            predictor.outputs().iter().map(|output| output.name.as_str()).collect();
        assert_eq!(names, ["logits", "embedding", "map"]);
        let unasked = predict(&options, &inputs).unwrap();
        assert!(unasked.extra.is_empty(), "what nobody asks for is not read");
        predict(&LoadOptions { outputs: &["map"], ..options }, &inputs).unwrap()
    }) {
        let map = &predictions.extra["map"];
        assert_eq!((map.shape.as_slice(), &map.values), (&[2, 2][..], &inputs));
        assert_eq!(predictions.score_shape, [3]);
        assert_eq!(predictions.extra.len(), 1);
    }
}

#[test]
fn a_backbone_needs_no_scores() {
    let (_folder, model) = Linear { scores: "features", ..Linear::default() }.saved();
    for predictions in each(&model, |options| {
        let outputs = &["embedding"];
        predict(&LoadOptions { scores: Scores::Unused, outputs, ..options }, &rows(3)).unwrap()
    }) {
        assert_eq!((predictions.logits.rows(), predictions.logits.cols()), (3, 0));
        assert_eq!(predictions.embedding, Some(rows(3)));
    }
}

#[test]
fn an_output_that_is_needed_and_missing_is_refused_in_words() {
    let (_folder, model) = Linear { embedding: false, ..Linear::default() }.saved();
    for error in each(&model, |options| {
        load(&LoadOptions { outputs: &["embedding"], ..options }).err().unwrap().to_string()
    }) {
        let words = "needs output `embedding`, but the model has logits";
        assert!(error.contains(words), "{error}");
    }
    for told in each(&model, |options| outputs(&options).unwrap()) {
        let [Output { name, shape }] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(name, "logits");
        // onnxruntime knows the shape; tract works it out only when it runs.
        assert!(shape.as_ref().is_none_or(|shape| *shape == [Some(3)]), "{shape:?}");
    }
}

#[test]
fn a_pipeline_names_the_row_of_the_pool_and_hands_on_what_came_before_it() {
    let (_folder, model) = Linear::default().saved();
    let mut values = uneven(300).data().to_vec();
    values[4 * 203 + 1] = f32::NAN;
    values[4 * 290] = f32::NAN;
    let pool = Matrix::new(300, 4, values).unwrap();
    for batch in [7, AUTOMATIC] {
        let mut seen = 0;
        let pipeline = pipeline::Pipeline { source: &pool, batch, readers: 0, stop: &|| false };
        let error = pipeline
            .run(&mut sessions(&model, 3), &mut |_, answer| {
                seen += answer.logits.rows();
                ControlFlow::Continue(())
            })
            .unwrap_err();
        assert!(matches!(error, InferenceError::NonFinite { row: 203, .. }), "{error}");
        assert!(seen <= 203);
        assert!(batch == AUTOMATIC || seen == 203, "{seen} rows were handed on");
    }
}

#[test]
fn a_pipeline_that_is_stopped_ends_between_two_batches() {
    let (_folder, model) = Linear::default().saved();
    let stopped = |rows: usize, lanes: usize| {
        let pool = uneven(rows);
        let handed = std::cell::Cell::new(0);
        let stop = || handed.get() >= 30;
        let pipeline = pipeline::Pipeline { source: &pool, batch: 10, readers: 1, stop: &stop };
        let ended = pipeline.run(&mut sessions(&model, lanes), &mut |_, answer| {
            assert!(!stop(), "it was told to stop");
            handed.set(handed.get() + answer.logits.rows());
            ControlFlow::Continue(())
        });
        assert!(ended.unwrap().is_break());
        handed.get()
    };
    // Where no more than two batches are left for each model, every one goes alone.
    assert_eq!(stopped(100, 5), 30);
    // Of many, fast ones go together; at most a quarter of all that are left.
    let rows = stopped(1000, 2);
    assert!((30..300).contains(&rows) && rows.is_multiple_of(10), "{rows} rows");
}

#[test]
fn a_missing_model_and_one_that_is_none_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    fails(&folder.path().join("model.onnx"), &[4], &["could not open the model", "model.onnx"]);
    let (_folder, model) = saved(b"");
    fails(&model, &[4], &["model.onnx"]);
    let (_folder, model) = saved(b"PK\x03\x04 this is a zip file");
    fails(&model, &[4], &["is no ONNX model"]);
}

/// A truncated or mutated model loads and runs, or is refused with an error; it never panics or takes the process down.
#[test]
fn hundreds_of_damaged_models_are_refused_or_run() {
    let whole = Linear::default().bytes();
    let mut damaged: Vec<Vec<u8>> =
        (0..whole.len()).step_by(3).map(|length| whole[..length].to_vec()).collect();
    let chance = Chance { seed: 7, cycle: CycleNumber(0), purpose: "damage" };
    let mut draws = (0_u32..).map(|place| chance.draw(&place.to_string()));
    let mut below = |limit: usize| usize::try_from(draws.next().unwrap() >> 33).unwrap() % limit;
    for _ in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..=below(4) {
            let place = below(bytes.len());
            bytes[place] = u8::try_from(below(256)).unwrap();
        }
        damaged.push(bytes);
    }
    damaged.extend((0..100).map(|_| {
        let length = below(64);
        (0..length).map(|_| u8::try_from(below(256)).unwrap()).collect()
    }));

    let mut refused = 0;
    for bytes in &damaged {
        let (_folder, model) = saved(bytes);
        for result in each(&model, |options| predict(&options, &rows(3))) {
            refused += usize::from(result.is_err());
            if let Ok(predictions) = result {
                assert_eq!(predictions.logits.first_non_finite(), None, "{bytes:?}");
            }
        }
    }
    assert!(refused > damaged.len() / 4, "{refused} of {}", damaged.len());
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let (_folder, model) = Linear::default().saved();
    let refused = |options: &LoadOptions<'_>| load(options).err().map(|error| error.to_string());
    assert!(refused(&LoadOptions { shape: &[4, 0], ..options(&model) }).is_some());
    assert!(refused(&LoadOptions { shape: &[usize::MAX, 2], ..options(&model) }).is_some());
    assert!(refused(&LoadOptions { scores: Scores::PerClass(0), ..options(&model) }).is_some());
}

#[test]
fn tract_is_used_where_it_is_compiled_in_and_asked_for() {
    let (_folder, model) = Linear::default().saved();
    let runtime = Some(Path::new(runtime::TRACT));
    let loaded = load(&LoadOptions { runtime, ..options(&model) });
    match loaded.map(|predictor| predictor.provider().to_string()) {
        Ok(provider) => assert!(cfg!(feature = "tract") && provider.starts_with("tract (tract ")),
        Err(error) => {
            assert!(!cfg!(feature = "tract") && error.to_string().contains("--features tract"))
        }
    }
}

#[test]
fn a_process_keeps_the_runtime_it_has() {
    let (_folder, model) = Linear::default().saved();
    load(&options(&model)).unwrap();
    let other = PathBuf::from("/no/such/libonnxruntime.so");
    let error = load(&LoadOptions { runtime: Some(&other), ..options(&model) }).err().unwrap();
    assert!(matches!(error, InferenceError::RuntimeInUse { .. }), "{error}");
}

#[test]
fn doctor_tells_what_is_used_and_what_was_tried() {
    let report = doctor();
    let runtime = report.runtime.as_ref().expect("these tests need a runtime");
    let usable = ProviderState { name: "CPUExecutionProvider", problem: None };
    assert_eq!(runtime.providers.first(), Some(&usable));
    let text = report.to_string();
    assert!(text.contains(&runtime.version) && text.contains("python"), "{text}");
    assert!(serde_json::to_value(&report).is_ok());
}

#[test]
fn a_fixed_predictor_scores_rows_by_their_values_alone() {
    let inputs = Matrix::new(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let predictions = FixedPredictor::new(2).predict(&inputs).unwrap();
    assert_eq!(predictions.logits.data(), [4.0, 2.0, 10.0, 5.0]);
    assert_eq!(predictions.embedding, Some(inputs));
}

/// Tells how looking for a runtime went, for the tests below: a process looks for its runtime only once.
#[test]
#[ignore = "run by other tests, in a process of its own"]
#[expect(clippy::print_stdout, reason = "read by the test that started this one")]
fn told_from_a_process_of_its_own() {
    let install = match std::env::var_os("GLEANER_TEST_INSTALL") {
        Some(_) => InstallPolicy::Allowed,
        None => InstallPolicy::Forbidden,
    };
    match runtime::ensure(None, install, &mut |line| println!("{line}")) {
        Ok(found) => {
            println!("TOLD used {} {}", found.origin, found.path.display());
            found.rejected.iter().for_each(|rejected| println!("passed over {rejected}"));
        }
        Err(error) => println!("TOLD {error}"),
    }
}

/// What a process with these variables tells.
fn told(variables: &[(&str, &Path)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "inference::tests::told_from_a_process_of_its_own"])
        .args(["--ignored", "--nocapture"])
        .env_remove("ORT_DYLIB_PATH")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_once("TOLD ").map(|(_, told)| told.to_owned()).unwrap_or(text)
}

#[test]
fn a_runtime_given_by_path_works_or_is_an_error_and_never_a_fallback() {
    let absent = Path::new("/no/such/libonnxruntime.so");
    let error = told(&[("ORT_DYLIB_PATH", absent)]);
    assert!(error.contains("given by ORT_DYLIB_PATH, cannot be used"), "{error}");
    let (_folder, garbage) = saved(b"no library");
    let error = told(&[("ORT_DYLIB_PATH", &garbage)]);
    assert!(error.contains("given by ORT_DYLIB_PATH, cannot be used"), "{error}");

    let runtime = runtime::ensure(None, InstallPolicy::Allowed, &mut |_| {}).unwrap();
    if runtime.path.is_absolute() {
        let used = told(&[("ORT_DYLIB_PATH", &runtime.path)]);
        assert!(used.starts_with("used"), "{used}");
    }
}

#[test]
fn without_a_runtime_the_error_names_the_ways_out_and_what_was_tried() {
    let empty = tempfile::tempdir().unwrap();
    let nowhere: Vec<(&str, &Path)> = ["PATH", "XDG_CACHE_HOME", "VIRTUAL_ENV", "CONDA_PREFIX"]
        .map(|name| (name, empty.path()))
        .into();
    let text = told(&nowhere);
    if text.starts_with("used") {
        return; // This machine's system itself has one; nothing can hide it.
    }
    for words in
        ["was forbidden", "`gleaner runtime install`", "ORT_DYLIB_PATH", "no Python answered"]
    {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let text = told(&[nowhere.as_slice(), &[("GLEANER_TEST_INSTALL", Path::new("1"))]].concat());
    assert!(text.contains("no Python with pip was found"), "{text}");
}

/// An active environment whose Python says that its package onnxruntime is in the folder given back.
#[cfg(unix)]
fn environment() -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let capi = folder.path().join("onnxruntime/capi");
    std::fs::create_dir_all(&capi).unwrap();
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    let python = folder.path().join("bin/python");
    let script = format!("#!/bin/sh\necho {}\n", folder.path().join("onnxruntime").display());
    std::fs::write(&python, script).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, capi.join("libonnxruntime.so.1.99.0"))
}

#[cfg(unix)]
#[test]
fn the_active_python_environment_comes_before_our_own_folder() {
    let runtime = runtime::ensure(None, InstallPolicy::Allowed, &mut |_| {}).unwrap();
    if runtime.path.is_absolute() {
        let (folder, library) = environment();
        std::os::unix::fs::symlink(&runtime.path, &library).unwrap();
        let text = told(&[("VIRTUAL_ENV", folder.path())]);
        let expected = format!("used the active Python environment {}", library.display());
        assert!(text.starts_with(&expected), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn a_broken_library_that_nobody_asked_for_is_passed_over_with_a_reason() {
    runtime::ensure(None, InstallPolicy::Allowed, &mut |_| {}).unwrap(); // there is one to go on to
    let (folder, library) = environment();
    std::fs::write(&library, b"no library").unwrap();
    let text = told(&[("VIRTUAL_ENV", folder.path())]);
    assert!(text.starts_with("used "), "{text}");
    let passed = format!("passed over the active Python environment {}", library.display());
    assert!(text.contains(&passed), "{text}");
}
