//! Explains, to people and machines, what models are run with here, and how to run them faster.

use super::install;
use super::runtime::{self, Rejected};
use super::{InferenceError, InstallPolicy, python};
use crate::domain::definition::ProviderChoice;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoctorReport {
    /// The runtime that is used; `None` if there is none.
    pub runtime: Option<RuntimeReport>,
    /// What was tried before it, or in vain, in order.
    pub tried: Vec<Rejected>,
    /// Why there is no runtime.
    pub problem: Option<String>,
    /// Runtimes that were installed by us.
    pub installed: Vec<PathBuf>,
    /// The Python that could install one.
    pub python: Option<PathBuf>,
    /// Why there is none.
    pub python_problem: Option<String>,
    /// Whether the runtime `tract` is compiled in.
    pub tract: bool,
    /// What would help, one line each.
    pub advice: Vec<String>,
}

/// The runtime that is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuntimeReport {
    /// Why it was looked at.
    pub origin: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// Its version.
    pub version: String,
    /// The providers we know.
    pub providers: Vec<ProviderState>,
}

/// Whether a provider can be used on this machine with this runtime. It was really registered, not only looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderState {
    /// Its name.
    pub name: &'static str,
    /// What is in the way; `None` if it can be used.
    pub problem: Option<String>,
}

/// Looks, installs nothing. Takes as long as starting Python a few times; the runtime it finds is then in use by this
/// process.
#[must_use]
pub fn doctor() -> DoctorReport {
    let found = runtime::ensure(None, InstallPolicy::Forbidden, &mut |_| {});
    let python = python::with_pip();
    let mut report = DoctorReport {
        runtime: None,
        tried: Vec::new(),
        problem: None,
        installed: install::installed().unwrap_or_default(),
        python: python.as_ref().ok().cloned(),
        python_problem: python.err(),
        tract: cfg!(feature = "tract"),
        advice: Vec::new(),
    };
    match found {
        Ok(runtime) => {
            report.tried.clone_from(&runtime.rejected);
            let mut providers = Vec::new();
            for (name, choice) in [
                ("CPUExecutionProvider", ProviderChoice::Cpu),
                ("CUDAExecutionProvider", ProviderChoice::Cuda),
                ("TensorrtExecutionProvider", ProviderChoice::Tensorrt),
            ] {
                let problem = runtime.opened.try_provider(choice, &runtime.nvidia).err();
                providers.push(ProviderState { name, problem });
            }
            report.runtime = Some(RuntimeReport {
                origin: runtime.origin,
                path: runtime.path.clone(),
                version: runtime.version.clone(),
                providers,
            });
        }
        Err(InferenceError::NoRuntime { tried, .. }) => {
            report.tried = tried;
            report.problem = Some("no onnxruntime library was found".into());
        }
        Err(error) => report.problem = Some(error.to_string()),
    }
    report.advice = advice(&report);
    report
}

fn advice(report: &DoctorReport) -> Vec<String> {
    let mut advice = Vec::new();
    let Some(runtime) = &report.runtime else {
        advice.push(match &report.python {
            Some(_) => "the first run installs a runtime by itself; `gleaner runtime install` does it now".into(),
            None => "install Python with pip, or set ORT_DYLIB_PATH to a libonnxruntime of version 1.24 or newer".into(),
        });
        return advice;
    };
    let cuda = runtime.providers.iter().find(|provider| provider.name == "CUDAExecutionProvider");
    if let Some(reason) = cuda.and_then(|provider| provider.problem.as_ref()) {
        advice.push(if reason.contains("no NVIDIA driver") {
            "models run on the processor; on a machine with an NVIDIA GPU and driver, `gleaner runtime install --gpu` \
             makes them faster"
                .into()
        } else if reason.contains("built without") {
            "this machine has an NVIDIA driver: `gleaner runtime install --gpu` makes models faster".into()
        } else {
            "CUDA 12 and cuDNN 9 are needed: install them, or the Python packages nvidia-cublas-cu12, \
             nvidia-cuda-runtime-cu12, nvidia-cufft-cu12, nvidia-curand-cu12 and nvidia-cudnn-cu12 in the active environment"
                .into()
        });
    }
    advice
}

impl fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.runtime, &self.problem) {
            (Some(runtime), _) => {
                let (version, origin) = (&runtime.version, runtime.origin);
                writeln!(f, "runtime    onnxruntime {version} from {origin}")?;
                writeln!(f, "           {}", runtime.path.display())?;
                for ProviderState { name, problem } in &runtime.providers {
                    let state = problem.as_deref().unwrap_or("usable");
                    writeln!(f, "provider   {name}: {state}")?;
                }
            }
            (None, Some(problem)) => writeln!(f, "runtime    none: {problem}")?,
            (None, None) => writeln!(f, "runtime    none")?,
        }
        for tried in &self.tried {
            writeln!(f, "tried      {tried}")?;
        }
        for path in &self.installed {
            writeln!(f, "installed  {}", path.display())?;
        }
        match (&self.python, &self.python_problem) {
            (Some(path), _) => writeln!(f, "python     {}", path.display())?,
            (None, problem) => {
                writeln!(f, "python     none: {}", problem.as_deref().unwrap_or("not looked for"))?;
            }
        }
        let tract = if self.tract { "compiled in" } else { "not compiled in (feature `tract`)" };
        writeln!(f, "tract      {tract}")?;
        for advice in &self.advice {
            writeln!(f, "advice     {advice}")?;
        }
        Ok(())
    }
}
