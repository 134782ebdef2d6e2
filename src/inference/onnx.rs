//! ONNX models run by onnxruntime. The only file that names `ort`, and but for one line that ends a process the only one
//! with unsafe code: it opens the library, and asks which provider runs which node. It also sets an environment variable,
//! for want of a second such file.
//!
//! Which library is opened is decided in [`super::runtime`]. Nothing here may make an `ort::Error` before a library is
//! open, because that panics; every way in takes an [`Opened`], which only an open library gives.
#![expect(unsafe_code, reason = "onnxruntime is a C library that is found at run time")]

use super::contract::{Contract, Port};
use super::error::InferenceError;
use super::provider::ProviderReport;
use super::{LoadOptions, Output, Predictions, Predictor};
use crate::domain::definition::ProviderChoice;
use crate::domain::matrix::Matrix;
use ort::AsPointer as _;
use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider as _, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, Tensor, TensorElementType, TensorRef, ValueType};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

/// The first minor version whose interface this program was built for.
pub(super) const OLDEST_MINOR: u32 = ort::MINOR_VERSION;

/// Bytes that scoring may take on the device, so that a training beside it finds room.
const CUDA_MEMORY_LIMIT: usize = 8 << 30;

const CPU: &str = "CPUExecutionProvider";

/// A library that was opened but not yet taken into use.
pub(super) struct Library {
    version: String,
    api: ort::sys::OrtApi,
}

impl Library {
    /// What the library says it is, for example `1.24.4`.
    pub(super) fn version(&self) -> &str {
        &self.version
    }
}

/// Opens the library at `path`, which may be a bare name that the system's loader resolves.
///
/// It is never closed again, used or not: unloading a library that has run its own initialisers is how processes crash.
pub(super) fn open(path: &Path) -> Result<Library, String> {
    type GetApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: opening a library runs its initialisers. Paths come from the user, from the active Python environment or
    // from our own folder whose content was checked against a pinned digest; each is trusted to be a sane library.
    let library =
        unsafe { libloading::Library::new(path) }.map_err(|error| with_sources(&error))?;
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    // SAFETY: `OrtGetApiBase` has had this signature in every release of onnxruntime; the library is never closed.
    let base = unsafe { library.get::<GetApiBase>(b"OrtGetApiBase\0") }
        .map_err(|_| "it is no onnxruntime library: it has no OrtGetApiBase".to_owned())?;
    // SAFETY: it takes nothing and returns a pointer to a table that lives as long as the library, that is for ever.
    let base = unsafe { base().as_ref() }.ok_or("OrtGetApiBase gave nothing")?;
    // SAFETY: the function returns a NUL-terminated text that lives as long as the library.
    let version = unsafe { CStr::from_ptr((base.GetVersionString)()) };
    let version = version.to_string_lossy().into_owned();
    check_version(&version)?;
    // SAFETY: asking for a version gives null or a table that holds at least the functions of that version, which are
    // exactly those of `OrtApi` as compiled here. They stay valid because the library is never closed.
    let api = unsafe { (base.GetApi)(ort::sys::ORT_API_VERSION).as_ref() }
        .ok_or_else(|| format!("version {version} does not offer interface 1.{OLDEST_MINOR}"))?;
    Ok(Library { version, api: api.clone() })
}

fn check_version(version: &str) -> Result<(), String> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(1), Some(minor)) if minor >= OLDEST_MINOR => Ok(()),
        _ => Err(format!("it is version {version}, but 1.{OLDEST_MINOR} or newer is needed")),
    }
}

/// Sets an environment variable if that is sound: no other thread may be reading the environment meanwhile, and C code
/// does so without any lock. Hence only while this is the only thread. Says whether it was set.
pub(super) fn set_variable_before_threads(name: &str, value: &str) -> bool {
    let alone = cfg!(windows)
        || std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if alone {
        // SAFETY: there is no other thread (on Windows the system itself guards the environment).
        unsafe { std::env::set_var(name, value) };
    }
    alone
}

/// A library in use by this process.
#[derive(Debug)]
pub(super) struct Opened {
    environment: Environment,
    /// CUDA's libraries stay open once they are.
    preloaded: Once,
}

impl Opened {
    /// Takes `library` into use, once per process.
    pub(super) fn start(library: Library) -> Result<Self, String> {
        if !ort::set_api(library.api) {
            return Err("another library is already in use".into());
        }
        // The library would write to standard error, into the middle of what we show. What matters of it comes back as
        // an error anyway.
        let logger = |_, category: &str, _: &str, _: &str, message: &str| {
            tracing::debug!(category, "{message}");
        };
        let environment = ort::init()
            .with_name("gleaner")
            .with_telemetry(false)
            .with_logger(Arc::new(logger))
            .build()
            .map_err(text)?;
        environment.set_log_level(LogLevel::Warning);
        Ok(Self { environment, preloaded: Once::new() })
    }

    /// Whether a provider can really be registered; the reason if not.
    pub(super) fn try_provider(
        &self,
        choice: ProviderChoice,
        nvidia: &[PathBuf],
    ) -> Result<(), String> {
        self.builder(choice, 0, nvidia).map(|_| ())
    }

    /// A builder for sessions on one provider, which is really registered; everything that is missing for it otherwise.
    /// `nvidia` are folders with the CUDA libraries of Python packages.
    fn builder(
        &self,
        choice: ProviderChoice,
        device: u32,
        nvidia: &[PathBuf],
    ) -> Result<SessionBuilder, String> {
        let builder = Session::builder(&self.environment)
            .map_err(text)?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(text)?
            .with_intra_threads(1)
            .map_err(text)?
            .with_intra_op_spinning(false)
            .map_err(text)?
            .with_config_entry("session.record_ep_graph_assignment_info", "1")
            .map_err(text)?;
        // A number too large for the library is refused by it like every other that is not there.
        let device = i32::try_from(device).unwrap_or(i32::MAX);
        let (name, compiled, providers) = match choice {
            ProviderChoice::Cpu | ProviderChoice::Auto => {
                return builder
                    .with_execution_providers([ep::CPU::default()
                        .with_arena_allocator(true)
                        .build()])
                    .map_err(text);
            }
            ProviderChoice::Cuda => (ep::CUDA::NAME, ep::CUDA::is_available(), vec![cuda(device)]),
            ProviderChoice::Tensorrt => {
                let tensorrt = ep::TensorRT::default().with_device_id(device).build();
                (ep::TensorRT::NAME, ep::TensorRT::is_available(), vec![tensorrt, cuda(device)])
            }
        };
        let failure = if compiled.unwrap_or(false) {
            self.preloaded.call_once(|| preload(nvidia));
            let providers = providers.into_iter().map(ExecutionProviderDispatch::error_on_failure);
            match builder.with_execution_providers(providers.collect::<Vec<_>>()) {
                Ok(builder) => return Ok(builder),
                Err(error) => text(error),
            }
        } else {
            format!(
                "this onnxruntime library was built without {name} (`gleaner runtime install --gpu` gets one with it)"
            )
        };
        let driver = ort::util::preload_dylib(DRIVER)
            .err()
            .map(|error| format!("there is no NVIDIA driver ({}); ", with_sources(&error)));
        Err(driver.unwrap_or_default() + &failure)
    }
}

fn cuda(device: i32) -> ExecutionProviderDispatch {
    ep::CUDA::default()
        .with_device_id(device)
        .with_memory_limit(CUDA_MEMORY_LIMIT)
        .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested)
        // TF32 keeps 10 bits of each factor: scores would differ from the processor's in the third digit.
        .with_tf32(false)
        .build()
}

/// The file name of the NVIDIA driver's own library, which comes with the driver and with nothing else.
const DRIVER: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };

/// CUDA's libraries in the order in which they need each other.
const CUDA_LIBRARIES: [&str; 8] = [
    "libnvJitLink.so",
    "libcudart.so",
    "libnvrtc.so",
    "libcublasLt.so",
    "libcublas.so",
    "libcurand.so",
    "libcufft.so",
    "libcudnn.so",
];

/// Opens the CUDA libraries of Python packages, so that the provider finds them by name. What fails here is reported by
/// the registration that follows, in better words.
fn preload(folders: &[PathBuf]) {
    for name in CUDA_LIBRARIES {
        for folder in folders {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                if entry.file_name().to_string_lossy().starts_with(name) {
                    let _ = ort::util::preload_dylib(entry.path());
                }
            }
        }
    }
}

/// A loaded model.
struct OnnxPredictor {
    session: Session,
    model: PathBuf,
    contract: Contract,
    report: ProviderReport,
    /// A device runs it: inputs and outputs are bound, which gains nothing on the processor.
    bound: bool,
    batch: usize,
}

/// The runtime that loads a model, as [`super::runtime`] chose it.
pub(super) struct Host<'a> {
    /// The library in use.
    pub(super) opened: &'a Opened,
    /// Its version.
    pub(super) version: &'a str,
    /// Its file.
    pub(super) path: &'a Path,
    /// Folders with CUDA's libraries.
    pub(super) nvidia: &'a [PathBuf],
}

/// Loads a model with the provider that was asked for, or for `auto` the fastest that works.
pub(super) fn load(
    host: &Host<'_>,
    options: &LoadOptions<'_>,
) -> Result<Box<dyn Predictor>, InferenceError> {
    let mut not_used = Vec::new();
    let on = |choice| session_on(host, choice, options.device, options.model);
    let (session, nodes) = match options.provider {
        ProviderChoice::Cpu => {
            not_used.push(format!("{}: the workflow asks for the processor", ep::CUDA::NAME));
            on(ProviderChoice::Cpu)?
        }
        named @ (ProviderChoice::Cuda | ProviderChoice::Tensorrt) => on(named)?,
        ProviderChoice::Auto => {
            not_used.push(format!(
                "{}: used only when asked for, because it compiles every new model",
                ep::TensorRT::NAME
            ));
            // A model that CUDA refuses may be broken or just too big for the device: the processor's answer tells.
            on(ProviderChoice::Cuda).or_else(|error| {
                let mut reason = error.to_string();
                if let InferenceError::Provider { reason: missing, .. } = error {
                    reason = missing;
                }
                not_used.push(format!("{}: {reason}", ep::CUDA::NAME));
                on(ProviderChoice::Cpu)
            })?
        }
    };
    let inputs: Vec<Port> = session.inputs().iter().map(port).collect();
    let outputs: Vec<Port> = session.outputs().iter().map(port).collect();
    let contract = Contract::agree(&inputs, &outputs, options)?;
    let used = nodes
        .iter()
        .max_by_key(|&(name, &count)| (count, std::cmp::Reverse(name)))
        .map_or_else(|| CPU.to_owned(), |(name, _)| name.clone());
    let report = ProviderReport {
        requested: options.provider,
        used,
        runtime: "onnxruntime",
        version: host.version.to_owned(),
        path: Some(host.path.to_owned()),
        nodes,
        not_used,
    };
    let (model, bound) = (options.model.to_owned(), report.on_device());
    Ok(Box::new(OnnxPredictor { session, model, contract, report, bound, batch: options.batch }))
}

/// A session as `ort` itself gives it, with our settings, on the processor: what the bench compares a pipeline with. It
/// cannot make one, because a process has one environment and that is ours.
#[doc(hidden)]
#[derive(Debug)]
pub struct Bare(pub Session);

/// Loads a model and nothing around it.
pub(super) fn bare(host: &Host<'_>, model: &Path) -> Result<Bare, InferenceError> {
    session_on(host, ProviderChoice::Cpu, 0, model).map(|(session, _)| Bare(session))
}

/// What a model gives.
pub(super) fn outputs(host: &Host<'_>, model: &Path) -> Result<Vec<Output>, InferenceError> {
    let (session, _) = session_on(host, ProviderChoice::Cpu, 0, model)?;
    Ok(session.outputs().iter().map(|outlet| port(outlet).told()).collect())
}

/// A session on this provider and how many nodes each provider runs in it, or why the provider cannot be used.
fn session_on(
    host: &Host<'_>,
    choice: ProviderChoice,
    device: u32,
    model: &Path,
) -> Result<(Session, BTreeMap<String, usize>), InferenceError> {
    let wanted = match choice {
        ProviderChoice::Tensorrt => ep::TensorRT::NAME,
        ProviderChoice::Cuda => ep::CUDA::NAME,
        ProviderChoice::Auto | ProviderChoice::Cpu => CPU,
    };
    let cannot = |reason| InferenceError::Provider { wanted, reason };
    let builder = host.opened.builder(choice, device, host.nvidia).map_err(cannot)?;
    let session = commit(builder, model)?;
    let nodes = assignment(&session).unwrap_or_default();
    // A provider that was registered may still leave every node to the processor.
    if wanted != CPU && !nodes.is_empty() && !nodes.contains_key(wanted) {
        return Err(cannot("it can run none of this model's nodes".into()));
    }
    Ok((session, nodes))
}

/// Loads by path, because external weights are then confined to the model's own folder.
fn commit(mut builder: SessionBuilder, model: &Path) -> Result<Session, InferenceError> {
    let broken = |reason| InferenceError::Model { path: model.to_owned(), reason };
    // `ort` panics on a value type that it does not know; a model file must not be able to do that to us.
    catch_unwind(AssertUnwindSafe(|| builder.commit_from_file(model)))
        .map_err(|_| broken("it declares values of a type that is not supported".into()))?
        .map_err(|error| broken(text(error)))
}

fn port(outlet: &Outlet) -> Port {
    let name = outlet.name().to_owned();
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => Port {
            name,
            other_element: (*ty != TensorElementType::Float32).then(|| ty.to_string()),
            // -1 marks an open dimension, and no declared shape shows as no dimensions at all.
            dims: (!shape.is_empty())
                .then(|| shape.iter().map(|&dim| usize::try_from(dim).ok()).collect()),
        },
        ValueType::Sequence(_) => other(name, "a sequence"),
        ValueType::Map { .. } => other(name, "a map"),
        ValueType::Optional(_) => other(name, "an optional value"),
    }
}

fn other(name: String, what: &str) -> Port {
    Port { name, other_element: Some(what.to_owned()), dims: None }
}

/// How many nodes each provider runs; `None` if the library does not tell.
fn assignment(session: &Session) -> Option<BTreeMap<String, usize>> {
    let api = ort::api();
    let mut subgraphs = std::ptr::null();
    let mut count = 0;
    // SAFETY: the session is alive, and both places are valid for writing.
    let status = unsafe {
        (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &raw mut subgraphs, &raw mut count)
    };
    succeeded(status)?;
    let mut nodes = BTreeMap::new();
    for index in 0..count {
        // SAFETY: on success `subgraphs` points to `count` pointers that the session owns and keeps.
        let subgraph = unsafe { *subgraphs.add(index) };
        let mut name: *const c_char = std::ptr::null();
        let mut members = std::ptr::null();
        let mut size = 0;
        // SAFETY: `subgraph` comes from the session, which is alive; the place is valid for writing.
        succeeded(unsafe { (api.EpAssignedSubgraph_GetEpName)(subgraph, &raw mut name) })?;
        // SAFETY: as above, for both places.
        succeeded(unsafe {
            (api.EpAssignedSubgraph_GetNodes)(subgraph, &raw mut members, &raw mut size)
        })?;
        // SAFETY: on success `name` is a NUL-terminated text that the session owns and keeps.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        *nodes.entry(name).or_insert(0) += size;
    }
    Some(nodes)
}

fn succeeded(status: ort::sys::OrtStatusPtr) -> Option<()> {
    // SAFETY: the status was just returned by the library and is handed over here, once.
    unsafe { ort::Error::result_from_status(status) }.ok()
}

impl Predictor for OnnxPredictor {
    fn provider(&self) -> &ProviderReport {
        &self.report
    }

    fn outputs(&self) -> &[Output] {
        &self.contract.outputs
    }

    fn predict(&mut self, inputs: &Matrix) -> Result<Predictions, InferenceError> {
        self.predict_values(inputs.rows(), inputs.data(), self.batch)
    }

    fn predict_values(
        &mut self,
        rows: usize,
        values: &[f32],
        batch: usize,
    ) -> Result<Predictions, InferenceError> {
        let contract = &self.contract;
        let mut collector = contract.collect(&self.model, rows, values)?;
        for (rows, values) in contract.batches(values, batch) {
            let failed = |reason| InferenceError::Run { first: rows.start, end: rows.end, reason };
            let shape = contract.batch_shape(rows.len());
            // Declared before the outputs, so that it outlives them: they lie in its memory, and it keeps the input alive.
            let binding;
            let outputs = if self.bound {
                binding = bind(&self.session, contract, shape, values).map_err(failed)?;
                let outputs =
                    self.session.run_binding(&binding).map_err(|error| failed(text(error)))?;
                binding.synchronize_outputs().map_err(|error| failed(text(error)))?;
                outputs
            } else {
                let input = TensorRef::from_array_view((shape, values))
                    .map_err(|error| failed(text(error)))?;
                self.session.run(ort::inputs![input]).map_err(|error| failed(text(error)))?
            };
            for (place, wanted) in contract.wanted.iter().enumerate() {
                let value = outputs
                    .get(&wanted.name)
                    .ok_or_else(|| failed(format!("it gave no `{}`", wanted.name)))?;
                let (dims, values) =
                    value.try_extract_tensor::<f32>().map_err(|error| failed(text(error)))?;
                let dims: Vec<usize> =
                    dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect();
                collector.take(place, &rows, &dims, values)?;
            }
        }
        collector.finish()
    }
}

/// Binds a batch for a device, so that only the outputs that are read travel back. The input is a tensor of its own
/// because binding one that borrows its values never returns (rc.15). The binding shares its ownership, so it lives as long
/// as the binding does; that it has reached the device is waited for here nevertheless.
fn bind(
    session: &Session,
    contract: &Contract,
    shape: Vec<usize>,
    values: &[f32],
) -> Result<IoBinding, String> {
    let input = Tensor::from_array((shape, values.to_vec())).map_err(text)?;
    let memory =
        MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput)
            .map_err(text)?;
    let mut binding = session.create_binding().map_err(text)?;
    binding.bind_input(&contract.input, &input).map_err(text)?;
    for wanted in &contract.wanted {
        binding.bind_output_to_device(&wanted.name, &memory).map_err(text)?;
    }
    binding.synchronize_inputs().map_err(text)?;
    Ok(binding)
}

/// An error's message on one line, without the place in onnxruntime's source where it arose.
#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn text<R>(error: ort::Error<R>) -> String {
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    // `/a/file.cc:1952 Function() [ONNXRuntimeError] : 1 : FAIL : what matters`
    let matters = message
        .split_once("[ONNXRuntimeError]")
        .and_then(|(_, rest)| rest.splitn(4, " : ").nth(3).map(str::to_owned));
    matters.unwrap_or(message)
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}
