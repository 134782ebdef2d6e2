//! Publishing to an MLflow registry: what is sent, once only, and what is said when it does not work.
//!
//! The server is a stub that answers as MLflow 3.17 did; nothing leaves this machine.

use crate::program::{Folder, WRONG, told};
use gleaner::domain::digest::Digest;
use gleaner::domain::event::{KpiChecked, KpiStage};
use gleaner::domain::ids::{CycleNumber, RunId};
use gleaner::domain::kpi::{Basis, Interval, Verdict};
use gleaner::domain::time::Timestamp;
use gleaner::mlflow::{MlflowError, Model, Published, Registry};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const API: &str = "/api/2.0/mlflow";
const NOW: Timestamp = Timestamp(1_767_225_600_000_000);

/// What the stub was asked.
struct Asked {
    /// Method and path.
    what: String,
    query: String,
    body: Vec<u8>,
}

impl Asked {
    fn read(stream: &TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let target = line.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let what = format!("{} {path}", line.split(' ').next().unwrap_or_default());
        let (query, mut length) = (query.to_owned(), 0);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            match header.trim_end().split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        Self { what, query, body }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A server on this machine that ends with its value.
struct Stub {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stub {
    /// A server that sends these bytes, whatever they are.
    fn start(mut answer: impl FnMut(&Asked) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, over) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let ended = Arc::clone(&over);
        let serve = move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let bytes = answer(&Asked::read(&stream));
                drop(stream.write_all(&bytes)); // whoever asked may have heard enough
            }
        };
        Self { address, over, thread: Some(std::thread::spawn(serve)) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn registry(&self) -> Registry {
        Registry::new(&self.url()).unwrap()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address)); // it looks up
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

fn reply(status: u16, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn refusal(status: u16, code: &str, message: &str) -> Vec<u8> {
    reply(status, &json!({ "error_code": code, "message": message }))
}

/// What the stub keeps, and what it was asked.
#[derive(Default)]
struct Kept {
    asked: Vec<String>,
    models: BTreeSet<String>,
    experiments: Vec<String>,
    runs: Vec<Value>,
    updates: Vec<Value>,
    batches: Vec<Value>,
    artifacts: BTreeMap<String, Vec<u8>>,
    versions: Vec<Value>,
    alias: Option<Value>,
    /// Where runs keep artifacts; as MLflow does if nothing is said.
    root: Option<&'static str>,
    /// What fails with a status of 500: the end of a path.
    broken: Option<&'static str>,
}

impl Kept {
    fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        self.asked.push(asked.what.clone());
        if self.broken.is_some_and(|end| asked.what.ends_with(end)) {
            return refusal(500, "INTERNAL_ERROR", "out of cheese");
        }
        let below = |start: &str| asked.what.strip_prefix(start).map(ToOwned::to_owned);
        if let Some(path) = below("PUT /api/2.0/mlflow-artifacts/artifacts/") {
            self.artifacts.insert(path, asked.body.clone());
            return reply(200, &json!({}));
        }
        if let Some(path) = below(&format!("GET {API}/")) {
            return match path.as_str() {
                "model-versions/search" => {
                    let tagged = |version: &&Value| {
                        let digest = version["tags"][3]["value"].as_str().unwrap();
                        asked.query
                            == format!("filter=tags.%60gleaner.digest%60%20%3D%20%27{digest}%27")
                    };
                    let found: Vec<&Value> = self.versions.iter().filter(tagged).collect();
                    // An empty list is not sent.
                    reply(
                        200,
                        &if found.is_empty() {
                            json!({})
                        } else {
                            json!({ "model_versions": found })
                        },
                    )
                }
                "experiments/get-by-name" => {
                    let named = |name: &String| asked.query == format!("experiment_name={name}");
                    match self.experiments.iter().position(named) {
                        Some(id) => reply(
                            200,
                            &json!({ "experiment": { "experiment_id": id.to_string() } }),
                        ),
                        None => refusal(404, "RESOURCE_DOES_NOT_EXIST", "no such experiment"),
                    }
                }
                _ => refusal(404, "ENDPOINT_NOT_FOUND", &path),
            };
        }
        let mut body = asked.json();
        match below(&format!("POST {API}/")).unwrap_or_default().as_str() {
            "registered-models/create" => {
                if !self.models.insert(body["name"].as_str().unwrap().to_owned()) {
                    return refusal(400, "RESOURCE_ALREADY_EXISTS", "it is there");
                }
                reply(200, &json!({ "registered_model": body }))
            }
            "experiments/create" => {
                self.experiments.push(body["name"].as_str().unwrap().to_owned());
                reply(200, &json!({ "experiment_id": (self.experiments.len() - 1).to_string() }))
            }
            "runs/create" => {
                let id = format!("r{}", self.runs.len());
                self.runs.push(body);
                let uri = format!("{}/0/{id}/artifacts", self.root.unwrap_or("mlflow-artifacts:"));
                reply(200, &json!({ "run": { "info": { "run_id": id, "artifact_uri": uri } } }))
            }
            "runs/update" => {
                self.updates.push(body);
                reply(200, &json!({}))
            }
            "runs/log-batch" => {
                self.batches.push(body);
                reply(200, &json!({}))
            }
            "model-versions/create" => {
                let of_name = |version: &&Value| version["name"] == body["name"];
                let version = (self.versions.iter().filter(of_name).count() + 1).to_string();
                body["version"] = version.into();
                self.versions.push(body.clone());
                reply(200, &json!({ "model_version": body }))
            }
            "registered-models/alias" => {
                self.alias = Some(body);
                reply(200, &json!({}))
            }
            _ => refusal(404, "ENDPOINT_NOT_FOUND", &asked.what),
        }
    }
}

/// A stub of MLflow, and what it keeps.
fn mlflow(kept: Kept) -> (Stub, Arc<Mutex<Kept>>) {
    let kept = Arc::new(Mutex::new(kept));
    let inside = Arc::clone(&kept);
    (Stub::start(move |asked| inside.lock().unwrap().answer(asked)), kept)
}

fn checked(onnx: &[u8]) -> KpiChecked {
    KpiChecked {
        stage: KpiStage::Acceptance,
        metric: "precision@0.5".into(),
        estimator: "test".into(),
        model: Digest::of(onnx),
        n: 540,
        value: 0.95,
        interval: Interval { low: 0.93, high: f64::NAN },
        target: 0.9,
        basis: Basis::Value,
        verdict: Verdict::Met,
    }
}

fn model<'a>(name: &'a str, onnx: &'a [u8], acceptance: Option<&'a KpiChecked>) -> Model<'a> {
    Model {
        name,
        workflow: "digits",
        run: RunId(uuid::Uuid::from_u128(7)),
        digest: Digest::of(onnx),
        cycle: CycleNumber(3),
        labelled: 40,
        acceptance,
        current: true,
        onnx,
    }
}

fn publish(stub: &Stub, model: &Model<'_>) -> Result<Published, MlflowError> {
    stub.registry().publish(model, NOW)
}

/// An error as the command line tells it.
fn chain(error: &MlflowError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[test]
fn a_model_is_there_with_all_that_leads_back_to_its_log() {
    let (stub, kept) = mlflow(Kept::default());
    let (onnx, tags) = (b"\0onnx\xff".as_slice(), |digest: String| {
        json!([
            { "key": "gleaner.run", "value": "00000000-0000-0000-0000-000000000007" },
            { "key": "gleaner.cycle", "value": "3" },
            { "key": "gleaner.labels", "value": "40" },
            { "key": "gleaner.digest", "value": digest },
        ])
    });
    let checked = checked(onnx);
    let model = model("served", onnx, Some(&checked));
    let published = publish(&stub, &model).unwrap();
    let expected = Published {
        registry: stub.url(),
        name: "served".to_owned(),
        version: "1".to_owned(),
        known: false,
        production: true,
    };
    assert_eq!(published, expected);

    let kept = kept.lock().unwrap();
    assert_eq!(kept.experiments, ["digits"]);
    assert_eq!(kept.artifacts["0/r0/artifacts/model/model.onnx"], onnx);
    let described = &kept.artifacts["0/r0/artifacts/model/MLmodel"];
    let described: Value = serde_json::from_slice(described).unwrap();
    assert_eq!(described["flavors"]["onnx"]["data"], "model.onnx");
    assert_eq!(described["flavors"]["python_function"]["loader_module"], "mlflow.onnx");
    assert_eq!(described["utc_time_created"], "2026-01-01 00:00:00.000000");
    let metric = |key: &str, value: f64| json!({ "key": key, "value": value, "timestamp": 1_767_225_600_000_u64, "step": 3 });
    let metrics = [metric("precision_at_0.5", 0.95), metric("precision_at_0.5.low", 0.93)];
    assert_eq!(kept.batches[0]["metrics"], json!(metrics), "no upper end, which is no number");
    assert_eq!(kept.batches[0]["params"][1], json!({ "key": "measured_on", "value": "test" }));
    let tags = tags(model.digest.to_string());
    assert_eq!(kept.runs[0]["tags"], tags);
    let update = json!({ "run_id": "r0", "status": "FINISHED", "end_time": 1_767_225_600_000_u64 });
    assert_eq!(kept.updates, [update]);
    let version = json!({
        "name": "served",
        "source": "mlflow-artifacts:/0/r0/artifacts/model",
        "run_id": "r0",
        "tags": tags,
        "version": "1",
    });
    assert_eq!(kept.versions, [version]);
    let alias = json!({ "name": "served", "alias": "production", "version": "1" });
    assert_eq!(kept.alias, Some(alias));
}

#[test]
fn a_model_is_published_once_under_a_name_and_the_alias_follows_production() {
    let (stub, kept) = mlflow(Kept::default());
    let (first, second) = (model("served", b"first", None), model("served", b"second", None));
    let version = |model: &Model<'_>| {
        let published = publish(&stub, model).unwrap();
        let alias = kept.lock().unwrap().alias.clone().map(|alias| alias["version"].clone());
        (published.version, published.known, alias.unwrap_or_default())
    };
    let told = |version: &str, known, alias: &str| (version.to_owned(), known, Value::from(alias));
    assert_eq!(version(&first), told("1", false, "1"));
    let asked = kept.lock().unwrap().asked.len();
    assert_eq!(version(&first), told("1", true, "1"));
    let again = kept.lock().unwrap().asked.split_off(asked);
    let search = format!("GET {API}/model-versions/search");
    assert_eq!(again, [search, format!("POST {API}/registered-models/alias")]);

    assert_eq!(version(&Model { current: false, ..second }), told("2", false, "1"));
    assert_eq!(version(&second), told("2", true, "2"), "it was promoted");
    assert_eq!(version(&first), told("1", true, "1"), "it was rolled back");
    let (before, elsewhere) = (kept.lock().unwrap().runs.len(), Model { name: "other", ..first });
    assert_eq!(version(&elsewhere), told("1", false, "1"));
    assert_eq!(kept.lock().unwrap().runs.len(), before + 1);
    assert_eq!(kept.lock().unwrap().experiments, ["digits"]);
}

#[test]
fn whatever_the_server_refuses_is_told_and_nothing_is_half_published() {
    for end in [
        "model-versions/search",
        "registered-models/create",
        "experiments/get-by-name",
        "experiments/create",
        "runs/create",
        "model.onnx",
        "MLmodel",
        "runs/log-batch",
        "runs/update",
        "model-versions/create",
        "registered-models/alias",
    ] {
        let (stub, kept) = mlflow(Kept { broken: Some(end), ..Kept::default() });
        let model = model("served", b"onnx", None);
        let told = publish(&stub, &model).unwrap_err().to_string();
        let words = "was answered 500: INTERNAL_ERROR: out of cheese";
        assert!(told.contains(&format!("{end} {words}")) && told.contains(&stub.url()), "{told}");
        let uploading = ["model.onnx", "MLmodel", "runs/log-batch"].contains(&end);
        let failed = kept.lock().unwrap().updates.iter().any(|update| update["status"] == "FAILED");
        assert_eq!(failed, uploading, "{end}");

        kept.lock().unwrap().broken = None;
        let known = end == "registered-models/alias";
        assert_eq!(publish(&stub, &model).unwrap().known, known, "{end}");
        assert_eq!(kept.lock().unwrap().versions.len(), 1, "{end}");
        assert!(kept.lock().unwrap().alias.is_some(), "{end}");
    }
}

#[test]
fn a_store_that_only_the_servers_users_reach_is_named_with_the_way_out() {
    for root in ["s3://bucket", "/srv/mlruns", "mlflow-artifacts://elsewhere:5000"] {
        let (stub, kept) = mlflow(Kept { root: Some(root), ..Kept::default() });
        let told = publish(&stub, &model("served", b"onnx", None)).unwrap_err().to_string();
        for word in [root, "\"digits\"", "--serve-artifacts"] {
            assert!(told.contains(word), "{told} lacks {word}");
        }
        let kept = kept.lock().unwrap();
        assert_eq!((kept.updates[0]["status"].as_str(), kept.versions.len()), (Some("FAILED"), 0));
    }
}

#[test]
fn an_answer_that_is_none_of_mlflow_is_an_error() {
    let head = "HTTP/1.1 200 OK\r\n";
    let long = "x".repeat(5 * 1024 * 1024);
    for (answer, word) in [
        (String::new(), "without a status"),
        ("\0\r\n\r\n".to_owned(), "without a status"),
        (format!("{head}\r\n"), "no JSON"),
        (format!("{head}Content-Length: 9000\r\n\r\n{{\"model_ve"), "no JSON"),
        (format!("{head}Content-Length: many\r\n\r\n{{}}"), "content length"),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "got no answer"),
        (format!("{head}X: {}\r\n\r\n", "x".repeat(64 * 1024 - 4)), ""),
        (format!("{head}X: {}\r\n\r\n", "x".repeat(64 * 1024)), "got no answer"),
        (format!("{head}\r\n{long}"), "more than 4194304 bytes"),
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n".to_owned(), "answered 302"),
        ("HTTP/1.1 403 No\r\n\r\n<h1>Go\n away</h1>".to_owned(), "answered 403: <h1>Go away</h1>"),
        ("HTTP/1.1 502 No\r\n\r\n{\"message\": 7}".to_owned(), "answered 502: {\"message\": 7}"),
    ] {
        let stub = Stub::start(move |_| answer.clone().into_bytes());
        let told = chain(&publish(&stub, &model("served", b"onnx", None)).unwrap_err());
        assert!(told.contains(word) && told.contains(&stub.url()), "{told} lacks {word}");
        assert!(told.len() < 1000, "{told}");
    }
}

#[test]
fn nobody_is_waited_for_beyond_the_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // takes connections and never looks at them
    let url = format!("http://{}", silent.local_addr().unwrap());
    let registry = Registry::new(&url).unwrap().patient(1);
    let told = chain(&registry.publish(&model("served", b"onnx", None), NOW).unwrap_err());
    assert!(told.contains("1 s") && told.contains(&url) && told.contains("timeout"), "{told}");
    let registry = Registry::new("http://127.0.0.1:1").unwrap();
    let told = chain(&registry.publish(&model("served", b"onnx", None), NOW).unwrap_err());
    assert!(told.contains("is an MLflow server running there?"), "{told}");
    assert!(told.contains("refused"), "{told}");
}

#[test]
fn a_damaged_file_is_not_published() {
    let (stub, kept) = mlflow(Kept::default());
    let damaged = Model { onnx: b"onns", ..model("served", b"onnx", None) };
    let told = publish(&stub, &damaged).unwrap_err().to_string();
    assert!(told.contains(&damaged.digest.to_string()) && told.contains("damaged"), "{told}");
    assert_eq!(kept.lock().unwrap().asked.len(), 0);
}

#[test]
fn the_command_publishes_what_is_in_production() {
    let folder = Folder::ended();
    let (stub, kept) = mlflow(Kept::default());
    let publish = |arguments: &[&str]| {
        let mut command = folder.gleaner(&[&["models", "publish"], arguments].concat());
        command.env_remove("MLFLOW_TRACKING_URI");
        command
    };
    let url = stub.url();
    let output = publish(&["--mlflow", &url]).output().unwrap();
    told(&output, 0, &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    let (digest, file) = folder.production_model();
    assert!(said.contains("version 1 of small") && said.contains(&digest[..12]), "{said}");
    assert_eq!(
        kept.lock().unwrap().artifacts["0/r0/artifacts/model/model.onnx"],
        std::fs::read(file).unwrap()
    );

    // The address comes from MLflow's own variable, too; programs get JSON.
    let again = publish(&["--json"]).env("MLFLOW_TRACKING_URI", &url).output().unwrap();
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again["version"], &again["known"]), (&"1".into(), &true.into()), "{again}");
    let other = publish(&["--mlflow", &url, "--name", "other", &digest[..8]]).output().unwrap();
    told(&other, 0, &[]);
    assert_eq!(kept.lock().unwrap().versions.len(), 2);

    told(&publish(&[]).output().unwrap(), WRONG, &["--mlflow"]);
    told(&publish(&["--mlflow", "https://x"]).output().unwrap(), WRONG, &["https://x", "proxy"]);
    told(&publish(&["--mlflow", &url, "ffff0000ffff"]).output().unwrap(), WRONG, &["ffff0000ffff"]);
    kept.lock().unwrap().broken = Some("registered-models/alias");
    told(&publish(&["--mlflow", &url]).output().unwrap(), 1, &[&url, "500", "out of cheese"]);
}
