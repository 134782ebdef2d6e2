//! Which runtime library this process uses: where it is looked for, why a candidate was rejected.
//!
//! A process uses one library. The order: a path the workflow gives, `ORT_DYLIB_PATH`, beside the executable, the active
//! Python environment, our own folder (see [`install`]), the system. A path that the user gave must work; anything else
//! is passed over with a reason. How a library is opened is the business of the file that names `ort`.

use super::error::InferenceError;
use super::install::{self, Variant};
use super::{InstallPolicy, onnx, python};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The pseudo-path that stands for the runtime compiled into this program with the feature `tract`.
pub const TRACT: &str = "tract";

const TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";
/// The last minor version without telemetry.
const SILENT_MINOR: u32 = 24;

const WORKFLOW: &str = "the workflow";
const VARIABLE: &str = "ORT_DYLIB_PATH";
const OWN: &str = "our own folder";

/// A place that was looked at and not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// Why it was looked at, for example `ORT_DYLIB_PATH`.
    pub origin: &'static str,
    /// The library; `None` if the place holds none.
    pub path: Option<PathBuf>,
    /// Why it is not used.
    pub reason: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.origin)?;
        if let Some(path) = &self.path {
            write!(f, " {}", path.display())?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// The runtime library that this process uses.
#[derive(Debug)]
pub struct Runtime {
    /// Why it was looked at, for example `ORT_DYLIB_PATH`.
    pub origin: &'static str,
    /// Its file, or a bare name where the system's loader found it.
    pub path: PathBuf,
    /// Its version.
    pub version: String,
    /// What was tried before.
    pub rejected: Vec<Rejected>,
    /// Folders that hold CUDA's libraries.
    pub(super) nvidia: Vec<PathBuf>,
    pub(super) opened: onnx::Opened,
}

static IN_USE: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);

/// The runtime in use, looked for if there is none yet, and installed if none is found and `install` allows it. `say` is
/// given one line then.
///
/// # Errors
/// [`InferenceError::Runtime`] if the path that the user gave does not work, [`InferenceError::RuntimeInUse`] if
/// `asked` names another library than the process uses, [`InferenceError::NoRuntime`] if there is none.
pub fn ensure(
    asked: Option<&Path>,
    install: InstallPolicy,
    say: &mut dyn FnMut(&str),
) -> Result<Arc<Runtime>, InferenceError> {
    // One search at a time; a search that panicked left nothing half-done behind.
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = in_use.as_ref() {
        return match asked {
            Some(asked) if !same_file(asked, &runtime.path) => Err(InferenceError::RuntimeInUse {
                used: runtime.path.clone(),
                asked: asked.to_owned(),
            }),
            _ => Ok(Arc::clone(runtime)),
        };
    }
    let runtime = Arc::new(search(asked, install, say)?);
    *in_use = Some(Arc::clone(&runtime));
    Ok(runtime)
}

fn same_file(one: &Path, other: &Path) -> bool {
    one == other
        || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn search(
    asked: Option<&Path>,
    install: InstallPolicy,
    say: &mut dyn FnMut(&str),
) -> Result<Runtime, InferenceError> {
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let given =
        asked.map(|path| (path.to_owned(), WORKFLOW)).or(variable.map(|path| (path, VARIABLE)));
    if let Some((path, origin)) = given {
        let library = open(&path).map_err(|reason| InferenceError::Runtime {
            path: path.clone(),
            origin,
            reason,
        })?;
        return start(library, path, origin, Vec::new());
    }

    let mut rejected = Vec::new();
    let places: [(&'static str, Places); 4] = [
        ("beside the executable", beside_executable),
        ("the active Python environment", in_python),
        (OWN, in_own_folder),
        ("the system", in_system),
    ];
    for (origin, places) in places {
        let paths = places().unwrap_or_else(|reason| {
            rejected.push(Rejected { origin, path: None, reason });
            Vec::new()
        });
        for path in paths {
            match open(&path) {
                Ok(library) => return start(library, path, origin, rejected),
                Err(reason) => rejected.push(Rejected { origin, path: Some(path), reason }),
            }
        }
    }

    let installed = match install {
        InstallPolicy::Allowed => {
            install::install(Variant::Cpu, say).map_err(|error| error.to_string())
        }
        InstallPolicy::Forbidden => Err("installing one was forbidden".to_owned()),
    };
    match installed.and_then(|path| open(&path).map(|library| (library, path))) {
        Ok((library, path)) => start(library, path, OWN, rejected),
        Err(reason) => Err(InferenceError::NoRuntime { tried: rejected, reason }),
    }
}

fn start(
    library: onnx::Library,
    path: PathBuf,
    origin: &'static str,
    rejected: Vec<Rejected>,
) -> Result<Runtime, InferenceError> {
    let version = library.version().to_owned();
    let nvidia = nvidia_folders(&path);
    match onnx::Opened::start(library) {
        Ok(opened) => Ok(Runtime { origin, path, version, rejected, nvidia, opened }),
        Err(reason) => Err(InferenceError::Runtime { path, origin, reason }),
    }
}

fn open(path: &Path) -> Result<onnx::Library, String> {
    let library = onnx::open(path)?;
    check_silent(library.version(), std::env::var_os(TELEMETRY).is_some_and(|value| value == "1"))?;
    Ok(library)
}

fn check_silent(version: &str, forbidden: bool) -> Result<(), String> {
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    if forbidden || minor.is_some_and(|minor| minor <= SILENT_MINOR) {
        return Ok(());
    }
    Err(format!(
        "version {version} sends usage data unless {TELEMETRY}=1 is set when the program starts"
    ))
}

/// Keeps runtimes newer than 1.24 from sending usage data, by an environment variable that they read when they are
/// opened. To be called first in `main`: with other threads running it cannot be set soundly and is not, `false` says so,
/// and such runtimes are then passed over unless the variable was set from outside.
pub fn forbid_telemetry() -> bool {
    std::env::var_os(TELEMETRY).is_some_and(|value| value == "1")
        || onnx::set_variable_before_threads(TELEMETRY, "1")
}

type Places = fn() -> Result<Vec<PathBuf>, String>;

fn beside_executable() -> Result<Vec<PathBuf>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    library_in(program.parent().unwrap_or(Path::new("")))
}

fn in_python() -> Result<Vec<PathBuf>, String> {
    let packages = python::packages()?;
    let folder = packages
        .onnxruntime
        .ok_or_else(|| format!("{} has no package onnxruntime", packages.python.display()))?;
    library_in(&folder.join("capi"))
}

fn in_own_folder() -> Result<Vec<PathBuf>, String> {
    let installed = install::installed()?;
    if installed.is_empty() {
        return Err("nothing was installed yet".into());
    }
    Ok(installed)
}

#[expect(clippy::unnecessary_wraps, reason = "one of several places of the same shape")]
fn in_system() -> Result<Vec<PathBuf>, String> {
    let names: &[&str] = if cfg!(windows) {
        // Windows ships an old onnxruntime.dll of its own; only one beside the executable is ever meant.
        &[]
    } else if cfg!(target_os = "macos") {
        &["libonnxruntime.dylib"]
    } else {
        &["libonnxruntime.so.1", "libonnxruntime.so"]
    };
    Ok(names.iter().map(PathBuf::from).collect())
}

/// The runtime library in a folder, whatever version its name bears.
pub(super) fn library_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("libonnxruntime.") || name == "onnxruntime.dll" {
            found.push(entry.path());
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(format!("{} holds no onnxruntime library", folder.display()));
    }
    Ok(found)
}

/// Folders with the CUDA libraries of NVIDIA's Python packages: those beside the runtime's own package, else those of
/// the active Python. Empty where there is no library for CUDA beside the runtime.
fn nvidia_folders(library: &Path) -> Vec<PathBuf> {
    let Some(folder) = library.parent() else { return Vec::new() };
    if !folder.join("libonnxruntime_providers_cuda.so").exists() {
        return Vec::new();
    }
    let beside =
        folder.ancestors().nth(2).map(|site| site.join("nvidia")).filter(|path| path.is_dir());
    let nvidia = beside.or_else(|| python::packages().ok().and_then(|packages| packages.nvidia));
    let Some(entries) = nvidia.and_then(|nvidia| std::fs::read_dir(nvidia).ok()) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path().join("lib")).collect();
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_sends_usage_data_is_used_only_where_that_is_forbidden() {
        assert_eq!(check_silent("1.24.4", false), Ok(()));
        assert_eq!(check_silent("1.25.0", true), Ok(()));
        for version in ["1.25.0", "unknown"] {
            let error = check_silent(version, false).expect_err("it would send usage data");
            assert!(error.contains("ORT_DISABLE_TELEMETRY=1"), "{error}");
        }
    }

    #[test]
    fn the_library_is_found_whatever_version_its_name_bears() {
        let folder = tempfile::tempdir().unwrap();
        assert!(library_in(&folder.path().join("absent")).is_err());
        assert!(library_in(folder.path()).is_err());
        for name in ["libonnxruntime_providers_shared.so", "libonnxruntime.so.1.24.4", "x.txt"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        assert_eq!(
            library_in(folder.path()),
            Ok(vec![folder.path().join("libonnxruntime.so.1.24.4")])
        );
    }
}
