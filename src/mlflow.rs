//! Production models in an [MLflow](https://mlflow.org) model registry, so that whoever serves them finds them there.
//!
//! [`Registry::publish`] brings one model to a server, over its REST interface:
//!
//! | in MLflow | what it is here |
//! |---|---|
//! | experiment | the workflow, by its name |
//! | run | a model: its ONNX file, how it was measured when it was accepted, and tags |
//! | artifact `model` | `model.onnx`, and an `MLmodel` with which `mlflow.onnx.load_model` and `mlflow.pyfunc.load_model` open it |
//! | registered model, version | the name it is published under; each model once |
//! | alias `production` | the version that is in production in its run; it moves when that changes and is published |
//! | tags `gleaner.run`, `gleaner.cycle`, `gleaner.labels`, `gleaner.digest` | where the log says everything else about it |
//!
//! **Once.** A version is made last, together with its tags. So a publishing that was cut short leaves at most a run without a
//! version, and the next one starts anew; a model whose digest a version of that name carries is not uploaded again. Two
//! processes that publish the same model at the same instant may make two versions.
//!
//! **Held against a server.** MLflow 3.17.2 with `--serve-artifacts`: its client downloaded the bytes that were published, and
//! onnxruntime, `mlflow.onnx` and `mlflow.pyfunc` gave the same answers from them. pyfunc warns that no Python version is told,
//! and that a machine without CUDA uses its processor.
//!
//! **Not here:** TLS and logins (a proxy on this machine has them), stores that only the server's users can write to (the
//! server must take artifacts itself, as `--serve-artifacts`, its default, says), model signatures, and publishing by itself
//! during a run. The file is held in memory.

mod error;
mod http;

use crate::domain::digest::Digest;
use crate::domain::event::KpiChecked;
use crate::domain::ids::{CycleNumber, RunId};
use crate::domain::time::Timestamp;
pub use error::MlflowError;
use http::Server;
use serde::Serialize;
use serde_json::{Value, json};

/// The alias of what is in production.
pub const ALIAS: &str = "production";

/// The folder of a run's artifacts that holds its model.
const FOLDER: &str = "model";
/// The model's file in it.
const FILE: &str = "model.onnx";
/// The tag by which a model is found again.
const DIGEST_TAG: &str = "gleaner.digest";

/// A model registry.
#[derive(Debug, Clone)]
pub struct Registry {
    server: Server,
}

/// A model that was in production, and what is told about it.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// The name to publish it under.
    pub name: &'a str,
    /// The workflow's name.
    pub workflow: &'a str,
    /// The run that trained it.
    pub run: RunId,
    /// The digest of its file.
    pub digest: Digest,
    /// The cycle that trained it.
    pub cycle: CycleNumber,
    /// How many labels it was trained on.
    pub labelled: u64,
    /// How it was measured then.
    pub acceptance: Option<&'a KpiChecked>,
    /// Whether it is in production now: then, and only then, it gets the alias.
    pub current: bool,
    /// Its file.
    pub onnx: &'a [u8],
}

/// Where a model is in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The server's address.
    pub registry: String,
    /// The name of the registered model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it was published before, and nothing was made.
    pub known: bool,
    /// Whether it was given the alias [`ALIAS`].
    pub production: bool,
}

/// A run of the server: its id, and where its artifacts are.
struct Record {
    id: String,
    uri: String,
}

impl Registry {
    /// The registry of the MLflow server at `url`, for example `http://127.0.0.1:5000`. Nothing is sent.
    ///
    /// # Errors
    /// [`MlflowError::Tls`] for `https://`, [`MlflowError::Address`] for what is no address.
    pub fn new(url: &str) -> Result<Self, MlflowError> {
        Ok(Self { server: Server::new(url)? })
    }

    /// The same registry with another limit than 30 s for each question. An upload may take 2 s more for each MiB.
    #[must_use]
    pub fn patient(self, seconds: u64) -> Self {
        Self { server: self.server.patient(seconds) }
    }

    /// Publishes a model, unless the registry has it under that name already; blocks. `now` dates what is made.
    ///
    /// # Errors
    /// [`MlflowError::Damaged`] before anything is sent; [`MlflowError::Unanswered`], [`MlflowError::Refused`],
    /// [`MlflowError::Foreign`] and [`MlflowError::NotServed`] as the server answers.
    pub fn publish(&self, model: &Model<'_>, now: Timestamp) -> Result<Published, MlflowError> {
        let found = Digest::of(model.onnx);
        if found != model.digest {
            return Err(MlflowError::Damaged { expected: model.digest, found });
        }
        let known = self.find(model)?;
        let published = Published {
            registry: self.server.address().to_owned(),
            name: model.name.to_owned(),
            known: known.is_some(),
            version: known.map_or_else(|| self.add(model, now), Ok)?,
            production: model.current,
        };
        if model.current {
            let body = json!({ "name": model.name, "alias": ALIAS, "version": published.version });
            self.server.post("/api/2.0/mlflow/registered-models/alias", &body)?;
        }
        Ok(published)
    }

    /// The version that is this model.
    fn find(&self, model: &Model<'_>) -> Result<Option<String>, MlflowError> {
        // The name is compared here, so that no quotation mark in it ends a text of the filter.
        let filter = format!("tags.`{DIGEST_TAG}` = '{}'", model.digest);
        let found =
            self.server.get("/api/2.0/mlflow/model-versions/search", &[("filter", &filter)])?;
        let found = found.json()?;
        let versions = found.get("model_versions").and_then(Value::as_array);
        let text = |version: &Value, key: &str| {
            version.get(key).and_then(Value::as_str).map(ToOwned::to_owned)
        };
        Ok(versions.into_iter().flatten().find_map(|version| {
            let named = text(version, "name").is_some_and(|name| name == model.name);
            text(version, "version").filter(|_| named)
        }))
    }

    /// Makes a version of what the registry does not have.
    fn add(&self, model: &Model<'_>, now: Timestamp) -> Result<String, MlflowError> {
        let body = json!({ "name": model.name });
        match self.server.post("/api/2.0/mlflow/registered-models/create", &body) {
            Err(error) if !error.says("RESOURCE_ALREADY_EXISTS") => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let record = self.begin(model, now)?;
        let filled = self.fill(&record, model, now);
        let status = if filled.is_ok() { "FINISHED" } else { "FAILED" };
        let body = json!({ "run_id": record.id, "status": status, "end_time": millis(now) });
        let closed = self.server.post("/api/2.0/mlflow/runs/update", &body);
        // What went wrong first is told.
        filled.and(closed)?;
        let body = json!({
            "name": model.name,
            "source": format!("{}/{FOLDER}", record.uri),
            "run_id": record.id,
            "tags": tags(model),
        });
        self.server
            .post("/api/2.0/mlflow/model-versions/create", &body)?
            .text("/model_version/version")
    }

    /// Begins a run in the workflow's experiment.
    fn begin(&self, model: &Model<'_>, now: Timestamp) -> Result<Record, MlflowError> {
        let experiment = self.experiment(model.workflow)?;
        let body = json!({
            "experiment_id": experiment,
            "run_name": format!("cycle {}, model {}", model.cycle, model.digest.short()),
            "start_time": millis(now),
            "tags": tags(model),
        });
        let run = self.server.post("/api/2.0/mlflow/runs/create", &body)?;
        Ok(Record { id: run.text("/run/info/run_id")?, uri: run.text("/run/info/artifact_uri")? })
    }

    /// The id of the experiment of this name, which is made where there is none.
    fn experiment(&self, name: &str) -> Result<String, MlflowError> {
        let by_name = || {
            let parameters = [("experiment_name", name)];
            let found = self.server.get("/api/2.0/mlflow/experiments/get-by-name", &parameters)?;
            found.text("/experiment/experiment_id")
        };
        match by_name() {
            Err(error) if error.says("RESOURCE_DOES_NOT_EXIST") => {}
            found => return found,
        }
        let body = json!({ "name": name });
        match self.server.post("/api/2.0/mlflow/experiments/create", &body) {
            Ok(made) => made.text("/experiment_id"),
            // Somebody made it in between.
            Err(error) if error.says("RESOURCE_ALREADY_EXISTS") => by_name(),
            Err(error) => Err(error),
        }
    }

    /// Uploads the files and logs how the model was measured.
    fn fill(&self, record: &Record, model: &Model<'_>, now: Timestamp) -> Result<(), MlflowError> {
        // `mlflow-artifacts:/...` is this server; with `//host/...` another one may be meant.
        let served = record.uri.strip_prefix("mlflow-artifacts:/");
        let Some(folder) = served.filter(|folder| !folder.starts_with('/')) else {
            let (experiment, uri) = (model.workflow.to_owned(), record.uri.clone());
            return Err(MlflowError::NotServed { experiment, uri });
        };
        // JSON is YAML, which is what MLflow reads.
        let described = format!("{:#}\n", description(model, record, now));
        for (file, bytes) in [(FILE, model.onnx), ("MLmodel", described.as_bytes())] {
            let name = format!("{folder}/{FOLDER}/{file}");
            self.server.put("/api/2.0/mlflow-artifacts/artifacts/", &name, bytes)?;
        }
        let body = json!({
            "run_id": record.id,
            "metrics": metrics(model, now),
            "params": parameters(model),
        });
        self.server.post("/api/2.0/mlflow/runs/log-batch", &body).map(drop)
    }
}

/// The model's file `MLmodel`.
fn description(model: &Model<'_>, record: &Record, now: Timestamp) -> Value {
    let made = chrono::DateTime::from_timestamp_micros(now.0)
        .map(|time| time.format("%Y-%m-%d %H:%M:%S%.6f").to_string());
    json!({
        "artifact_path": FOLDER,
        "flavors": {
            "onnx": {
                "code": null,
                "data": FILE,
                "onnx_session_options": null,
                "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"],
            },
            "python_function": { "data": FILE, "loader_module": "mlflow.onnx" },
        },
        "metadata": { DIGEST_TAG: model.digest.to_string() },
        "model_size_bytes": model.onnx.len(),
        "run_id": record.id,
        "utc_time_created": made,
    })
}

/// Where a model comes from.
fn tags(model: &Model<'_>) -> Value {
    json!([
        { "key": "gleaner.run", "value": model.run.to_string() },
        { "key": "gleaner.cycle", "value": model.cycle.to_string() },
        { "key": "gleaner.labels", "value": model.labelled.to_string() },
        { "key": DIGEST_TAG, "value": model.digest.to_string() },
    ])
}

/// The measurement with both ends of its interval. What is no number cannot be said in JSON and is left out.
fn metrics(model: &Model<'_>, now: Timestamp) -> Vec<Value> {
    let Some(checked) = model.acceptance else { return Vec::new() };
    let name = metric_name(&checked.metric);
    let values = [
        (name.clone(), checked.value),
        (format!("{name}.low"), checked.interval.low),
        (format!("{name}.high"), checked.interval.high),
    ];
    let logged = |(key, value): (String, f64)| {
        let (timestamp, step) = (millis(now), model.cycle.0);
        json!({ "key": key, "value": value, "timestamp": timestamp, "step": step })
    };
    values.into_iter().filter(|(_, value)| value.is_finite()).map(logged).collect()
}

/// What the measurement means.
fn parameters(model: &Model<'_>) -> Vec<Value> {
    let Some(checked) = model.acceptance else { return Vec::new() };
    let values = [
        ("metric", checked.metric.to_string()),
        ("measured_on", checked.estimator.to_string()),
        ("samples", checked.n.to_string()),
        ("target", checked.target.to_string()),
    ];
    values.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// A metric's name in the characters that MLflow allows: `precision_at_0.5`.
fn metric_name(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_-. ".contains(c) { c } else { '_' };
    name.replace('@', "_at_").chars().map(allowed).collect()
}

/// MLflow's instants: milliseconds since 1970.
const fn millis(instant: Timestamp) -> i64 {
    instant.0.div_euclid(1000)
}
